"""The one training loop: every step is a function of the seed and its number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pancyte.backbones.backbone import Backbone, reproducible
from pancyte.errors import InputError
from pancyte.objectives.objective import Objective, Target
from pancyte.shapes import Tokens
from pancyte.training import checkpoint
from pancyte.training.feed import Fed, Feed
from pancyte.training.log import LOSS, SPEED, Log
from pancyte.training.optimizer import Average, adamw, default_rate, rate_at
from pancyte.training.order import minibatches
from pancyte.training.team import Team, norm_of, unsynchronised

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
        on how many processes compute them.
    sharded
        Divide weights and optimizer among the processes rather than copy them.
    ema
        Keep a running average of the weights with this factor, and make it the model; 0 does not.
    """

    steps: int = 1000
    tokens_per_step: int = 16_384
    rate: float | None = None
    warmup: float = 0.1
    decay: float = 0.05
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 200
    validate_every: int = 100
    shares: int = 1
    sharded: bool = False
    ema: float = 0.0


@dataclass(frozen=True)
class Progress:
    """What is known after a step."""

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float


class Network(nn.Module):
    """A model's two parts as one module, whose output is the loss."""

    def __init__(self, backbone: Backbone, objective: Objective) -> None:
        super().__init__()
        self.backbone, self.objective = backbone, objective

    def forward(self, seen: Tokens, target: Target) -> dict[str, torch.Tensor]:
        """Return the named terms of the loss."""
        return self.objective.loss(self.backbone(seen), target)


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
    ) -> None:
        self.config, self.team = config, team or Team()
        self.own = self.team.shares(config.shares)
        self.backbone, self.objective = model.backbone, model.objective
        self.train, self.held_out = train, held_out
        self.parts = Network(self.backbone, self.objective)
        self.network = self.team.wrapped(self.parts, sharded=config.sharded)
        self.peak = config.rate or default_rate(self.backbone.width)
        modules = (self.backbone, self.objective)
        self.optimizer = adamw(modules, rate=self.peak, decay=config.decay)
        self.average = Average(self.parts, config.ema) if config.ema else None
        self.folder = folder
        self.log = Log(folder, silent=not self.team.leads)

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
        """Train to the last step, resuming where a killed run stopped; return the last scores."""
        with reproducible(self.backbone.device):
            return self._run(report)

    def _run(self, report: Callable[[Progress], None]) -> dict[str, Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.objective.fit_trivial(self.train.sample(TRIVIAL))
        held = checkpoint.Held(self.parts, self.optimizer, self.average, self.team)
        state = checkpoint.restore(self.folder / "checkpoints", held)
        done = state["step"] if state else 0
        scores: dict[str, Any] = state["scores"] if state else {}
        self.team.wait()
        self.log.cut(done)
        began, read, seconds = time.monotonic(), 0, state["seconds"] if state else 0.0
        fed = self.train.minibatches(done, shares=self.config.shares, own=self.own)
        for step in range(done, self.config.steps):
            terms, tokens = self._step(step, next(fed))
            read += tokens
            done, elapsed = step + 1, time.monotonic() - began
            self.log.write(LOSS, step=done, loss=sum(terms.values()), **terms)
            self.log.write(SPEED, step=done, seconds=seconds + elapsed, tokens=tokens)
            if done % self.config.validate_every == 0 or done == self.config.steps:
                scores = self.validate()
                self.log.write(LOSS, step=done, **scores)
            if done % self.config.checkpoint_every == 0 or done == self.config.steps:
                state = {"scores": scores, "seconds": seconds + elapsed}
                checkpoint.save(self.folder / "checkpoints", done, held, state)
            left = elapsed / max(1, read) * tokens * (self.config.steps - done)
            report(Progress(done, self.config.steps, sum(terms.values()), read / elapsed, left))
        fed.close()
        if self.average:
            self.average.apply()
        return {**scores, "seconds": state["seconds"] if state else 0.0}

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
        with torch.inference_mode(), self._precision():
            for number, rows in enumerate(minibatches(lengths, budget, seed=0, epoch=0)):
                chosen = self.held_out.select(torch.from_numpy(rows))
                seen, target = self._corrupted(chosen, HELD_OUT_STEP + number)
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

    def _step(self, step: int, fed: list[Fed]) -> tuple[dict[str, float], int]:
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
            seen, target = self._corrupted(share.tokens, place)
            # dropout draws from the global generator; seeding it keeps a resumed run exact
            torch.manual_seed(self.config.seed * 1_000_003 + place)
            with unsynchronised(self.network, last=share is fed[-1]):
                with self._precision():
                    scored = self.network(seen, target)
                loss = torch.stack(list(scored.values())).sum() / len(fed)
                loss.backward()
            if not torch.isfinite(loss):
                self._stop(step, f"the loss is {loss.item()}", share)
            for name, value in scored.items():
                terms[name] = terms.get(name, 0.0) + float(value.detach()) / len(fed)
        norm = norm_of(nn.utils.clip_grad_norm_(self.parts.parameters(), self.config.clip))
        if not math.isfinite(norm):
            self._stop(step, f"the gradient's norm is {norm}", fed[0])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update()
        return self.team.mean(terms), sum(len(share.tokens.ids) for share in fed) * self.team.world

    def _stop(self, step: int, what: str, share: Fed) -> None:
        raise InputError(
            f"Step {step + 1}: {what} (cells {self.train.named(share)} …).",
            fix="The last checkpoint is kept. Check those cells, or lower the rate.",
        )

    def _corrupted(self, tokens: Tokens, place: int) -> tuple[Tokens, Target]:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + place)
        seen, target = self.objective.corrupt(tokens, generator)
        device = self.backbone.device
        return seen.to(device), {name: value.to(device) for name, value in target.items()}

    def _precision(self) -> Any:
        # bf16 matrix products are many times slower than fp32 on CPUs without AMX
        cuda = self.backbone.device.type == "cuda"
        return torch.autocast("cuda", torch.bfloat16) if cuda else nullcontext()


def _named(prefix: str, terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}_{name}": value for name, value in terms.items()}
