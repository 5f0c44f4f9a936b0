"""Known answers for denoising, and that doing nothing can win."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import poisson

from pancyte import registry
from pancyte.denoising.diffusion import Diffusion
from pancyte.denoising.shares import average, shares_of
from pancyte.denoising.simple import GeneMean, NoOp, PCAReconstruction
from pancyte.denoising.withheld import choose, deviance, log_likelihood
from pancyte.shapes import Cells
from pancyte.tasks.task import Denoises
from pancyte.tasks.thinning import thin

SIMPLE = ("no-op", "gene-mean", "pca-denoise", "magic-like")


def made(counts) -> Cells:
    counts = csr_matrix(np.asarray(counts, dtype=np.float32))
    obs = pd.DataFrame(index=[f"cell {i}" for i in range(counts.shape[0])])
    return Cells(counts, pd.DataFrame(index=[f"G{i}" for i in range(counts.shape[1])]), obs)


def drawn(shares, depth, seed=0):
    return made(np.random.default_rng(seed).poisson(depth * shares))


@pytest.mark.parametrize("name", SIMPLE)
def test_every_method_gives_shares(cells, name):
    method = registry.get("methods", name)()
    assert isinstance(method, Denoises)
    shares = method.denoise(cells, seed=0)
    assert shares.shape == cells.counts.shape
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (shares > 0).all()


@pytest.mark.parametrize("name", SIMPLE)
def test_order_of_cells_and_genes_does_not_matter(cells, name):
    method = registry.get("methods", name)()
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(cells)), rng.permutation(cells.counts.shape[1])
    other = replace(
        cells.select(rows),
        counts=cells.counts[rows][:, columns].sorted_indices(),
        features=cells.features.iloc[columns],
    )
    expected = method.denoise(cells, seed=0)[np.ix_(rows, columns)]
    np.testing.assert_allclose(method.denoise(other, seed=0), expected, atol=2e-4)


def test_likelihood_is_that_of_scipy(cells):
    kept, withheld = thin(cells.counts, 0.5, np.random.default_rng(0))
    shares = NoOp().denoise(replace(cells, counts=kept), seed=0)
    depth = np.asarray(withheld.sum(axis=1))
    ours = log_likelihood(shares, withheld)
    theirs = poisson.logpmf(withheld.toarray(), depth * shares).sum() / withheld.sum()
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_deviance_and_likelihood_rank_alike(cells):
    kept, withheld = thin(cells.counts, 0.5, np.random.default_rng(0))
    seen = replace(cells, counts=kept)
    answers = [method.denoise(seen, seed=0) for method in (NoOp(), GeneMean(), Diffusion())]
    ranks = [np.argsort([-log_likelihood(one, withheld) for one in answers]).tolist()]
    ranks.append(np.argsort([deviance(one, withheld) for one in answers]).tolist())
    assert ranks[0] == ranks[1]


def test_the_true_shares_predict_withheld_reads_best():
    rng = np.random.default_rng(0)
    true = shares_of(rng.gamma(0.3, size=(60, 300)))
    cells = drawn(true, 2000)
    kept, withheld = thin(cells.counts, 0.5, rng)
    seen = replace(cells, counts=kept)
    best = deviance(true, withheld)
    for method in (NoOp(), GeneMean(), PCAReconstruction(), Diffusion()):
        assert deviance(method.denoise(seen, seed=0), withheld) > best


def test_doing_nothing_wins_where_cells_share_nothing():
    """Deep cells that have no type: whatever is borrowed from others is wrong."""
    true = shares_of(np.random.default_rng(1).gamma(0.2, size=(80, 200)))
    trial = choose(
        [NoOp(), GeneMean(), PCAReconstruction(5), Diffusion()], drawn(true, 5000), seed=0
    )
    assert trial.chosen == "no-op"
    assert trial.deviances["magic-like"] > 2 * trial.deviances["no-op"]


def test_borrowing_wins_where_cells_are_copies():
    profile = np.random.default_rng(2).gamma(0.3, size=(2, 300))
    true = shares_of(np.repeat(profile, 60, axis=0))
    trial = choose([NoOp(), PCAReconstruction(2), Diffusion()], drawn(true, 300), seed=0)
    assert trial.chosen != "no-op"
    assert trial.chosen in trial.why


def test_identical_cells_are_left_as_they_are():
    cells = made(np.tile([5, 0, 3, 2], (20, 1)))
    for method in (NoOp(), Diffusion()):
        shares = method.denoise(cells, seed=0)
        np.testing.assert_allclose(shares, np.tile(shares[0], (20, 1)))
        np.testing.assert_allclose(shares[0], [0.5, 0, 0.3, 0.2], atol=0.01)


def test_an_empty_cell_gets_no_nan(cells):
    counts = cells.counts.tolil()
    counts[0] = 0
    emptied = replace(cells, counts=csr_matrix(counts))
    for name in SIMPLE:
        shares = registry.get("methods", name)().denoise(emptied, seed=0)
        assert np.isfinite(shares).all()


def test_gene_mean_is_the_average(cells):
    shares = GeneMean().denoise(cells, seed=0)
    np.testing.assert_allclose(shares[7], average(cells.counts))


def test_smoothing_makes_genes_differ_that_do_not():
    """Why denoised values are not to be tested (Andrews & Hemberg 2018): one gene drives the
    neighbours, and genes that have nothing to do with it become associated with it."""
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    rates = np.full((200, 60), 2.0)
    rates[:100, :5] = 12.0
    cells = made(rng.poisson(rates))
    group = np.repeat([True, False], 100)

    def called(values) -> int:
        null = values[:, 5:]
        p = mannwhitneyu(null[group], null[~group]).pvalue
        return int((p < 0.05 / 55).sum())

    depth = np.asarray(cells.counts.sum(axis=1))
    assert called(cells.counts.toarray()) <= 1
    assert called(Diffusion().denoise(cells, seed=0) * depth) > 10
