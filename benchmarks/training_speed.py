"""Training speed and memory against padded networks, shaped as scGPT's and Geneformer's.

Usage: ``python benchmarks/training_speed.py [--device cuda]``. Needs ``pip install transformers``.
Writes ``docs/results/training-speed.md`` (``training-speed-cuda.md`` with CUDA). ``--part`` runs
one shape or ``curves`` alone; the page is written when all parts are there (``--work FOLDER``).
"""

import os

# One core for everybody, which torch and numba read when they are imported
os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from padded import PaddedEncoder, bert, bert_loss
from scipy.sparse import csr_matrix, vstack
from stamp import RESULTS, stamp
from torch import nn

from pancyte.backbones.backbone import reproducible
from pancyte.backbones.scgpt import ScGPT, ScGPTConfig
from pancyte.backbones.transformer import Transformer, TransformerConfig
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.objectives.masked_gene import MaskedGene, MaskedGeneConfig
from pancyte.objectives.masked_value import MaskedValue, MaskedValueConfig
from pancyte.objectives.scgpt import ScGPTHeads, ScGPTHeadsConfig
from pancyte.shapes import Cells, Tokens
from pancyte.tokenizers.bins import BinsConfig, BinsTokenizer
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig
from pancyte.tokenizers.vocabulary import Vocabulary
from pancyte.training.network import Network
from pancyte.training.optimizer import adamw, default_rate
from pancyte.training.order import minibatches

SETS = ("pancreas-4studies", "kang-pbmc-ifnb")
SEED, SHALLOWEST = 0, 200
VALUE, SCGPT, GENE = "values", "scGPT's bins", "genes"
"""What is trained: masked values as pancyte does by default, as scGPT does, masked genes."""


@dataclass(frozen=True)
class Shape:
    """A network, the data it reads and how much of them a round takes."""

    name: str
    task: str
    depth: int
    width: int
    expansion: int
    longest: int
    cells: int
    together: int
    full: bool = False
    sets: tuple[str, ...] = SETS


SHAPES = {
    "scgpt": Shape("4 × 256, scGPT's", SCGPT, 4, 256, 1, 1200, 64, 32),
    "scgpt-blood": Shape("the same, blood alone", SCGPT, 4, 256, 1, 1200, 64, 32, sets=SETS[1:]),
    "values": Shape("4 × 256, values", VALUE, 4, 256, 4, 1200, 64, 32),
    "values-full": Shape(
        "4 × 256, values, every cell cut to 1,200", VALUE, 4, 256, 4, 1200, 2, 2, full=True
    ),
    "ranks": Shape("6 × 256, ranks", GENE, 6, 256, 2, 2048, 4, 2),
}
CURVES = "curves"
PARTS = (*SHAPES, CURVES)
OURS = "pancyte"
SIDES = {
    VALUE: (OURS, "TransformerEncoder, padded to the longest"),
    SCGPT: (OURS, "TransformerEncoder, padded to the longest"),
    GENE: (
        OURS,
        "BERT (SDPA), similar lengths, padded to the longest",
        "BERT (eager), similar lengths, padded to the longest",
        "BERT (eager), padded to 2,048",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--scale", type=int, default=1, help="times as many cells (for a GPU)")
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--work", type=Path, default=Path("runs/training-speed"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = given.work / given.device
    folder.mkdir(parents=True, exist_ok=True)
    for part in [given.part] if given.part else PARTS:
        told = json.dumps(measured(given, part), indent=1)
        (folder / f"{part}.json").write_text(told, encoding="utf-8")
    found = {part: folder / f"{part}.json" for part in PARTS}
    if all(path.exists() for path in found.values()):
        parts = {name: json.loads(path.read_text("utf-8")) for name, path in found.items()}
        name = "training-speed" if given.device == "cpu" else f"training-speed-{given.device}"
        (RESULTS / f"{name}.md").write_text(page(given, parts), encoding="utf-8")
        print((RESULTS / f"{name}.md").read_text("utf-8"))


def measured(given: argparse.Namespace, part: str) -> dict[str, Any]:
    """Measure one part, as it is kept on disk."""
    if part != CURVES:
        return {"rows": compared(given, corpus(SHAPES[part].sets), SHAPES[part])}
    cells = corpus(SETS)
    # sameness takes its networks from this file
    from sameness import curves, largest_difference

    lengths = np.diff(cells.counts.indptr)
    return {
        "difference": max(largest_difference(cells, task) for task in (VALUE, SCGPT)),
        "curves": curves(cells),
        "genes": [int(value) for value in (np.median(lengths), lengths.min(), lengths.max())],
        "vocabulary": cells.counts.shape[1],
    }


def corpus(sets: tuple[str, ...]) -> Cells:
    """Real cells of each set, as many of each, in random order."""
    rng = np.random.default_rng(SEED)
    sources = [to_cells(load_dataset(name)) for name in sets]
    vocabulary = Vocabulary.union(sources)
    parts = []
    for source in sources:
        counts = vocabulary.align(source)[0]
        deep = np.flatnonzero(np.diff(counts.indptr) >= SHALLOWEST)
        parts.append(counts[rng.choice(deep, 1000, replace=False)])
    count = 1000 * len(parts)
    mixed = csr_matrix(vstack(parts))[rng.permutation(count)]
    return Cells(mixed, vocabulary.table, pd.DataFrame(index=pd.RangeIndex(count).astype(str)))


def tokens_of(cells: Cells, task: str, **limits: int) -> Tokens:
    if task == SCGPT:
        return BinsTokenizer(BinsConfig(**limits)).fit(cells)(cells)
    kind = RankTokenizer if task == GENE else ContinuousTokenizer
    return kind(TokenizerConfig(**limits)).fit(cells)(cells)


def backbone_of(shape: Shape, features: int) -> Transformer | ScGPT:
    if shape.task == SCGPT:
        sizes = {"depth": shape.depth, "width": shape.width, "inner": shape.width * shape.expansion}
        kind = ScGPTConfig(features, "continuous", shape.longest, dropout=0.0, **sizes)
        return ScGPT(kind)
    kind = "rank" if shape.task == GENE else "continuous"
    config = TransformerConfig(
        features,
        kind,
        shape.longest,
        depth=shape.depth,
        width=shape.width,
        heads=max(1, shape.width // 64),
        expansion=shape.expansion,
    )
    return Transformer(config)


def objective_of(task: str, width: int, features: int) -> nn.Module:
    if task == GENE:
        return MaskedGene(MaskedGeneConfig(), width=width, features=features)
    if task == SCGPT:
        return ScGPTHeads(ScGPTHeadsConfig(), width=width, features=features)
    return MaskedValue(MaskedValueConfig(absent=0.0), width=width, features=features)


class Side:
    """One way to train: a network, its optimizer and its minibatches."""

    def __init__(self, shape: Shape, side: str, features: int, device: str = "cpu") -> None:
        self.shape, self.side, self.device = shape, side, device
        objective = objective_of(shape.task, shape.width, features).to(device)
        parts: list[nn.Module] = [objective]
        self.loss: Callable[..., torch.Tensor]
        if side.startswith("BERT"):
            attention = "eager" if "eager" in side else "sdpa"
            size = {"depth": shape.depth, "width": shape.width, "length": shape.longest}
            network = bert(features, attention=attention, **size).to(device)
            pad = shape.longest if "2,048" in side else None
            self.loss = lambda seen, target: bert_loss(network, seen, target, pad)
            parts = [network]
        else:
            network = backbone_of(shape, features)
            network = (network if side == OURS else PaddedEncoder(network)).to(device)
            both = Network(network, objective)
            self.loss = lambda seen, target: sum(both(seen, target).values())
            parts.append(network)
        self.network, self.objective = network, objective
        self.optimizer = adamw(parts, rate=default_rate(shape.width), decay=0.05)
        self.parameters = [parameter for part in parts for parameter in part.parameters()]

    def batches(self, tokens: Tokens, together: int, seed: int = 0) -> Iterator[Tokens]:
        """Cut cells into minibatches as this side does: sorted by length, or in random order."""
        lengths = tokens.lengths.numpy()
        if self.side == OURS:
            budget = int(together * (lengths.mean() + 1))
            chosen = minibatches(lengths, budget, seed=seed, epoch=0)
        else:
            order = np.random.default_rng(seed).permutation(len(tokens))
            if "similar" in self.side:
                order = order[np.argsort(-lengths[order], kind="stable")]
            chosen = [order[at : at + together] for at in range(0, len(order), together)]
        for rows in chosen:
            yield tokens.select(torch.from_numpy(np.ascontiguousarray(rows)))

    def step(self, tokens: Tokens, seed: int = 0) -> float:
        """One forward, backward and update; return the loss."""
        seen, target = self.objective.corrupt(tokens, torch.Generator().manual_seed(seed))
        seen = seen.to(self.device)
        target = {name: value.to(self.device) for name, value in target.items()}
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            loss = self.loss(seen, target)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())


def chosen_tokens(cells: Cells, shape: Shape, scale: int) -> Tokens:
    tokens = tokens_of(cells, shape.task, max_length=shape.longest)
    lengths = tokens.lengths.numpy()
    fits = np.flatnonzero(lengths == shape.longest) if shape.full else np.arange(len(lengths))
    return tokens.select(torch.from_numpy(fits[: shape.cells * scale].copy()))


def compared(given: argparse.Namespace, cells: Cells, shape: Shape) -> list[dict[str, Any]]:
    """Seconds and memory of every side on the same cells, all taking turns."""
    tokens = chosen_tokens(cells, shape, given.scale)
    together = shape.together * given.scale
    sides = [Side(shape, side, cells.counts.shape[1], given.device) for side in SIDES[shape.task]]
    batches = {side.side: [*side.batches(tokens, together)] for side in sides}
    found: dict[str, list[tuple[float, float]]] = {side.side: [] for side in sides}
    turn = turn_on_gpu if given.device == "cuda" else turn_apart
    with reproducible(torch.device(given.device)):
        for _ in range(given.rounds):
            for side in sides:
                found[side.side].append(turn(side, batches[side.side]))
    real = int(tokens.lengths.sum())
    seconds, peaks = (
        {name: np.array(turns)[:, at] for name, turns in found.items()} for at in (0, 1)
    )
    return [
        {
            "shape": shape.name,
            "side": side.side,
            "padded": padded(side, batches[side.side], shape) / real,
            "rate": float(real / np.median(seconds[side.side])),
            "ratios": (seconds[side.side] / seconds[OURS]).tolist(),
            "memory": float(np.median(peaks[side.side])),
        }
        for side in sides
    ]


def turn_apart(side: Side, batches: list[Tokens]) -> tuple[float, float]:
    """CPU seconds of these steps, and MiB they add at their peak, in a process of their own."""
    reading, writing = os.pipe()
    # the peak of a forked process begins at what it holds when it is forked
    if not (child := os.fork()):
        held, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        for batch in batches:
            side.step(batch)
        spent, used = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF)
        os.write(writing, json.dumps([spent, (used.ru_maxrss - held) / 1024]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    spent, peak = json.loads(os.read(reading, 200))
    return spent, peak


def turn_on_gpu(side: Side, batches: list[Tokens]) -> tuple[float, float]:
    """Seconds by the clock, and MiB that tensors take at their peak, after a first step."""
    side.step(batches[0])
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held, began = torch.cuda.memory_allocated(), time.perf_counter()
    for batch in batches:
        side.step(batch)
    torch.cuda.synchronize()
    return time.perf_counter() - began, (torch.cuda.max_memory_allocated() - held) / 2**20


def padded(side: Side, batches: list[Tokens], shape: Shape) -> int:
    """Count the places that a side computes for these minibatches."""
    if "2,048" in side.side:
        return sum(len(batch) * shape.longest for batch in batches)
    return sum(len(batch) * int(batch.lengths.max()) for batch in batches)


def page(given: argparse.Namespace, parts: dict[str, Any]) -> str:
    told = parts[CURVES]
    middle, least, most = told["genes"]
    lines = [
        "# Training speed\n",
        "Forward, backward and AdamW step, per real token (padding does not count), of pancyte's",
        "networks on minibatches of similar length, of `torch.nn.TransformerEncoder` with the",
        "same weights, and of `transformers.BertForMaskedLM` in Geneformer's shape. The same",
        "cells, genes hidden and optimizer.\n",
        *stamp("python benchmarks/training_speed.py", "torch", "transformers"),
        f"- device: {given.device}, {'bf16' if given.device == 'cuda' else 'fp32, one core'};",
        f"  {given.rounds} rounds, all sides taking turns in each; medians, and the range of the",
        "  ratio; no dropout",
        f"- data: cells of {' and '.join(SETS)}, as many of each, with at least {SHALLOWEST}",
        f"  genes, {middle:,} in the middle cell, {least:,}–{most:,} in all; a vocabulary of",
        f"  {told['vocabulary']:,}",
        "",
        f"| network | trained by | real tokens per {'s' if given.device == 'cuda' else 'CPU-s'} "
        "| pancyte is faster by | range | places per token | peak memory of a step |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in (row for part in PARTS[:-1] for row in parts[part]["rows"]):
        found = row["ratios"]
        lines.append(
            f"| {row['shape']} | {row['side']} | {row['rate']:,.0f} | {np.median(found):.2f}× | "
            f"{min(found):.2f}–{max(found):.2f} | {row['padded']:.2f} | {row['memory']:,.0f} MiB |"
        )
    sizes = {
        (shape.cells * given.scale, shape.together * given.scale): None for shape in SHAPES.values()
    }
    batches = ", ".join(f"{cells} in minibatches of about {size}" for cells, size in sizes)
    return "\n".join(lines) + "\n" + TEXT.format(batches=batches, **told)


TEXT = """
*scGPT's* are its layers (feed-forward part as wide as the vectors), bins and two losses, from the
hidden genes' tokens and from `<cls>`; *values* is pancyte's own network, whose second loss asks the
mean over all tokens. Cells of a round: {batches}. The `TransformerEncoder` pads as scGPT's collator
does: cells in random order, 32 at a time, which is the default of its pre-training, to the longest
of the minibatch, 1,200 at most. BERT pads to the longest of cells of similar length, as
Geneformer's training does, or to 2,048. BERT predicts at every place and discards all but the
hidden 15 %; pancyte predicts at those alone. Of its last layer pancyte computes what the loss
reads, and attention cell by cell, so that on a CPU nothing is padded at all; the loss is the same.
*Places per token* are those of the longest cell of each minibatch. Memory is what a round adds to a
process that holds the weights: activations, gradients and AdamW's moments.

## Equal loss per token

On one minibatch, from the same weights, the padded `TransformerEncoder` and pancyte (its own
network, and scGPT's) differ by {difference:.1e} at most in loss and any gradient, relative to the
largest: they are one function, and only which cells share a minibatch differs. What that does is
seen by training both ways:

{curves}
"""

if __name__ == "__main__":
    main()
