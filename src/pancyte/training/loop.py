"""The one training loop: every step is a function of the seed and its number."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pancyte.backbones.backbone import reproducible
from pancyte.errors import InputError
from pancyte.objectives.objective import Target
from pancyte.shapes import Tokens
from pancyte.training import checkpoint
from pancyte.training.feed import Fed, Feed
from pancyte.training.log import LOSS, SPEED, Log
from pancyte.training.optimizer import adamw, default_rate, rate_at
from pancyte.training.order import minibatches

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


@dataclass(frozen=True)
class Progress:
    """What is known after a step."""

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float


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
    """

    def __init__(
        self, model: Any, train: Feed, held_out: Tokens, *, config: LoopConfig, folder: Path
    ) -> None:
        self.config = config
        self.backbone, self.objective = model.backbone, model.objective
        self.parts = nn.ModuleDict({"backbone": self.backbone, "objective": self.objective})
        self.train, self.held_out = train, held_out
        self.peak = config.rate or default_rate(self.backbone.width)
        self.optimizer = adamw(self.parts.values(), rate=self.peak, decay=config.decay)
        self.folder = folder
        self.log = Log(folder)

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> dict[str, Any]:
        """Train to the last step, resuming where a killed run stopped; return the last scores."""
        with reproducible(self.backbone.device):
            return self._run(report)

    def _run(self, report: Callable[[Progress], None]) -> dict[str, Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.objective.fit_trivial(self.train.sample(TRIVIAL))
        state = checkpoint.restore(self.folder / "checkpoints", self.parts, self.optimizer)
        done = state["step"] if state else 0
        scores: dict[str, Any] = state["scores"] if state else {}
        self.log.cut(done)
        began, read, seconds = time.monotonic(), 0, state["seconds"] if state else 0.0
        fed = self.train.minibatches(done)
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
                checkpoint.save(
                    self.folder / "checkpoints", done, self.parts, self.optimizer, state
                )
            left = elapsed / max(1, read) * tokens * (self.config.steps - done)
            report(Progress(done, self.config.steps, sum(terms.values()), read / elapsed, left))
        fed.close()
        return {**scores, "seconds": state["seconds"] if state else 0.0}

    def validate(self) -> dict[str, float]:
        """Score the network and the trivial predictor on the same held-out questions."""
        totals: dict[str, float] = {}
        asked = 0
        self.parts.eval()
        lengths = self.held_out.lengths.numpy()
        budget = self.config.tokens_per_step
        with torch.inference_mode(), self._precision():
            for number, rows in enumerate(minibatches(lengths, budget, seed=0, epoch=0)):
                chosen = self.held_out.select(torch.from_numpy(rows))
                seen, target = self._corrupted(chosen, HELD_OUT_STEP + number)
                size = len(target["positions"])
                scored = {
                    **_named("held_out", self.objective.loss(self.backbone(seen), target)),
                    **_named("trivial", self.objective.trivial_loss(target)),
                }
                for name, value in scored.items():
                    totals[name] = totals.get(name, 0.0) + float(value) * size
                asked += size
        return {name: total / max(1, asked) for name, total in totals.items()}

    def _step(self, step: int, fed: Fed) -> tuple[dict[str, float], int]:
        rate = rate_at(
            step,
            peak=self.peak,
            warmup=int(self.config.warmup * self.config.steps),
            steps=self.config.steps,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.parts.train()
        seen, target = self._corrupted(fed.tokens, step)
        # dropout draws from the global generator; seeding it here keeps a resumed run exact
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        with self._precision():
            terms = self.objective.loss(self.backbone(seen), target)
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parts.parameters(), self.config.clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise InputError(
                f"Step {step + 1}: the loss is {loss.item()} and the gradient's norm {norm.item()} "
                f"(cells {self.train.named(fed)} …).",
                fix="The last checkpoint is kept. Check those cells, or lower the rate.",
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: float(value.detach()) for name, value in terms.items()}, len(seen.ids)

    def _corrupted(self, tokens: Tokens, step: int) -> tuple[Tokens, Target]:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        seen, target = self.objective.corrupt(tokens, generator)
        device = self.backbone.device
        return seen.to(device), {name: value.to(device) for name, value in target.items()}

    def _precision(self) -> Any:
        # bf16 matrix products are many times slower than fp32 on CPUs without AMX
        cuda = self.backbone.device.type == "cuda"
        return torch.autocast("cuda", torch.bfloat16) if cuda else nullcontext()


def _named(prefix: str, terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}_{name}": value for name, value in terms.items()}
