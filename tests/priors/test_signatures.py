"""Signatures of cell types, weighed by how the training cells vary."""

from dataclasses import replace

import numpy as np
import pytest

from pancyte.errors import InputError
from pancyte.priors.signatures import Signatures, SignaturesConfig
from pancyte.store.corpus import Corpus


@pytest.fixture
def corpus(cells):
    """Two datasets of the shipped pancreas cells, with the genes that most of them express."""
    genes = np.argsort(-cells.counts.getnnz(axis=0), kind="stable")[:600]
    cells = replace(cells, counts=cells.counts[:, genes], features=cells.features.iloc[genes])
    parts = [cells.select(np.arange(i, len(cells), 2)) for i in (0, 1)]
    return Corpus.of(*(replace(part, name=name) for part, name in zip(parts, "ab", strict=True)))


@pytest.fixture
def sets(corpus, tmp_path):
    """Forty sets of 5 to 24 of the corpus's genes, one of all, and one of a study to leave out."""
    rng = np.random.default_rng(0)
    symbols = corpus.features["symbol"].to_numpy(str)
    lines = [
        "\t".join([f"SET_{i}", "", *rng.choice(symbols[:400], int(rng.integers(5, 25)), False)])
        for i in range(40)
    ]
    lines.append("\t".join(["LARGE", "", *symbols]))
    lines.append("\t".join(["MURARO_PANCREAS_ALPHA", "", *symbols[500:520]]))
    path = tmp_path / "sets.gmt"
    path.write_text("\n".join(lines) + "\n")
    return path


def halves(corpus, genes, seed=7):
    """Values of each dataset's cells, off the dataset's mean, from one half of the reads each."""
    rng, found = np.random.default_rng(seed), []
    place = corpus.features.index.get_indexer(genes.index)
    for number in range(2):
        rows = [np.arange(len(part) * (i == number)) for i, part in enumerate(corpus.parts)]
        counts = np.vstack([slab.toarray() for _, slab in corpus.slabs(64, rows=rows)])
        first = rng.binomial(counts.astype(int), 0.5)
        pair = []
        for half in (first, counts - first):
            values = np.log1p(half / half.sum(axis=1, keepdims=True) * 1e4)[:, place]
            pair.append(values - values.mean(axis=0))
        found.append(pair)
    return [np.vstack(parts) for parts in zip(*found, strict=True)]


def test_components_are_uncorrelated_and_the_first_agree_best_between_halves(corpus, sets):
    config = SignaturesConfig(file=str(sets), dims=99, smallest=5, largest=100, power=0.0)
    table = Signatures(config).table(corpus)
    first, second = (half @ table.vectors for half in halves(corpus, table.genes))
    spread = (first.T @ first + second.T @ second) / (2 * len(first))
    own = np.diag(spread)
    assert own.max() / own.min() < 3
    assert np.abs(spread - np.diag(own)).max() < 0.35 * own.mean()
    agree = (first * second).mean(axis=0) / own
    assert agree[:5].mean() > agree[5:20].mean() > agree[20:].mean()
    assert agree[:5].mean() > 0.5


def test_what_does_not_repeat_is_shrunk(corpus, sets):
    settings = {"file": str(sets), "dims": 30, "largest": 100}
    even, shrunk = (
        Signatures(SignaturesConfig(**settings, power=power)).table(corpus).vectors
        for power in (0.0, 1.0)
    )
    ratio = np.linalg.norm(shrunk, axis=0) / np.linalg.norm(even, axis=0)
    assert (np.diff(ratio) < 0.01 * ratio[0]).all()
    assert ratio[-1] < 0.8 * ratio[0]


def test_sets_are_left_out_by_name_and_size(corpus, sets):
    symbols = corpus.features["symbol"].to_numpy(str)
    settings = {"file": str(sets), "dims": 99}
    usual = Signatures(SignaturesConfig(**settings)).table(corpus)
    without = Signatures(SignaturesConfig(**settings, without=("MURARO",))).table(corpus)
    larger = Signatures(SignaturesConfig(**settings, largest=2000)).table(corpus)
    assert set(symbols[500:520]) & set(usual.genes["symbol"])
    assert not set(symbols[500:520]) & set(without.genes["symbol"])
    assert len(larger) > len(usual) > len(without)
    assert usual.dims == without.dims + 1 == larger.dims - 1


def test_too_few_sets_are_told(corpus, sets):
    with pytest.raises(InputError, match=r"Fewer than two sets of .* have 50 to 60 of the 6"):
        Signatures(SignaturesConfig(file=str(sets), smallest=50, largest=60)).table(corpus)
    with pytest.raises(InputError, match="Fewer than two sets"):
        Signatures(SignaturesConfig(file=str(sets), without=("",))).table(corpus)
