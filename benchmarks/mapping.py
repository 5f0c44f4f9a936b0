"""Mapping onto a reference of up to a million cells: recall, speed, memory.

Usage: ``python benchmarks/mapping.py [--cells 10000 100000 1000000]``. Vectors of real pancreas and
blood cells, 50 principal components, tiled to the size asked with noise of a tenth of each
direction's spread, so that no two are alike.
"""

import argparse
import resource
import time

import numpy as np
from stamp import RESULTS, stamp

from pancyte import registry
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.mapping.search import Exact, Lists, bytes_a_cell

ASKED, FEWER, K, ROUNDS = 2000, 300, 15, 3
NOISE = 0.1


def real() -> np.ndarray:
    """Principal components of each set by itself, side by side in one space."""
    parts = []
    for source in ("pancreas-4studies", "kang-pbmc-ifnb"):
        cells = to_cells(load_dataset(source))
        (Z,) = registry.get("methods", "pca")().embed(cells, batch_key=None, seed=0)
        parts.append(Z + 50 * len(parts))
    return np.vstack(parts).astype(np.float32)


def tiled(Z: np.ndarray, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return `cells` rows of `Z`, each with noise of its own."""
    rows = rng.integers(0, len(Z), cells)
    return Z[rows] + rng.normal(size=(cells, Z.shape[1])).astype(np.float32) * NOISE * Z.std(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    given = parser.parse_args()
    Z, lines = real(), []
    for cells in given.cells:
        rng = np.random.default_rng(0)
        reference, asked = tiled(Z, cells, rng), tiled(Z, ASKED, rng)
        start = time.process_time()
        lists, exact = Lists.build(reference), Exact(reference)
        built = time.process_time() - start
        speeds: dict[str, list[float]] = {"exact": [], "lists": []}
        for _ in range(ROUNDS):
            for name, search in (("exact", exact), ("lists", lists)):
                part = asked if name == "lists" else asked[:FEWER]
                start = time.process_time()
                found = search.nearest(part, K)[0]
                speeds[name].append(len(part) / (time.process_time() - start))
                if name == "exact":
                    truth = found
                else:
                    near = found[:FEWER]
        recall = [len(set(a) & set(b)) / K for a, b in zip(truth, near, strict=True)]
        error = 1.96 * np.std(recall) / np.sqrt(len(recall))
        lines.append(
            f"| {cells:,} | {np.mean(recall):.4f} ± {error:.4f} | {shown(speeds['exact'])} | "
            f"{shown(speeds['lists'])} | "
            f"{np.median(speeds['lists']) / np.median(speeds['exact']):.0f}× | {built:.1f} | "
            f"{bytes_a_cell(Z.shape[1])} | {cells * bytes_a_cell(Z.shape[1]) / 1e6:,.0f} MB |"
        )
        print(lines[-1], flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    page = [
        "# Mapping onto a reference\n",
        f"{ASKED:,} cells ask for their {K} nearest in references of growing size: exactly, and by "
        "the lists that `pan.tl.map` makes above 50,000 cells. Real cells' 50 principal "
        f"components (pancreas and blood), tiled with noise of {NOISE:g} of their spread.\n",
        *stamp("python benchmarks/mapping.py", "numpy"),
        f"- seed 0; recall of the {K} nearest against exact search on 300 of the cells, with the "
        f"95 % interval over cells; speeds are medians of {ROUNDS} interleaved rounds (and their "
        "range), one thread, CPU seconds",
        f"- peak memory of the whole benchmark {peak / 1e9:.1f} GB, several copies of them in it",
        "",
        "| cells | recall | exact, queries a CPU second | lists | ratio | built, CPU s | "
        "bytes a cell | as stated before |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        *lines,
    ]
    (RESULTS / "mapping.md").write_text("\n".join(page) + "\n", encoding="utf-8")


def shown(values: list[float]) -> str:
    """Median and range."""
    return f"{np.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


if __name__ == "__main__":
    main()
