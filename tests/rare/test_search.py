"""The parts of the search, against references and brute force."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from pancyte.rare.calibrate import adjusted, calibrated, shuffled
from pancyte.rare.doublets import explained_by_pairs
from pancyte.rare.ground import Ground
from pancyte.rare.hierarchy import grow, tree_of, ward
from pancyte.rare.markers import evidence, log_p, panel_of
from pancyte.rare.modules import module_groups
from pancyte.rare.residuals import residuals, variances
from pancyte.rare.scan import _highest
from tests.rare.conftest import made


@pytest.fixture(scope="module")
def ground(planted):
    cells, _ = planted
    return Ground(cells.counts, grow(cells.counts, seed=0))


def test_residuals_are_scanpys(planted):
    import scanpy as sc
    from anndata import AnnData

    counts = planted[0].counts
    genes = np.flatnonzero(counts.getnnz(axis=0) > 0)
    adata = AnnData(counts[:, genes].copy())
    sc.experimental.pp.normalize_pearson_residuals(adata, theta=100)
    np.testing.assert_allclose(residuals(counts, genes), adata.X, atol=2e-3)


def test_variances_are_those_of_residuals_where_depths_are_alike(planted):
    rng = np.random.default_rng(0)
    counts = made(rng.poisson(1.5, (400, 50))).counts
    exact = (residuals(counts, np.arange(50)) ** 2).mean(axis=0)
    np.testing.assert_allclose(variances(counts), exact, rtol=0.02)


def test_a_gene_of_three_cells_varies_more_than_one_of_noise():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, (500, 20))
    counts[:, 0] = 0
    counts[:3, 0] = 8
    spread = variances(made(counts).counts)
    assert spread[0] > 2 * spread[1:].max()


def test_a_tree_holds_every_cell_once_at_every_cut(ground):
    tree = ground.tree
    cells = len(tree.order)
    assert sorted(tree.order.tolist()) == list(range(cells))
    for group in range(cells, 2 * cells - 1):
        parts = np.concatenate([tree.cells(part) for part in tree.children[group - cells]])
        assert set(parts.tolist()) == set(tree.cells(group).tolist())
    for least in (5, 20, 60):
        whole = tree.cut(least, aside=False)
        assert sorted(np.concatenate([tree.cells(g) for g in whole]).tolist()) == list(range(cells))
        some = tree.cut(least)
        assert (tree.sizes[some] >= least).all()
        found = np.concatenate([tree.cells(group) for group in some])
        assert len(found) == len(set(found.tolist()))


def test_a_tree_of_two_heaps_parts_them_first():
    Z = np.concatenate([np.random.default_rng(0).normal(c, 0.1, (20, 2)) for c in (0, 9)])
    tree = tree_of(ward(Z))
    assert {tuple(tree.cells(g)) for g in tree.cut(20)} == {
        tuple(range(20)), tuple(range(20, 40)),
    }  # fmt: skip


def test_rates_of_others_are_those_counted_by_hand(ground):
    cells = ground.tree.cells(ground.tree.cut(8)[0])[:6]
    found, labels = ground.others(cells)
    assert (labels[cells] == -1).all()
    one = ground.depth.mean()
    for rival in range(len(found)):
        rows = np.flatnonzero(labels == rival)
        reads = ground.counts[rows].sum(axis=0) + ground.prior * one
        np.testing.assert_allclose(
            found[rival], reads / (ground.depth[rows].sum() + one), rtol=1e-5
        )


def test_the_quick_scan_agrees_with_taking_cells_out(ground):
    tree = ground.tree
    groups = np.flatnonzero((tree.sizes > 16) & (tree.sizes <= 32))[:12]
    own = np.vstack([ground.counts[tree.cells(g)].sum(axis=0, dtype=float) for g in groups])
    depth = np.array([ground.depth[tree.cells(g)].sum() for g in groups])
    quick = _highest(ground, 32, groups, own, depth)
    for row, group in enumerate(groups):
        slow = ground.others(tree.cells(group))[0].max(axis=0)
        np.testing.assert_allclose(quick[row], slow, rtol=1e-5)


def test_markers_are_the_genes_planted(planted, ground):
    rows = np.flatnonzero(planted[1])
    panel = panel_of(ground, rows, ground.others(rows)[0])
    assert set(ground.genes[panel[:12]]) == set(range(288, 300))
    odds = evidence(ground, rows, panel, ground.others(rows)[0][:, panel].max(axis=0))
    assert set(np.flatnonzero(odds > 0)) == set(rows)


def test_p_values_of_groups_chosen_without_the_reads_are_conservative(plain):
    """The null the test is for: groups and markers that have nothing to do with the reads."""
    ground = Ground(plain.counts, grow(plain.counts, seed=0))
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(60):
        cells = np.sort(rng.choice(len(plain), 12, replace=False))
        panel = rng.choice(len(ground.genes), 12, replace=False)
        below += log_p(ground, cells, panel, ground.others(cells)[1]) < np.log10(0.05)
    assert below <= 3


def test_one_cell_alone_makes_no_group(plain):
    counts = plain.counts.toarray()
    counts[0, -12:] = 40
    cells = made(counts)
    ground = Ground(cells.counts, grow(cells.counts, seed=0))
    group = np.array([0, 5, 9])
    panel = np.flatnonzero(np.isin(ground.genes, np.arange(288, 300)))
    assert log_p(ground, group, panel, ground.others(group)[1]) > -2


def test_modules_find_cells_that_share_rare_genes(planted, ground):
    rows = set(np.flatnonzero(planted[1]).tolist())
    found = module_groups(ground, fewest=3, most=30)
    assert max(len(rows & set(g.tolist())) / len(rows | set(g.tolist())) for g in found) > 0.7


def test_shuffling_keeps_each_gene_in_its_block_and_nothing_else(planted):
    counts = planted[0].counts
    blocks = np.repeat([0, 1], [150, len(planted[1]) - 150])
    other = shuffled(counts, blocks, np.random.default_rng(0))
    for block in (0, 1):
        rows = blocks == block
        before, after = counts[rows].toarray(), other[rows].toarray()
        np.testing.assert_array_equal(np.sort(before, axis=0), np.sort(after, axis=0))
    assert (other != counts).nnz > counts.nnz / 2
    marked = counts[:, 290:].toarray(), other[:, 290:].toarray()
    together = [np.corrcoef(one.T)[np.triu_indices(10, 1)].mean() for one in marked]
    assert together[0] > 0.5
    assert together[1] < 0.2


def test_rates_of_false_discoveries_are_scipys():
    p = np.random.default_rng(0).random(50) ** 3
    np.testing.assert_allclose(adjusted(p), false_discovery_control(p))


def test_calibrated_p_values_follow_the_null():
    rng = np.random.default_rng(0)
    null = rng.exponential(2.0, 400)
    p = calibrated(rng.exponential(2.0, 4000), null)
    assert abs((p < 0.05).mean() - 0.05) < 0.015
    assert (np.diff(calibrated(np.linspace(0, 30, 50), null)) <= 0).all()
    theory = calibrated(np.array([5.0]), np.full(20, 0.01))
    assert theory[0] == pytest.approx(1e-5)


def test_a_sum_of_two_profiles_is_explained_and_one_with_its_own_genes_is_not():
    rng = np.random.default_rng(0)
    others = rng.gamma(0.3, 1, (6, 200))
    others /= others.sum(axis=1, keepdims=True)
    assert explained_by_pairs(0.5 * others[1] + 0.5 * others[4], others) > 0.95
    own = others[2].copy()
    own[:20] += 0.05
    assert explained_by_pairs(own / own.sum(), others) < 0.3
