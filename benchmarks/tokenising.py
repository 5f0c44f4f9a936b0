"""Compare the rank and bins tokenizers with the published per-cell numpy algorithms on one core.

Usage: ``python benchmarks/tokenising.py [--cells 20480] [--rounds 7]``. Writes
``docs/results/tokenising.md``. Outputs are compared first; then both sides take turns, and CPU
seconds are counted.
"""

import os

# One core for everybody, which numpy and numba read when they are imported
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import datetime
import platform
import time
from collections.abc import Callable, Iterator

import numba
import numpy as np
import pandas as pd
import scipy
from scipy.sparse import csr_matrix, vstack
from stamp import ROOT, commit, processor

from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.shapes import Cells, Tokens
from pancyte.tokenizers.alignment import AlignedTokenizer
from pancyte.tokenizers.bins import BinsConfig, BinsTokenizer
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.packing import Rows
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig
from pancyte.tokenizers.vocabulary import Vocabulary

SEED, MINIBATCH = 0, 256
DEEP, KEPT, MAX_LENGTH, BINS = 1000, 0.8, 2048, 51
SETS = ("pancreas-4studies", "kang-pbmc-ifnb")
Side = Callable[[], Iterator[object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_480)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    cells = corpus(given.cells)
    fitted = RankTokenizer(TokenizerConfig(max_length=MAX_LENGTH)).fit(cells)
    table = fitted.vocabulary.table
    counts = fitted.vocabulary.align(cells)[0]
    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    medians = table["median"].to_numpy(np.float64)
    drawing = BinsTokenizer(BinsConfig(max_length=10**6, ties="random"), fitted.vocabulary)
    rank, bins = fitted.aligned(table), drawing.aligned(table)
    single = check(counts, totals, medians, rank, bins)
    rng = np.random.default_rng(SEED)
    sides: dict[str, Side] = {
        "rank, published": lambda: ranks_as_published(counts, totals, medians),
        "rank, published, ties in order": lambda: ranks_as_published(
            counts, totals, medians, "stable", np.float32
        ),
        "rank, one view of a row": lambda: ranks_of_views(counts, totals, medians),
        "rank, plain arrays": lambda: ranks_of_arrays(counts, totals, medians),
        "rank, plain arrays, ties in order": lambda: ranks_of_arrays(
            counts, totals, medians, "stable", np.float32
        ),
        "rank, pancyte": lambda: minibatches(rank, counts),
        "bins, published": lambda: bins_as_published(counts, totals, rng),
        "bins, plain arrays": lambda: bins_of_arrays(counts, totals, rng.random),
        "bins, pancyte": lambda: minibatches(bins, counts),
        **streams(cells, fitted.vocabulary),
    }
    spent = measured(sides, given.rounds)
    text = report(spent, counts, single)
    (ROOT / "docs" / "results" / "tokenising.md").write_text(text, encoding="utf-8")
    print(text)


def corpus(number: int) -> Cells:
    """Real cells of two tissues, tiled by binomial thinning so that no two are alike."""
    rng = np.random.default_rng(SEED)
    sources = [to_cells(load_dataset(name)) for name in SETS]
    vocabulary = Vocabulary.union(sources)
    parts = []
    for source in sources:
        counts = vocabulary.align(source)[0]
        deep = np.flatnonzero(np.diff(counts.indptr) >= DEEP)
        tiled = counts[rng.choice(deep, number // len(sources))]
        thinned = rng.binomial(tiled.data.astype(np.int64), KEPT).astype(np.float32)
        tiled = csr_matrix((thinned, tiled.indices, tiled.indptr), shape=tiled.shape)
        tiled.eliminate_zeros()
        parts.append(tiled)
    mixed = vstack(parts, format="csr")[rng.permutation(number)]
    return Cells(mixed, vocabulary.table, pd.DataFrame(index=pd.RangeIndex(number).astype(str)))


def streams(cells: Cells, vocabulary: Vocabulary) -> dict[str, Side]:
    """All tokenizers on minibatches of a store whose features differ from the vocabulary's."""
    config = TokenizerConfig(max_length=MAX_LENGTH)
    shuffled = np.random.default_rng(SEED).permutation(len(vocabulary))
    other = Vocabulary(vocabulary.table.iloc[shuffled[: len(shuffled) * 9 // 10]])
    found: dict[str, Side] = {}
    for kind in (RankTokenizer, BinsTokenizer, ContinuousTokenizer):
        for name, chosen in (("same features", vocabulary), ("other features", other)):
            settings = BinsConfig(max_length=MAX_LENGTH) if kind is BinsTokenizer else config
            aligned = kind(settings, chosen).aligned(cells.features)
            found[f"{kind.name}, {name}"] = lambda aligned=aligned: minibatches(
                aligned, cells.counts
            )
    return found


def minibatches(aligned: AlignedTokenizer, counts: csr_matrix) -> Iterator[Tokens]:
    for first in range(0, counts.shape[0], MINIBATCH):
        ends = counts.indptr[first : first + MINIBATCH + 1]
        here = slice(ends[0], ends[-1])
        yield aligned(ends - ends[0], counts.indices[here], counts.data[here])


def ranks_as_published(counts, totals, medians, kind=None, precision=np.float64):
    """Geneformer: normalise 512 cells with scipy, then look at each row for values and genes.

    Theodoris et al., Nature 2023: depth, target sum and medians are applied to the sparse matrix
    one after the other, and genes are renamed to tokens cell by cell. Its choice of columns is left
    out, as all are in the vocabulary.
    """
    names = np.arange(counts.shape[1])
    for first in range(0, counts.shape[0], 512):
        depth = totals[first : first + 512, None]
        normalised = csr_matrix(counts[first : first + 512] / depth * 1e4 / medians)
        for row in range(normalised.shape[0]):
            values, tokens = normalised[row].data, names[normalised[row].indices]
            yield tokens[np.argsort(-values.astype(precision), kind=kind)][:MAX_LENGTH]


def ranks_of_views(counts, totals, medians):
    """The same with the values normalised as plain arrays, and one view of each row."""
    for first in range(0, counts.shape[0], 512):
        chunk = counts[first : first + 512]
        depth = np.repeat(totals[first : first + 512], np.diff(chunk.indptr))
        values = chunk.data / depth * 1e4 / medians[chunk.indices]
        normalised = csr_matrix((values, chunk.indices, chunk.indptr), shape=chunk.shape)
        for row in range(normalised.shape[0]):
            cell = normalised[row]
            yield cell.indices[np.argsort(-cell.data)][:MAX_LENGTH]


def ranks_of_arrays(counts, totals, medians, kind=None, precision=np.float64):
    """The same without scipy: slices of arrays, the least that numpy needs per cell."""
    ends = counts.indptr.tolist()
    for row, total in enumerate(totals):
        here = slice(ends[row], ends[row + 1])
        ids = counts.indices[here]
        values = (counts.data[here] * (1e4 / total) / medians[ids]).astype(precision)
        yield ids[np.argsort(-values, kind=kind)][:MAX_LENGTH]


def bins_as_published(counts, totals, rng):
    """scGPT: log-normalised dense rows of 512 cells at a time, binned one by one."""
    for first in range(0, counts.shape[0], 512):
        chunk = counts[first : first + 512]
        depth = np.repeat(1e4 / totals[first : first + 512], np.diff(chunk.indptr))
        values = np.log1p(chunk.data * depth)
        logged = csr_matrix((values, chunk.indices, chunk.indptr), shape=chunk.shape)
        for row in logged.toarray():
            expressed = row.nonzero()[0]
            binned = np.zeros(len(row), np.int64)
            binned[expressed] = digits(row[expressed], rng.random(len(expressed)))
            yield binned


def bins_of_arrays(counts, totals, uniforms, precision=np.float64):
    """The same on the non-zero values alone."""
    ends = counts.indptr.tolist()
    for row, total in enumerate(totals):
        normalised = counts.data[ends[row] : ends[row + 1]] * (1e4 / total)
        values = np.log1p(normalised.astype(precision))
        yield digits(values, uniforms(len(values)))


def digits(values, uniforms):
    """Quantile edges, both digits, and a bin drawn between them."""
    edges = np.quantile(values, np.linspace(0, 1, BINS - 1))
    left, right = np.digitize(values, edges), np.digitize(values, edges, right=True)
    return np.ceil(uniforms * (right - left) + left).astype(np.int64)


def check(counts, totals, medians, rank, bins) -> float:
    """Every token of every cell is the published one, under the same rule for ties.

    Returns the share of bins that are also the same on single-precision values.
    """
    ids = np.concatenate([tokens.ids.numpy() for tokens in minibatches(rank, counts)])
    for algorithm in (ranks_as_published, ranks_of_arrays):
        expected = np.concatenate([*algorithm(counts, totals, medians, "stable", np.float32)])
        if not np.array_equal(ids, expected):
            raise SystemExit("The rank tokens differ from the published algorithm's.")
    ends = counts.indptr.astype(np.int64)
    rows = Rows(counts.indices, counts.data, ends[:-1], ends[1:], 1e4 / totals)
    values = np.concatenate([tokens.values.numpy() for tokens in minibatches(bins, counts)])

    def published(precision):
        numbers = np.split(bins.tokenizer.uniforms(rows), ends[1:-1])
        given = iter(numbers)
        found = bins_of_arrays(counts, totals, lambda length: next(given), precision)
        return np.concatenate([*found])

    if not np.array_equal(values, published(np.float64)):
        raise SystemExit("The bins differ from the published algorithm's.")
    return float((values == published(np.float32)).mean())


def measured(sides: dict[str, Side], rounds: int) -> pd.DataFrame:
    """CPU and wall seconds of each side in each round, the sides taking turns."""
    seconds = []
    for turn in range(rounds):
        for name, run in sides.items():
            wall, spent = time.perf_counter(), time.process_time()
            for _ in run():
                pass
            spent, wall = time.process_time() - spent, time.perf_counter() - wall
            seconds.append((turn, name, spent, wall))
    return pd.DataFrame(seconds, columns=["round", "side", "cpu", "wall"])


def report(spent: pd.DataFrame, counts: csr_matrix, single: float) -> str:
    cpu = spent.pivot(index="round", columns="side", values="cpu")[spent["side"].unique()]
    wall = spent.pivot(index="round", columns="side", values="wall")
    lengths = np.diff(counts.indptr)
    versions = {"python": platform.python_version()}
    versions |= {module.__name__: module.__version__ for module in (np, numba, scipy)}
    return TEXT.format(
        date=datetime.date.today(),
        commit=commit(),
        machine=f"{processor()}, one of {os.cpu_count()} cores",
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        seed=SEED,
        single=single,
        longest=MAX_LENGTH,
        cut=(lengths > MAX_LENGTH).mean(),
        cells=len(lengths),
        sets=" and ".join(SETS),
        features=counts.shape[1],
        mean=lengths.mean(),
        spread="–".join(f"{length:,.0f}" for length in np.percentile(lengths, [10, 90])),
        deep=DEEP,
        kept=KEPT,
        rounds=len(cpu),
        minibatch=MINIBATCH,
        ratios="\n".join(
            ratio(cpu, wall, len(lengths), *side.split(", ", 1))
            for side in cpu
            if ", pancyte" not in side and "features" not in side
        ),
        streams="\n".join(
            f"| {kind} | {speed(cpu[f'{kind}, same features'], len(lengths))} "
            f"| {speed(cpu[f'{kind}, other features'], len(lengths))} |"
            for kind in ("rank", "bins", "continuous")
        ),
    )


def ratio(cpu: pd.DataFrame, wall: pd.DataFrame, cells: int, kind: str, other: str) -> str:
    theirs, ours = f"{kind}, {other}", f"{kind}, pancyte"
    found, clock = cpu[theirs] / cpu[ours], wall[theirs] / wall[ours]
    return (
        f"| {kind} | {other} | {speed(cpu[theirs], cells)} | {speed(cpu[ours], cells)} "
        f"| {found.median():.1f}× | {found.min():.1f}–{found.max():.1f} | {clock.median():.1f}× |"
    )


def speed(seconds: pd.Series, cells: int) -> str:
    return f"{cells / seconds.median():,.0f}"


TEXT = """# Tokenising

From counts to tokens: the rank and bins tokenizers against the algorithms as Geneformer and scGPT
published them, written with numpy, cell by cell. Every token of every cell was compared first and
is the same, bit for bit: ranks with ties in order of the ids, bins of double-precision values with
the same uniform numbers. On values rounded to single precision, as scanpy's pipeline hands them to
scGPT, {single:.4%} of the bins are the same.

- made by `python benchmarks/tokenising.py --cells {cells} --rounds {rounds}`, {date},
  commit {commit}
- machine: {machine}; {versions}
- data: {cells:,} cells of {sets} × {features:,} genes,
  drawn with seed {seed} among those with at least {deep:,} genes and thinned binomially to
  {kept:.0%} of their counts, so that no two are alike; {mean:,.0f} non-zeros a cell on average,
  {spread} between the 10th and 90th percentile
- {rounds} rounds, all sides taking turns in each; medians over rounds, and the range of the
  ratio; compiling is not counted; pancyte reads minibatches of {minibatch} cells as CSR arrays

| tokenizer | against | their cells per CPU-s | pancyte | CPU ratio | range | wall ratio |
|---|---|---:|---:|---:|---:|---:|
{ratios}

"Published" takes the steps of the published code: of a sparse matrix, each of whose rows it looks
at twice (rank), or a dense one (bins). "One view of a row" normalises plain arrays and looks once.
"Plain arrays" leaves out all of that, and is the least that numpy needs for a cell. numpy's default
sort, the faster one, leaves ties in any order, so its tokens are not quite the same, nor the same
on every machine; with "ties in order", a stable sort of single-precision values, they are
pancyte's, bit for bit. Both bin with random numbers; pancyte draws its own from the seed and the
cell's contents.

## Streaming

Cells per CPU-second in minibatches of {minibatch}, aligned once (`tokenizer.aligned(features)`),
for a source with a few features more than the vocabulary, and for one where a tenth is unknown
and the order is another, so that each cell is sorted first. `max_length` is {longest:,}, which cuts
{cut:.0%} of the cells; bins take the middle of ties.

| tokenizer | same order | other order |
|---|---:|---:|
{streams}
"""

if __name__ == "__main__":
    main()
