"""Seconds and memory to embed a cell with networks of the published sizes, on one core.

Usage: ``python benchmarks/model_costs.py [--cells 4] [NAME ...]``. Weights are random, as cost does
not depend on them; vocabularies are those of the cells. Each network has a process of its own.
Writes ``docs/results/model-costs.md``, and the numbers of `pancyte models` are taken from it.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import json
import multiprocessing
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.benchmark.trial import Cost, measured
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.models.card import Card
from pancyte.models.model import Model, build

FEWEST_GENES = 3000


@dataclass(frozen=True)
class Network:
    """A published size: the backbone's settings, and how many tokens a cell may have."""

    backbone: str
    tokenizer: str
    longest: int
    sizes: dict[str, int] = field(default_factory=dict)
    pooling: str = "mean"


def bert(depth: int, width: int, longest: int) -> Network:
    sizes = {"depth": depth, "width": width, "heads": width // 64, "inner": 2 * width}
    return Network("bert", "rank", longest, sizes)


def uce(depth: int) -> Network:
    sizes = {"depth": depth, "width": 1280, "heads": 20, "inner": 5120, "proteins": 5120}
    return Network("uce", "genome", 1024, sizes, "cls")


NETWORKS = {
    "geneformer-v1-6l": bert(6, 256, 2048),
    "geneformer-v1-12l": bert(12, 512, 2048),
    "geneformer-95m-12l": bert(12, 512, 4096),
    "geneformer-95m-20l": bert(20, 896, 4096),
    "geneformer-v2-104m": bert(12, 768, 4096),
    "geneformer-v2-316m": bert(18, 1152, 4096),
    "scgpt": Network("scgpt", "bins", 1199, {"depth": 12, "width": 512, "heads": 8}, "cls"),
    "scbert": Network(
        "scbert", "log2", 16_906, {"depth": 6, "width": 200, "heads": 10, "inner": 800, "bins": 7}
    ),
    "scfoundation": Network(
        "scfoundation", "continuous", 19_264, {"depth": 12, "width": 768, "heads": 12}
    ),
    "nicheformer": Network(
        "nicheformer", "rank", 1500, {"depth": 12, "width": 512, "heads": 16, "inner": 1024}
    ),
    "transcriptformer": Network(
        "transcriptformer",
        "continuous",
        2047,
        {"depth": 12, "width": 2048, "heads": 16, "inner": 2048, "proteins": 2560},
    ),
    "cellplm": Network("cellplm", "continuous", 20_000, {"depth": 4, "width": 1024}),
    "uce, 4 layers": uce(4),
    "uce, 33 layers": uce(33),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--work", type=Path, default=Path("runs/model-costs"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    for name in given.names:
        path = given.work / f"{name}.json"
        if not path.exists():
            answer = context.SimpleQueue()
            child = context.Process(target=measure, args=(name, given.cells, answer))
            child.start()
            child.join()
            if child.exitcode:
                raise SystemExit(f"{name} ended with {child.exitcode}")
            path.write_text(json.dumps(answer.get()), encoding="utf-8")
            print(name, path.read_text(), flush=True)
    found = {n: json.loads((given.work / f"{n}.json").read_text()) for n in given.names}
    (RESULTS / "model-costs.md").write_text(page(found), encoding="utf-8")


def measure(name: str, number: int, answer: Any) -> None:
    """Embed cells twice; the second time counts."""
    torch.set_num_threads(1)
    pan.settings.verbosity = 0
    network = NETWORKS[name]
    cells = to_cells(load_dataset("demo-pancreas"), name="pancreas")
    rich = np.flatnonzero(cells.counts.getnnz(axis=1) >= FEWEST_GENES)
    few = cells.select(np.sort(np.random.default_rng(0).permutation(rich)[:number]))
    settings = {"max_length": network.longest}
    tokenizer = build("tokenizers", {"name": network.tokenizer, "config": settings}).fit(cells)
    before, whole = Cost(), Cost()
    with measured(before):
        pass
    with measured(whole):
        model = Model.create(
            tokenizer,
            backbone={"name": network.backbone, "config": network.sizes},
            objective={"name": "contrastive"},
            card=Card(name),
            pooling=network.pooling,
        )
        model.embed(few)
        start = time.process_time()
        model.embed(few)
        seconds = (time.process_time() - start) / number
    lengths = np.diff(tokenizer(few).offsets)
    answer.put(
        {
            "seconds": seconds,
            "mib": whole.peak_memory - before.peak_memory,
            "tokens": float(np.mean(lengths)),
            "parameters": sum(weight.numel() for weight in model.backbone.parameters()),
        }
    )


def page(found: dict[str, dict[str, float]]) -> str:
    lines = [
        "# What a cell costs\n",
        "Networks of the sizes that were published, with random weights, on the richest of the "
        f"shipped pancreas cells (at least {FEWEST_GENES:,} genes). Vocabularies are those of the "
        "cells, so tables of genes are a little smaller or larger than the published ones.\n",
        *stamp("python benchmarks/model_costs.py", "torch", "numpy"),
        "- one core of a busy machine, 32-bit floats, the second of two passes; memory is what the "
        "process takes beyond the program and the cells\n",
        "| model | parameters | tokens a cell | CPU-s a cell | memory, MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in found.items():
        numbers = f"{row['parameters']:,} | {row['tokens']:,.0f} | {row['seconds']:.2g}"
        lines.append(f"| {name} | {numbers} | {row['mib']:,.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
