"""The one training loop: every step is a function of the seed and its number."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from pancyte.backbones.backbone import reproducible
from pancyte.errors import InputError, ResourceError
from pancyte.objectives.objective import Target
from pancyte.shapes import Tokens
from pancyte.training import checkpoint
from pancyte.training.blame import culprits
from pancyte.training.feed import Fed, Feed
from pancyte.training.log import LOSS, SPEED, Log
from pancyte.training.memory import out_of_memory
from pancyte.training.network import STRIDE, Network
from pancyte.training.optimizer import OPTIMIZERS, Average, default_rate, rate_at
from pancyte.training.order import minibatches
from pancyte.training.recompute import compiled, recomputed
from pancyte.training.shares import Shares
from pancyte.training.team import Team, norm_of, unsynchronised
from pancyte.training.watch import Watch

HELD_OUT_STEP = 2**31
TRIVIAL = 20_000
"""Cells that the trivial predictor learns from, at least."""


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast to train.

    Attributes
    ----------
    steps
        Optimizer steps.
    tokens_per_step
        Padded tokens in a minibatch.
    rate
        Peak learning rate; None lets the width decide.
    optimizer
        ``adamw``, or ``muon`` for the matrices and AdamW for the rest.
    warmup
        Share of the steps in which the rate rises.
    decay
        Weight decay of the matrices.
    clip
        Largest norm of the gradient.
    seed
        Seed of weights, order and corruption.
    checkpoint_every, validate_every
        In steps.
    shares
        Into how many shares a minibatch is divided: one after another if there is one process, to
        save memory; a multiple of the number of processes otherwise. The result does not depend
        on how many processes compute them. ``auto`` chooses the fewest that fit the memory.
    memory
        What `shares: auto` may use in each process, in GB; None is what is free.
    sharded
        Divide weights and optimizer among the processes rather than copy them.
    ema
        Keep a running average of the weights with this factor, and make it the model; 0 does not.
    recompute
        Keep only the inputs of the layers and compute the rest again in the backward pass.
    compile
        Let ``torch.compile`` make the layers' kernels.
    """

    steps: int = 1000
    tokens_per_step: int = 16_384
    rate: float | None = None
    optimizer: Literal["adamw", "muon"] = "adamw"
    warmup: float = 0.1
    decay: float = 0.05
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 200
    validate_every: int = 100
    shares: int | Literal["auto"] = 1
    memory: float | None = None
    sharded: bool = False
    ema: float = 0.0
    recompute: bool = False
    compile: bool = False


@dataclass(frozen=True)
class Progress:
    """What is known after a step."""

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float
    mfu: float = float("nan")


class Loop:
    """Trains one model's backbone and objective.

    Parameters
    ----------
    model
        Anything with a ``backbone`` and an ``objective``.
    train
        Minibatches to learn from.
    held_out
        Tokens to validate on.
    config
        The settings.
    folder
        Where checkpoints and logs go; a run found there is resumed.
    team
        The processes that train together.
    watch
        Keeps count of what it costs.
    """

    def __init__(
        self,
        model: Any,
        train: Feed,
        held_out: Tokens,
        *,
        config: LoopConfig,
        folder: Path,
        team: Team | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.config, self.team = config, team or Team()
        self.shares = Shares(folder, config.shares)
        self.backbone, self.objective = model.backbone, model.objective
        self.train, self.held_out = train, held_out
        self.parts = Network(self.backbone, self.objective)
        self.network = self.team.wrapped(self.parts, sharded=config.sharded)
        self.peak = config.rate or default_rate(self.backbone.width)
        modules = (self.backbone, self.objective)
        build = OPTIMIZERS[config.optimizer]
        self.optimizer = build(modules, rate=self.peak, decay=config.decay)
        self.average = Average(self.parts, config.ema) if config.ema else None
        self.folder = folder
        self.watch = watch or Watch(self.backbone.device, world=self.team.world)
        self.log = Log(folder, sinks=self.watch.sinks, silent=not self.team.leads)
        self.cost: dict[str, Any] = {}

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
        """Train to the last step, resuming where a killed run stopped; return the last scores."""
        with (
            reproducible(self.backbone.device),
            recomputed(self.backbone, wanted=self.config.recompute),
            compiled(self.backbone, wanted=self.config.compile),
            self.log,
            checkpoint.kept_on_failure(self.folder / "checkpoints"),
        ):
            return self._run(report)

    def _run(self, report: Callable[[Progress], None]) -> dict[str, Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.shares.settled:
            self.shares.settle(self.team.world)
        self.own = self.team.shares(self.shares.at(0))
        self.objective.fit_trivial(self.train.sample(TRIVIAL))
        held = checkpoint.Held(self.parts, self.optimizer, self.average, self.team)
        state = checkpoint.restore(self.folder / "checkpoints", held) or {}
        done, scores = state.get("step", 0), state.get("scores", {})
        self.team.wait()
        self.log.cut(done)
        self.watch.begin(state.get("cost", {}))
        for step, terms, spent in self._steps(done):
            done, config = step + 1, self.config
            self.log.write(LOSS, step=done, loss=sum(terms.values()), **terms)
            self.log.write(SPEED, step=done, **spent)
            last = done == config.steps
            if done % config.validate_every == 0 or last:
                scores = self.validate()
                self.log.write(LOSS, step=done, **scores)
            if done % config.checkpoint_every == 0 or last:
                state = {"scores": scores, "cost": self.watch.cost}
                checkpoint.save(self.folder / "checkpoints", done, held, state)
            report(self._progress(done, terms, spent))
        if self.average:
            self.average.apply()
        self.cost = state.get("cost", {})
        return {**scores, "seconds": self.cost.get("seconds", 0.0)}

    def _steps(self, done: int) -> Iterator[tuple[int, dict[str, float], dict[str, Any]]]:
        """Take the steps, each in as many shares as it was, or as fit the memory."""
        step, shares = done, 0
        fed: Generator[list[Fed], None, None] | None = None
        while step < self.config.steps:
            if fed is None or self.shares.at(step) != shares:
                if fed:
                    fed.close()
                shares = self.shares.at(step)
                self.own = self.team.shares(shares)
                fed = self.train.minibatches(step, shares=shares, own=self.own)
            try:
                terms, lengths = self._gradients(step, next(fed))
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                self._divide_more(step, error)
                continue
            self._update()
            yield step, terms, self.watch.step(lengths)
            step += 1
        if fed:
            fed.close()

    def _divide_more(self, step: int, error: RuntimeError) -> None:
        """Make room for a step that did not fit the memory, or say what would."""
        if not self.shares.chosen or self.team.world > 1:
            raise ResourceError(
                f"Step {step + 1} does not fit the memory in {self.shares.at(step)} shares.",
                fix="Raise loop.shares, lower loop.tokens_per_step, or set loop.recompute.",
            ) from error
        self.optimizer.zero_grad(set_to_none=True)
        self.shares.double(step)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _progress(self, done: int, terms: dict[str, float], spent: dict[str, Any]) -> Progress:
        steps, watch = self.config.steps, self.watch
        left = watch.elapsed / max(1, watch.tokens) * spent["tokens"] * (steps - done)
        speed = watch.tokens / watch.elapsed
        return Progress(done, steps, sum(terms.values()), speed, left, watch.mfu)

    def weights(self) -> dict[str, torch.Tensor]:
        """Return all weights, whole, also if they are divided among processes."""
        return checkpoint.whole_weights(self.parts)

    def validate(self) -> dict[str, float]:
        """Score the network and the trivial predictor on the same held-out questions."""
        totals: dict[str, float] = {}
        asked = 0
        self.network.eval()
        lengths = self.held_out.lengths.numpy()
        budget = self.config.tokens_per_step
        with torch.inference_mode(), self.parts.precision():
            for number, rows in enumerate(minibatches(lengths, budget, seed=0, epoch=0)):
                chosen = self.held_out.select(torch.from_numpy(rows))
                seen, target = self._asked(chosen, HELD_OUT_STEP + number)
                size = len(target["positions"])
                scored = {
                    **_named("held_out", self.parts(seen, target)),
                    **_named("trivial", self.objective.trivial_loss(target)),
                    **_named("rival", self.objective.rivals(seen, target)),
                }
                for name, value in scored.items():
                    totals[name] = totals.get(name, 0.0) + float(value) * size
                asked += size
        return {name: total / max(1, asked) for name, total in totals.items()}

    def _gradients(self, step: int, fed: list[Fed]) -> tuple[dict[str, float], list[np.ndarray]]:
        rate = rate_at(
            step,
            peak=self.peak,
            warmup=int(self.config.warmup * self.config.steps),
            steps=self.config.steps,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        terms: dict[str, float] = {}
        for number, share in zip(self.own, fed, strict=True):
            # each share has random numbers of its own, whichever process draws them
            place = step + (number << 32)
            seen, target = self._asked(share.tokens, place)
            # dropout draws from the global generator; seeding it keeps a resumed run exact
            torch.manual_seed(self.config.seed * STRIDE + place)
            with unsynchronised(self.network, last=share is fed[-1]):
                with self.parts.precision():
                    scored = self.network(seen, target)
                loss = torch.stack(list(scored.values())).sum() / len(fed)
                loss.backward()
            if not torch.isfinite(loss):
                self._stop(step, f"the loss is {loss.item()}", {number: share})
            for name, value in scored.items():
                terms[name] = terms.get(name, 0.0) + float(value.detach()) / len(fed)
        norm = norm_of(nn.utils.clip_grad_norm_(self.parts.parameters(), self.config.clip))
        if not math.isfinite(norm):
            self._stop(
                step, f"the gradient's norm is {norm}", dict(zip(self.own, fed, strict=True))
            )
        return self.team.mean(terms), [share.tokens.lengths.numpy() for share in fed]

    def _update(self) -> None:
        """Take the step. Memory that runs out here cannot be made up for by taking it again."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update()

    def _stop(self, step: int, what: str, fed: dict[int, Fed]) -> None:
        """Stop the run and name the cells that did it, given shares by their numbers."""
        for number, share in fed.items():
            # weights that are divided among processes cannot be asked by one alone
            if self.config.sharded and self.team.world > 1:
                continue
            ask = partial(self._loss_of, place=step + (number << 32))
            rows, why = culprits(self.parts, share.tokens, ask)
            if len(rows):
                named = self.train.named(share, rows)
                raise InputError(
                    f"Step {step + 1}: {what} (cells {named}, {why}).",
                    fix="The last checkpoint is kept. Check those cells, or leave them out.",
                )
            what = f"{what}; {why}"
        raise InputError(
            f"Step {step + 1}: {what} (cells {self.train.named(next(iter(fed.values())))} …).",
            fix="The last checkpoint is kept. Lower the rate, or check those cells.",
        )

    def _loss_of(self, tokens: Tokens, *, place: int) -> torch.Tensor:
        with self.parts.precision():
            return torch.stack(list(self.parts(*self._asked(tokens, place)).values())).sum()

    def _asked(self, tokens: Tokens, place: int) -> tuple[Tokens, Target]:
        return self.parts.asked(tokens, seed=self.config.seed, place=place)


def _named(prefix: str, terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}_{name}": value for name, value in terms.items()}
