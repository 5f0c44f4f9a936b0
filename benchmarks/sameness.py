"""That two ways to train reach the same loss: one function, and the same curves."""

from __future__ import annotations

import numpy as np
import torch
from padded import PaddedEncoder
from training_speed import (
    GENE,
    OURS,
    SCGPT,
    VALUE,
    Shape,
    Side,
    backbone_of,
    objective_of,
    tokens_of,
)

from pancyte.backbones.backbone import reproducible
from pancyte.shapes import Cells, Tokens
from pancyte.training.network import Network
from pancyte.training.optimizer import rate_at

FEATURES, LONGEST, TRAIN, HELD_OUT, SEEDS, EPOCHS = 2000, 192, 600, 100, 2, 1
RATE, TOGETHER = 1e-3, 16


def small(task: str) -> Shape:
    return Shape("2 × 128", task, 2, 128, 2, LONGEST, 0, TOGETHER)


def some_tokens(cells: Cells, task: str) -> Tokens:
    return tokens_of(cells, task, features=FEATURES, max_length=LONGEST)


def largest_difference(cells: Cells, task: str) -> float:
    """Difference in loss and gradients from the same weights, relative to the largest of each."""
    tokens = some_tokens(cells, task).select(torch.arange(12))
    objective = objective_of(task, 128, FEATURES)
    ours = backbone_of(small(task), FEATURES)
    theirs = PaddedEncoder(ours)
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    both = [Network(network, objective) for network in (ours, theirs)]
    losses = [sum(network(seen, target).values()) for network in both]
    pairs = [tuple(loss.detach() for loss in losses)]
    tables = [network.embedding.feature.weight for network in (ours, theirs)]
    out = ours.layers[0].get_submodule("out" if task == SCGPT else "attention.out")
    outs = [out.weight, theirs.encoder.layers[0].self_attn.out_proj.weight]
    inner = [ours.layers[1].expand.weight, theirs.encoder.layers[1].linear1.weight]
    for first, second in (tables, outs, inner):
        pairs.append(
            (
                torch.autograd.grad(losses[0], first, retain_graph=True)[0],
                torch.autograd.grad(losses[1], second, retain_graph=True)[0],
            )
        )
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def curves(cells: Cells) -> str:
    """Held-out loss on the way, for each way to train; a Markdown table."""
    lines = [
        f"Two layers of 128, {FEATURES:,} genes, at most {LONGEST} tokens a cell, minibatches of",
        f"about {TOGETHER} cells, {EPOCHS} epoch(s) of {TRAIN:,} cells, rate {RATE} after",
        f"a warm-up, {SEEDS} seeds (of order and hidden genes); loss on {HELD_OUT} other cells.",
        "",
        "| task | trained by | after a quarter | half | all tokens | tokens |",
        "|---|---|---:|---:|---:|---:|",
    ]
    padded = (OURS, "TransformerEncoder")
    for task, sides in ((SCGPT, padded), (VALUE, padded), (GENE, (OURS, "BERT (SDPA)"))):
        tokens = some_tokens(cells, task)
        for side in sides:
            seen = [trained(task, side, tokens, seed) for seed in range(SEEDS)]
            told = " | ".join(" / ".join(f"{losses[at]:.3f}" for losses in seen) for at in range(3))
            total = EPOCHS * int(tokens.lengths[HELD_OUT:][:TRAIN].sum())
            lines.append(f"| masked {task} | {side} | {told} | {total:,} |")
    return "\n".join(lines)


def trained(task: str, name: str, tokens: Tokens, seed: int) -> list[float]:
    torch.manual_seed(seed)
    side = Side(small(task), name, FEATURES)
    held_out = tokens.select(torch.arange(HELD_OUT))
    train = tokens.select(torch.arange(HELD_OUT, HELD_OUT + TRAIN))
    if name == OURS:
        # as `Model.create` does
        side.objective.tell_detection(torch.bincount(train.ids, minlength=FEATURES) / len(train))
    batches = [
        batch
        for epoch in range(EPOCHS)
        for batch in side.batches(train, TOGETHER, seed=seed * EPOCHS + epoch)
    ]
    read, total = 0, sum(len(batch.ids) for batch in batches)
    marks, losses = [0.25, 0.5, 1.0], []
    with reproducible(torch.device("cpu")):
        for number, batch in enumerate(batches):
            rate = rate_at(number, peak=RATE, warmup=len(batches) // 10, steps=len(batches))
            for group in side.optimizer.param_groups:
                group["lr"] = rate
            side.step(batch, seed=number + 100_000 * seed)
            read += len(batch.ids)
            if read >= marks[len(losses)] * total:
                losses.append(scored(side, held_out))
    return losses


@torch.no_grad()
def scored(side: Side, held_out: Tokens) -> float:
    """Mean loss of all questions about the held-out cells, a few cells at a time."""
    found, asked = [], []
    for at in range(0, len(held_out), 40):
        some = held_out.select(torch.arange(at, min(at + 40, len(held_out))))
        seen, target = side.objective.corrupt(some, torch.Generator().manual_seed(at))
        found.append(float(side.loss(seen, target)))
        asked.append(len(target["positions"]))
    return float(np.average(found, weights=asked))
