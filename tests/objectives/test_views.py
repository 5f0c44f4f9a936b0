import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, gelu, normalize

from pancyte.errors import UsageError
from pancyte.objectives.contrastive import Contrastive, ContrastiveConfig
from pancyte.shapes import COUNT_SCALE, Hidden


def objective_of(features, **settings):
    config = ContrastiveConfig(effects=0.5, pooling="cls", **settings)
    return Contrastive(config, width=8, features=features)


def test_a_view_changes_each_gene_by_one_factor_in_all_cells(counted):
    """With all reads kept, what changed is a factor per gene and view, about e^(half a normal)."""
    tokens, features, _ = counted
    seen, target = objective_of(features, lowest=1.0).corrupt(
        tokens, torch.Generator().manual_seed(0)
    )
    assert len(target["positions"]) == len(seen) == 2 * len(tokens)
    told = len(tokens.ids)
    factors = []
    for view in (seen.values[:told], seen.values[told:]):
        change = (torch.expm1(view.double()) / torch.expm1(tokens.values.double())).log().numpy()
        of_gene = np.full(features, np.nan)
        of_gene[tokens.ids] = change
        np.testing.assert_allclose(of_gene[tokens.ids], change, atol=1e-4)
        factors.append(of_gene[np.isfinite(of_gene)])
    assert np.std(factors[0]) == pytest.approx(0.5, rel=0.1)
    assert abs(np.corrcoef(*factors)[0, 1]) < 0.1


def test_a_view_keeps_a_share_of_the_reads(counted):
    tokens, features, _ = counted
    config = ContrastiveConfig(effects=1e-9, lowest=0.25)
    objective = Contrastive(config, width=8, features=features)
    seen, _ = objective.corrupt(tokens, torch.Generator().manual_seed(1))
    scales = seen.context[COUNT_SCALE]
    counts = (torch.expm1(seen.values) / scales[seen.cell_index]).round()
    shares = torch.zeros(len(seen)).index_add_(0, seen.cell_index, counts)
    before = tokens.context[COUNT_SCALE].repeat(2)
    whole = torch.expm1(torch.cat([tokens.values] * 2)) / before[seen.cell_index]
    reads = torch.zeros(len(seen)).index_add_(0, seen.cell_index, whole)
    shares, rates = shares / reads, before / scales
    assert ((shares - rates).abs() < 5 * (rates * (1 - rates) / reads).sqrt()).all()
    assert rates.min() > 0.25 - 1e-6
    assert rates.min() < 0.3
    assert rates.max() > 0.9


def test_simulated_experiments_are_compared_across_only():
    objective = objective_of(5, temperature=0.2)
    vectors = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    hidden = Hidden(torch.zeros(6, 8), vectors, torch.arange(7), torch.zeros(5, 8))
    target = {"positions": torch.arange(6)}
    cells = normalize(objective.project(gelu(objective.mix(objective.norm(vectors)))), dim=1)
    across = cells[:3] @ cells[3:].T / 0.2
    right = torch.arange(3)
    expected = (cross_entropy(across, right) + cross_entropy(across.T, right)) / 2
    assert objective.loss(hidden, target)["view"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective.trivial_loss(target)["view"].item() == pytest.approx(np.log(3))


def test_effects_need_counts(ranked):
    tokens, features = ranked
    with pytest.raises(UsageError, match="'effects' of 'contrastive'"):
        objective_of(features).corrupt(tokens, torch.Generator().manual_seed(0))
