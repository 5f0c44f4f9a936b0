import numpy as np
import pytest
import torch
from scipy import stats

from pancyte.errors import UsageError
from pancyte.objectives.gene_means import lines, mean_counts, mean_values
from pancyte.objectives.likelihood import (
    counts_of,
    guessed,
    negative_binomial,
    scales_of,
    score,
    zero_inflated,
)
from pancyte.objectives.masked_value import MaskedValue, MaskedValueConfig
from pancyte.tokenizers.bins import BinsConfig, BinsTokenizer


def scipy_nb(counts, mean, dispersion):
    return stats.nbinom.logpmf(counts, dispersion, dispersion / (dispersion + mean))


@pytest.fixture
def grid():
    counts = np.array([0, 1, 2, 7, 100, 80_000])
    mean = np.array([1e-3, 0.7, 4.0, 900.0])
    dispersion = np.array([0.02, 1.0, 30.0, 2000.0])
    return tuple(part.ravel() for part in np.meshgrid(counts, mean, dispersion))


def test_counts_are_had_back_exactly(counted):
    tokens, _, counts = counted
    np.testing.assert_array_equal(counts_of(tokens.values, scales_of(tokens, "a test")), counts)


def test_negative_binomial_is_that_of_scipy(grid):
    counts, mean, dispersion = (torch.from_numpy(part.astype(np.float64)) for part in grid)
    ours = negative_binomial(counts, mean.log(), dispersion.log())
    np.testing.assert_allclose(ours, scipy_nb(*grid), rtol=1e-6, atol=1e-8)


def test_extra_zeros_mix_with_it(grid):
    counts, mean, dispersion = (torch.from_numpy(part.astype(np.float64)) for part in grid)
    share = 0.3
    logit = torch.full_like(counts, np.log(share / (1 - share)))
    ours = zero_inflated(counts, mean.log(), dispersion.log(), logit)
    with np.errstate(divide="ignore"):
        told = np.log(share * (grid[0] == 0) + (1 - share) * np.exp(scipy_nb(*grid)))
    possible = np.isfinite(told)
    np.testing.assert_allclose(ours[possible], told[possible], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_the_mean_is_proportional_to_depth(counted, likelihood):
    tokens, _, counts = counted
    scales, values = scales_of(tokens, "a test"), tokens.values.clone()
    values[::3] = 0.0
    counts = np.where(values == 0, 0, counts)
    rng = np.random.default_rng(0)
    guess = rng.normal(size=(len(counts), 2))
    depth = 1 / scales.double().numpy()
    told = scipy_nb(counts, np.exp(guess[:, 0]) * depth, np.exp(guess[:, 1]))
    if likelihood == "zinb":
        share = rng.uniform(0.1, 0.9, len(counts))
        told = np.where(
            counts == 0,
            np.logaddexp(np.log(share), np.log(1 - share) + told),
            np.log(1 - share) + told,
        )
        guess = np.column_stack([guess, np.log(share / (1 - share))])
    ours = score(likelihood, torch.from_numpy(guess), {"values": values, "scales": scales})
    assert ours.item() == pytest.approx(-told.mean(), rel=1e-5)


def test_trivial_likelihood_is_that_of_its_table(counted):
    """Rate · depth ** power and dispersion, scored by SciPy."""
    tokens, features, _ = counted
    config = MaskedValueConfig(likelihood="nb", from_cell=0.5)
    objective = MaskedValue(config, width=8, features=features)
    objective.fit_trivial(tokens)
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(4))
    ids, depth = target["ids"].long(), 1 / target["scales"].double().numpy()
    counts = counts_of(target["values"], target["scales"]).numpy()
    scored = objective.trivial_loss(target) | objective.rivals(seen, target)
    tables = {"value": objective.gene_guess, "value_at_any_depth": objective.any_depth}
    for name, table in tables.items():
        rate, dispersion, power = table[ids].double().numpy().T
        told = -scipy_nb(counts, np.exp(rate) * depth**power, np.exp(dispersion)).mean()
        assert scored[name].item() == pytest.approx(told, rel=1e-5)
    assert scored["cell"] == 0.5 * scored["value"]
    assert not objective.any_depth[:, 2].any()


def test_the_mean_count_is_the_mean(counted):
    tokens, features, counts = counted
    ids = tokens.ids.long()
    table = mean_counts(ids, torch.from_numpy(counts), torch.ones(len(ids)), features, (0.0,))
    gene = int(torch.bincount(ids).argmax())
    assert table[gene, 0].exp() == pytest.approx(counts[ids.numpy() == gene].mean(), rel=1e-5)


def test_means_and_lines_are_those_of_numpy(counted):
    tokens, features, _ = counted
    ids, values = tokens.ids.long(), tokens.values
    depths = -scales_of(tokens, "a test").log()
    gene = int(torch.bincount(ids).argmax())
    here = (ids == gene).numpy()
    x, y = depths.double().numpy()[here], values.double().numpy()[here]
    assert mean_values(ids, values, features)[gene].item() == pytest.approx(y.mean(), rel=1e-5)
    # ten pseudo-observations: a further row that asks for slope 0
    rows = np.column_stack([x - x.mean(), np.ones(len(x))])
    rows = np.vstack([rows, [10**0.5 * depths.double().numpy().std(), 0]])
    slope, middle = np.linalg.lstsq(rows, np.append(y, 0.0), rcond=None)[0]
    intercept, ours = lines(ids, values, depths, features)[gene].tolist()
    assert ours == pytest.approx(slope, rel=1e-4)
    assert intercept == pytest.approx(middle - slope * x.mean(), rel=1e-4)


def test_what_counts_need_is_said(cells):
    tokens = BinsTokenizer(BinsConfig(max_length=60)).fit(cells)(cells)
    objective = MaskedValue(MaskedValueConfig(likelihood="nb"), width=8, features=10_000)
    with pytest.raises(UsageError, match=r"'nb' needs raw counts.*'continuous'"):
        objective.corrupt(tokens, torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match=r"no likelihood 'poisson'.*mse, nb, zinb"):
        guessed("poisson")
