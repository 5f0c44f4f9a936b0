"""Rare cells: real types spiked into others, data without a rare type, and doublets as decoys.

Usage: ``python benchmarks/rare.py [--seeds 10] [--work DIR] [--table]``. Answers are kept in DIR
run by run, so an interrupted benchmark goes on; the table is made of what is there, and with
``--table`` of that alone.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rare_tables as tables
from scipy.sparse import csr_matrix, vstack
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte import registry
from pancyte.corpus.cells import column, to_cells
from pancyte.shapes import Cells

METHODS = (
    "rare-groups", "leiden-smallest", "isolation-forest", "lof", "gini-like", "fire-like",
    "cad-like",
)  # fmt: skip
CELLS, SHARES, FEWEST = 1500, (0.001, 0.005, 0.01, 0.05), 3
DECOYS = 0.02
NULL_SEEDS = 5


@dataclass(frozen=True)
class Spike:
    """A type that is made rare among others of one data set."""

    dataset: str
    background: tuple[str, ...]
    rare: str


KANG = ("kang-control", ("CD4 T cells", "CD14+ Monocytes"))
ISLETS = ("type B pancreatic cell", "pancreatic A cell", "pancreatic ductal cell",
          "pancreatic acinar cell")  # fmt: skip
SPIKES = (
    Spike(*KANG, "B cells"),
    Spike(*KANG, "FCGR3A+ Monocytes"),
    Spike(*KANG, "Dendritic cells"),
    Spike("baron-human", ISLETS, "pancreatic stellate cell"),
    Spike("pbmc3k", ("CD4 T cells", "CD14+ Monocytes"), "NK cells"),
)
NULLS = (
    ("kang-control", ("CD14+ Monocytes",)),
    ("kang-control", ("CD4 T cells",)),
    ("pbmc3k", ("CD4 T cells",)),
    ("baron-human", ("type B pancreatic cell",)),
)


@dataclass(frozen=True)
class Trial:
    """Cells, which of them are rare, and which are decoys."""

    kind: str
    title: str
    share: float
    seed: int
    cells: Cells
    rare: np.ndarray
    decoy: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.kind}.{self.title}.{self.share}.{self.seed}".replace(" ", "_")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--work", type=Path, default=Path("runs/rare"))
    parser.add_argument("--table", action="store_true", help="run nothing, only make the table")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    pan.settings.verbosity = 0
    warnings.simplefilter("ignore")
    for seed in range(0 if given.table else given.seeds):
        for trial in trials(seed):
            ask(trial, given.work)
    lines = stamp("python benchmarks/rare.py", "scikit-learn", "scanpy")
    (RESULTS / "rare.md").write_text(tables.page(given.work, lines, CELLS), encoding="utf-8")


def trials(seed: int) -> Iterator[Trial]:
    """One seed's trials: every spike at every share, every null as it is, shuffled, with decoys."""
    for spike in SPIKES:
        for share in SHARES:
            yield spiked(spike, share, seed)
    for dataset, types in NULLS if seed < NULL_SEEDS else ():
        cells = some(dataset, types, CELLS, np.random.default_rng([seed, 1]))
        none = np.zeros(len(cells), dtype=bool)
        title = f"{dataset}: {types[0]}"
        yield Trial("null", title, 0.0, seed, cells, none, none)
        yield Trial("shuffled", title, 0.0, seed, shuffled(cells, seed), none, none)
    yield with_doublets(seed)


def ask(trial: Trial, work: Path) -> None:
    """Ask every method, and keep its scores, its groups and its CPU time."""
    for name in METHODS:
        path = work / f"{trial.name}.{name}.npz"
        if path.exists():
            continue
        started = time.process_time()
        answer = registry.get("methods", name)().find_rare(trial.cells, seed=trial.seed)
        groups = np.zeros((len(answer.groups), len(trial.cells)), dtype=bool)
        for row, group in enumerate(answer.groups):
            groups[row, group] = True
        np.savez_compressed(
            path, kind=trial.kind, title=trial.title, share=trial.share, seed=trial.seed,
            method=name, rare=trial.rare, decoy=trial.decoy, scores=answer.scores,
            groups=groups, seconds=time.process_time() - started,
        )  # fmt: skip
    print(trial.name, flush=True)


LOADED: dict[str, Cells] = {}


def labelled(dataset: str) -> Cells:
    if dataset not in LOADED:
        LOADED[dataset] = to_cells(pan.load_dataset(dataset), name=dataset)
    return LOADED[dataset]


def some(dataset: str, types: tuple[str, ...], count: int, rng: np.random.Generator) -> Cells:
    """Draw cells of some types without replacement, in random order."""
    cells = labelled(dataset)
    rows = np.flatnonzero(np.isin(column(cells, "cell_type"), types))
    return cells.select(rng.permutation(rows)[:count])


def spiked(spike: Spike, share: float, seed: int) -> Trial:
    rng = np.random.default_rng([seed, round(share * 1000)])
    count = max(FEWEST, round(share * CELLS))
    common = some(spike.dataset, spike.background, CELLS - count, rng)
    rare = some(spike.dataset, (spike.rare,), count, rng)
    cells, which = mixed(common, rare, rng)
    none = np.zeros(len(cells), dtype=bool)
    return Trial("spike", f"{spike.dataset}: {spike.rare}", share, seed, cells, which, none)


def with_doublets(seed: int) -> Trial:
    """Sums of a T cell and a monocyte, which are among the cells too."""
    rng = np.random.default_rng([seed, 2])
    count = round(DECOYS * CELLS)
    common = some(*KANG, CELLS - count, rng)
    first, second = (some(KANG[0], (name,), count, rng) for name in KANG[1])
    both = replace(first, counts=(first.counts + second.counts).tocsr())
    cells, decoy = mixed(common, both, rng)
    title = "kang-control: T cell + monocyte"
    return Trial("doublets", title, DECOYS, seed, cells, np.zeros_like(decoy), decoy)


def mixed(common: Cells, few: Cells, rng: np.random.Generator) -> tuple[Cells, np.ndarray]:
    """Put two sets of cells with the same genes together in random order; say who was few."""
    import pandas as pd

    order = rng.permutation(len(common) + len(few))
    joined = replace(
        common,
        counts=vstack([common.counts, few.counts], format="csr"),
        obs=pd.concat([common.obs, few.obs]),
        context=pd.concat([common.context, few.context]),
    )
    return joined.select(order), order >= len(common)


def shuffled(cells: Cells, seed: int) -> Cells:
    """Shuffle each gene among all cells, ten groups of depth apart: nothing is left to find."""
    rng = np.random.default_rng([seed, 3])
    depth = np.asarray(cells.counts.sum(axis=1)).ravel()
    bands = np.array_split(np.argsort(depth, kind="stable"), 10)
    counts = cells.counts.toarray()
    for band in bands:
        counts[band] = rng.permuted(counts[band], axis=0)
    return replace(cells, counts=csr_matrix(counts))


if __name__ == "__main__":
    main()
