import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pancyte.errors import InputError
from pancyte.priors import coexpression, expression
from pancyte.priors.coexpression import Coexpression, CoexpressionConfig
from pancyte.store.corpus import Corpus


@pytest.fixture
def corpus(cells):
    """Two datasets, with the second one's counts three times as deep in half of the genes."""
    genes = np.argsort(-cells.counts.getnnz(axis=0), kind="stable")[:1000]
    cells = replace(cells, counts=cells.counts[:, genes], features=cells.features.iloc[genes])
    first, second = (cells.select(np.arange(i, len(cells), 2)) for i in (0, 1))
    louder = second.counts.toarray() * np.where(np.arange(second.counts.shape[1]) % 2, 3, 1)
    return Corpus.of(replace(first, name="a"), replace(second, counts=csr_matrix(louder), name="b"))


def correlations(corpus):
    """What is to be found, from dense matrices: correlations within datasets."""
    parts, often = [], 0
    for number in range(2):
        rows = [np.arange(len(part) * (i == number)) for i, part in enumerate(corpus.parts)]
        counts = np.vstack([slab.toarray() for _, slab in corpus.slabs(7, rows=rows)])
        often = often + (counts > 0).sum(axis=0)
        values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
        parts.append(values - values.mean(axis=0))
    centred = np.vstack(parts)
    keep = (often >= CoexpressionConfig.detected) & (centred.std(axis=0) > 0)
    scaled = centred[:, keep] / np.linalg.norm(centred[:, keep], axis=0)
    return scaled.T @ scaled, keep


def test_vectors_are_the_leading_part_of_the_correlations(corpus, monkeypatch):
    # a hundred cells have no components that stand out, so it takes long to tell them apart
    monkeypatch.setattr(coexpression, "PASSES", 40)
    table = Coexpression(CoexpressionConfig(dims=12)).table(corpus)
    expected, keep = correlations(corpus)
    assert table.genes.index.tolist() == corpus.features.index[keep].tolist()
    strength, vectors = np.linalg.eigh(expected)
    leading = vectors[:, ::-1][:, :12] * np.sqrt(strength[::-1][:12])
    leading -= leading.mean(axis=0)
    leading /= np.linalg.norm(leading, axis=1, keepdims=True)
    gap = np.abs(table.vectors @ table.vectors.T - leading @ leading.T)
    assert gap.max() < 0.01


def test_a_difference_between_datasets_is_not_co_expression(corpus):
    """Genes that are louder in one dataset are not alike for that."""
    table = Coexpression(CoexpressionConfig(dims=12)).table(corpus)
    place = corpus.features.index.get_indexer(table.genes.index)
    means = [slab.mean(axis=0).A1 for _, slab in corpus.slabs(1000)]
    louder = (means[1] > 2 * means[0])[place]
    similar = table.vectors @ table.vectors.T
    assert abs(similar[louder][:, louder].mean() - similar[~louder][:, louder].mean()) < 0.05


def test_the_slabs_do_not_matter_and_rows_do(corpus, monkeypatch):
    # vectors are told up to the signs of their components, so their products are compared
    whole = Coexpression().table(corpus)
    monkeypatch.setattr(expression, "SLAB", 9)
    slabs = Coexpression().table(corpus)
    expected = whole.vectors @ whole.vectors.T
    np.testing.assert_allclose(slabs.vectors @ slabs.vectors.T, expected, atol=4e-3)
    half = Coexpression().table(corpus, [np.arange(40), None])
    assert len(half) < len(whole) or np.abs(half.vectors - whole.vectors).max() > 0.05
    fewer = Coexpression(CoexpressionConfig(cells=50)).table(corpus)
    assert len(fewer) < len(whole)


def test_without_variation_there_is_nothing_to_find(corpus):
    with pytest.raises(InputError, match="No gene varies"):
        Coexpression().table(corpus, [np.arange(1), np.zeros(0, int)])


def test_in_units_of_noise_sums_of_vectors_are_components(corpus, monkeypatch):
    """With power -1/2 a cell's sum of vectors has components of equal width, by dense matrices."""
    monkeypatch.setattr(coexpression, "PASSES", 40)
    config = CoexpressionConfig(dims=6, per="noise", power=-0.5, target_sum=1e3)
    table = Coexpression(config).table(corpus)
    counts = np.vstack([slab.toarray() for _, slab in corpus.slabs(10**6)])
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e3)
    slope = 1 - np.exp(-values)
    noise = (slope**2 * (0.25 + 1 / np.maximum(counts, 1))).mean(axis=0) + 1e-3
    sizes = np.cumsum([0, *map(len, corpus.parts)])
    for start, stop in itertools.pairwise(sizes):
        values[start:stop] -= values[start:stop].mean(axis=0)
    keep = (counts > 0).sum(axis=0) >= CoexpressionConfig.detected
    assert table.genes.index.tolist() == corpus.features.index[keep].tolist()
    _, _, turned = np.linalg.svd(values[:, keep] / np.sqrt(noise[keep]), full_matrices=False)
    expected = values[:, keep] / np.sqrt(noise[keep]) @ turned[:6].T
    expected /= np.linalg.norm(expected, axis=0)
    found = values[:, keep] @ table.vectors
    found /= np.linalg.norm(found, axis=0)
    np.testing.assert_allclose(np.abs(np.sum(found * expected, axis=0)), 1, atol=1e-3)
    widths = np.linalg.norm(values[:, keep] @ table.vectors, axis=0)
    np.testing.assert_allclose(widths / widths.mean(), 1, atol=0.02)
