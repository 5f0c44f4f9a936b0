"""Cells per second in shuffled minibatches of 256: pancyte, its peers, and the limit.

Usage: ``python benchmarks/loading.py [--cells 200000] [--seconds 4] [--work FOLDER]``. Needs the
peers (``pip install scdataset``). The tiled cells stay in FOLDER for the next time.
"""

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import numpy as np
from stamp import RESULTS, stamp
from tiled import slabs, write_h5ad

from pancyte.corpus.datasets import load_dataset
from pancyte.store.build import build
from pancyte.store.corpus import Corpus
from pancyte.store.order import Order, Shuffle
from pancyte.store.stream import Stream

SIZE = 256
ROUNDS = 5

OURS = {
    "pancyte, blocks of 64 mixed over 256": Shuffle(block=64, window=256),
    "pancyte, blocks of 64 mixed over 16": Shuffle(block=64, window=16),
    "pancyte, blocks of 64, 4 to a minibatch": Shuffle(block=64, window=4),
    "pancyte, blocks of 16, 16 to a minibatch": Shuffle(block=16, window=16),
    "pancyte, every row by itself": Shuffle(block=1, window=16_384),
}
PEERS = {
    "scDataset, blocks of 64 (fetch 64)": Shuffle(block=64, window=256),
    "scDataset, blocks of 16 (fetch 64)": Shuffle(block=16, window=1024),
    "backed h5ad, blocks of 64": Shuffle(block=64, window=4),
}
"""How the peers' settings mix cells, for the diversity of their minibatches."""

Loader = Callable[[], Iterator[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each loader, a round")
    parser.add_argument("--work", type=Path, default=Path("runs/loading"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    source = given.work / f"tiled-{given.cells}.h5ad"
    if not source.exists():
        real = load_dataset("demo-pancreas")
        names = real.var_names.to_numpy(object)
        drawn = slabs(real.X.tocsr(), given.cells, low=0.7, high=1.0)
        write_h5ad(source, drawn, names)
    corpus = build(given.work / f"corpus-{given.cells}", [str(source)])
    rates = measured(loaders(corpus, source), given.seconds)
    page = table(corpus, rates, given.seconds)
    (RESULTS / "loading.md").write_text(page, encoding="utf-8")
    print((RESULTS / "loading.md").read_text(encoding="utf-8"))


def measured(found: dict[str, Loader], seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Cells per CPU second and per second on the clock, all loaders taking turns."""
    running = {name: forever(loader) for name, loader in found.items()}
    for loader in running.values():
        next(loader)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    for _ in range(ROUNDS):
        for name, loader in running.items():
            cells, cpu, clock = 0, time.process_time(), time.monotonic()
            while time.monotonic() - clock < seconds:
                cells += next(loader)
            used, passed = time.process_time() - cpu, time.monotonic() - clock
            rates[name].append((cells / used, cells / passed))
    return rates


def forever(loader: Loader) -> Iterator[int]:
    """Go through one epoch after another."""
    while True:
        yield from loader()


def loaders(corpus: Corpus, source: Path) -> dict[str, Loader]:
    """Everything that is compared; each call is an epoch and yields the cells of a minibatch."""
    part = corpus.parts[0]
    epochs = itertools.count()

    def limit() -> Iterator[int]:
        for start in range(0, len(part), SIZE):
            stop = min(start + SIZE, len(part))
            low, high = int(part.offsets[start]), int(part.offsets[stop])
            np.array(part.ids[low:high]), np.array(part.values[low:high])
            yield stop - start

    def ours(shuffle: Shuffle) -> Loader:
        stream = Stream(corpus, shuffle=shuffle)

        def epoch() -> Iterator[int]:
            yield from map(len, stream.epoch(next(epochs)))

        return epoch

    backed = anndata.read_h5ad(source, backed="r")

    def random_rows(block: int) -> Loader:
        def epoch() -> Iterator[int]:
            rng = np.random.default_rng(next(epochs))
            blocks = rng.permutation(len(part) // block)
            for some in blocks[: len(blocks) // (SIZE // block) * (SIZE // block)].reshape(
                -1, SIZE // block
            ):
                rows = (np.sort(some)[:, None] * block + np.arange(block)).ravel()
                yield backed.X[rows].shape[0]

        return epoch

    def collection() -> Iterator[int]:
        from anndata.experimental import AnnCollection, AnnLoader

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = AnnCollection([backed], join_vars="inner", harmonize_dtypes=False)
            loader = AnnLoader(whole, batch_size=SIZE, shuffle=True, use_default_converter=False)
            for cells in loader:
                yield cells.X.shape[0]

    def scdataset(block: int) -> Loader:
        from scdataset import BlockShuffling, scDataset

        def epoch() -> Iterator[int]:
            dataset = scDataset(
                backed,
                BlockShuffling(block_size=block),
                batch_size=SIZE,
                fetch_factor=64,
                fetch_callback=lambda data, rows: data.X[rows],
                seed=next(epochs),
            )
            for cells in dataset:
                yield cells.shape[0]

        return epoch

    return {
        "limit: the store's bytes copied in order": limit,
        **{name: ours(shuffle) for name, shuffle in OURS.items()},
        "scDataset, blocks of 64 (fetch 64)": scdataset(64),
        "scDataset, blocks of 16 (fetch 64)": scdataset(16),
        "backed h5ad, blocks of 64": random_rows(64),
        "backed h5ad, random rows": random_rows(1),
        "AnnCollection + AnnLoader, random rows": collection,
    }


def diversity(shuffle: Shuffle, labels: np.ndarray, minibatches: int = 400) -> float:
    """Entropy of a minibatch's labels, relative to minibatches of cells drawn at random.

    As scDataset reports it (D'Ascenzo & Cultrera, 2025), for cells that lie sorted by label.
    """
    rng = np.random.default_rng(0)
    windows = Order((len(labels),), (1.0,), shuffle).windows(0)
    cut = (rows[at : at + SIZE] for _, rows in windows for at in range(0, len(rows), SIZE))
    found = [entropy(labels[rows]) for rows in itertools.islice(cut, minibatches) if len(rows) > 1]
    drawn = [entropy(labels[rng.integers(len(labels), size=SIZE)]) for _ in range(minibatches)]
    return float(np.mean(found) / np.mean(drawn))


def entropy(labels: np.ndarray) -> float:
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(share * np.log(share)).sum())


def sorted_labels(cells: int) -> np.ndarray:
    """Study, donor and cell type of the demo's cells, as many as needed, sorted."""
    obs = load_dataset("demo-pancreas").obs[["study", "donor", "cell_type"]].astype(str)
    codes = obs.agg(" ".join, axis=1).astype("category").cat.codes.to_numpy()
    return np.sort(np.resize(codes, cells))


def table(corpus: Corpus, rates: dict[str, list[tuple[float, float]]], seconds: float) -> str:
    """Return the page."""
    part = corpus.parts[0]
    stored = part.ids.itemsize + part.values.itemsize
    lines = [
        "# Loading\n",
        "Shuffled minibatches of 256 cells as CSR arrays, from one file. All loaders read the same",
        "cells, peers from an uncompressed h5ad, in one process without workers, everything in the",
        "page cache. The limit copies the store's bytes, in order, 256 cells at a time: no sums,",
        "no list of cells. Every loader, the limit too, makes new arrays for each",
        "minibatch, and each is freed before the next one is made.\n",
        *stamp(
            f"python benchmarks/loading.py --seconds {seconds:g}",
            *("anndata", "h5py", "scdataset", "numba", "numpy"),
        ),
        f"- data: {len(part):,} cells × {part.about['features']:,} genes: the demo's cells drawn",
        "  with seed 0 and thinned binomially to 70–100 %,",
        f"  {part.about['nonzeros'] / len(part):,.0f} non-zeros a cell; the store takes {stored}",
        f"  bytes a non-zero ({', '.join(part.about['stored_as'])}), as do minibatches; the h5ad 8",
        f"- {ROUNDS} rounds of {seconds:g} s, all sides taking turns; medians, and the range",
        "- diversity: entropy of study, donor and cell type in a minibatch, 1 being that of cells",
        "  drawn at random, if the file were sorted by them, as the worst file would be",
        "",
        "| loader | cells per CPU-s | range | cells per s | of the limit | × random h5ad "
        "| diversity |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    cpu = {name: [rate for rate, _ in found] for name, found in rates.items()}
    clock = {name: float(np.median([rate for _, rate in found])) for name, found in rates.items()}
    labels = sorted_labels(len(part))
    varied = {name: diversity(shuffle, labels) for name, shuffle in {**OURS, **PEERS}.items()}
    first, base = next(iter(cpu)), "backed h5ad, random rows"
    for name, found in cpu.items():
        share = np.median(np.array(found) / np.array(cpu[first]))
        times = np.median(np.array(found) / np.array(cpu[base]))
        told = f"{varied[name]:.2f}" if name in varied else "–" if name == first else "1.00"
        lines.append(
            f"| {name} | {np.median(found):,.0f} | {min(found):,.0f}–{max(found):,.0f} | "
            f"{clock[name]:,.0f} | {share:.0%} | {times:,.1f}× | {told} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
