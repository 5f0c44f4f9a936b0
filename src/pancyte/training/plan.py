"""What a run will cost, before it starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pancyte.backbones.backbone import reproducible
from pancyte.training.device import free_memory, name, peak
from pancyte.training.estimate import Trial, padded, parameters
from pancyte.training.feed import Feed
from pancyte.training.flops import Work
from pancyte.training.loop import LoopConfig
from pancyte.training.memory import Need
from pancyte.training.network import Network
from pancyte.training.shares import FILL, fitting
from pancyte.training.team import Team

LOOKED_AT = 256
"""Minibatches whose sizes stand for all."""
GIGA = 1e9


@dataclass(frozen=True)
class Plan:
    """What a run will cost.

    Attributes
    ----------
    cells, features
        Trained on, and in the vocabulary.
    parameters
        Of the backbone, and of the objective's heads.
    tokens_per_epoch, steps, tokens, epochs
        Each gene of each cell that is read counts, padding does not.
    flops
        Floating-point operations of all steps; see `Work`.
    shares
        Into how many shares a minibatch is divided.
    memory_gb
        At the peak of a step in each process, by what takes it, and what is free.
    device
        Where it computes, in how many processes.
    peak_flops, mfu
        The device's measured rate for a matrix product, and what share a trial step reached.
    seconds
        Of all steps, at the speed of that trial; validation and checkpoints come on top.
    """

    cells: int
    features: int
    parameters: dict[str, int]
    tokens_per_epoch: int
    steps: int
    tokens: int
    epochs: float
    flops: float
    shares: int
    memory_gb: dict[str, float]
    device: dict[str, Any]
    peak_flops: float
    mfu: float
    seconds: float

    def lines(self) -> list[str]:
        """Return the plan for people, a line for each number."""
        told = {
            "cells": f"{self.cells:,}",
            "features": f"{self.features:,}",
            "parameters": f"{self.parameters['backbone']:,}"
            f" and {self.parameters['objective']:,} in heads",
            "steps": f"{self.steps:,}",
            "tokens": f"{self.tokens:,}, {self.epochs:.3g} epochs of {self.tokens_per_epoch:,}",
            "operations": f"{self.flops:.3g}",
            "memory": f"{self.memory_gb['total']:.2f} GB"
            f" in each process, {self.memory_gb['free']:.1f} GB free"
            f", minibatches in {self.shares} share{'s' if self.shares > 1 else ''}",
            "device": f"{self.device['name']}, processes: {self.device['processes']}",
            "speed": f"{self.peak_flops * self.mfu / GIGA:,.3g} of {self.peak_flops / GIGA:,.3g}"
            f" GFLOP/s (MFU {self.mfu:.0%})",
            "time": readable(self.seconds),
        }
        return [f"{name:12s} {value}" for name, value in told.items()]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def plan_of(model: Any, feed: Feed, config: LoopConfig, team: Team) -> tuple[Plan, Work]:
    """Try a few cells on a model that is to be trained, and work out what all steps would cost.

    Parameters
    ----------
    model
        Anything with a ``backbone`` and an ``objective``; its weights stay as they are.
    feed
        The cells.
    config
        How long and how fast to train.
    team
        The processes that train together.
    """
    network = Network(model.backbone, model.objective)
    device, world = network.backbone.device, team.world
    trial = Trial(network, config.optimizer, bool(config.ema), config.recompute)
    sample, sizes = feed.first(), feed.sizes(max(1, min(config.steps, LOOKED_AT)))
    with reproducible(device):
        work, need, fastest = trial.work(sample), trial.need(sample), peak(device)
        rate = 1 / trial.seconds_per_flop(sample, work)
    free, many = free_memory(device), config.steps / len(sizes)
    allowed = config.memory * GIGA if config.memory else FILL * free
    given, budget = config.shares, config.tokens_per_step
    shares = given if isinstance(given, int) else fitting(need, budget, allowed, world=world)
    flops = many * sum(map(work.of, sizes))
    tokens = int(many * sum(int(lengths.sum()) for lengths in sizes))
    planned = Plan(
        cells=len(feed.pick),
        features=network.objective.features,
        parameters={part: parameters(module) for part, module in network.named_children()},
        tokens_per_epoch=feed.tokens,
        steps=config.steps,
        tokens=tokens,
        epochs=round(tokens / feed.tokens, 4),
        flops=flops,
        shares=shares,
        memory_gb=_memory(need, max(budget / shares, padded(sample) / len(sample)), free),
        device={"kind": device.type, "name": name(device), "processes": world},
        peak_flops=fastest,
        mfu=rate / fastest,
        seconds=flops / rate / world,
    )
    return planned, work


def cost_of(planned: Plan, cost: dict[str, Any]) -> dict[str, str]:
    """Say for a model card what a run cost in the end."""
    joules, seconds = cost.get("joules"), cost.get("seconds", 0.0)
    flops, processes = cost.get("flops", 0.0), planned.device["processes"]
    reached = flops / max(seconds, 1e-9) / planned.peak_flops / processes
    return {
        "wall time": readable(seconds),
        "device": f"{planned.device['name']}; processes: {processes}",
        "tokens": f"{cost.get('tokens', 0):,}",
        "floating-point operations": f"{flops:.3g}, {reached:.0%} of what the device can do"
        f" (a matrix product: {planned.peak_flops / GIGA:,.3g} GFLOP/s)",
        "energy": f"{joules / 3.6e6:.3g} kWh (by {cost['joules_from']})"
        if joules
        else "not measured: the device does not tell",
    }


def _memory(need: Need, tokens: float, free: float) -> dict[str, float]:
    parts = {part: value for part, value in asdict(need).items() if part != "per_token"}
    parts["activations"] += need.per_token * tokens
    parts |= {"total": sum(parts.values()), "free": free}
    return {part: round(value / GIGA, 4) for part, value in parts.items()}


def readable(seconds: float) -> str:
    """Put a duration into words."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
