from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge

from pancyte.objectives.cell_value import CellValue, CellValueConfig
from pancyte.objectives.denoise import Denoise, DenoiseConfig
from pancyte.objectives.generative import Generative, GenerativeConfig
from pancyte.objectives.likelihood import counts_of, scales_of
from pancyte.objectives.masked_value import MaskedValue, MaskedValueConfig
from pancyte.objectives.ridge import Ridge
from pancyte.objectives.thinning import thin
from pancyte.shapes import COUNT_SCALE
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig

from .conftest import losses, network, with_scales

KINDS = [MaskedValue, Generative, CellValue, Denoise]


def corrupted(objective, tokens, seed=0):
    return objective.corrupt(tokens, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("kind", "likelihood"), [*product(KINDS, ["mse", "nb"]), (MaskedValue, "zinb")]
)
def test_training_lowers_the_loss(counted, kind, likelihood):
    tokens, features, _ = counted
    objective = kind(kind.Config(likelihood=likelihood), width=32, features=features)
    curve = losses(objective, network(features, depth=1), tokens)
    assert np.isfinite(curve).all()
    assert curve[-1] < curve[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_trivial_loss_is_that_of_gene_means(counted, kind):
    tokens, features, _ = counted
    objective = kind(kind.Config(), width=8, features=features)
    objective.fit_trivial(tokens)
    answers = [corrupted(objective, tokens, seed)[1] for seed in (0, 7)]
    train, test = (
        pd.DataFrame({"gene": one["ids"].numpy(), "value": one["values"].numpy()})
        for one in answers
    )
    usual = test["gene"].map(train.groupby("gene")["value"].mean()).fillna(train["value"].mean())
    told = ((usual - test["value"]) ** 2).mean()
    for error in objective.trivial_loss(answers[1]).values():
        assert error.item() == pytest.approx(told, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_cells_own_values(counted, kind):
    tokens, features, _ = counted
    objective = kind(kind.Config(), width=8, features=features)
    _, target = corrupted(objective, tokens)
    pairs = zip(tokens.cell_index.tolist(), tokens.ids.tolist(), strict=True)
    truth = dict(zip(pairs, tokens.values.tolist(), strict=True))
    asked = list(zip(target["cells"].tolist(), target["ids"].tolist(), strict=True))
    assert len(set(asked)) == len(asked)
    assert target["values"].tolist() == [truth.get(key, 0.0) for key in asked]
    assert 0 < sum(key not in truth for key in asked) < len(asked)


def test_generation_tokens_are_seen_by_nobody_else(counted):
    tokens, features, _ = counted
    objective = Generative(GenerativeConfig(), width=32, features=features)
    seen, target = corrupted(objective, tokens)
    asked = torch.zeros(len(seen.ids), dtype=torch.bool)
    asked[target["positions"]] = True
    assert torch.equal(asked, seen.values.isnan())
    assert torch.equal(seen.ids[target["positions"]], target["ids"])
    net = network(features).eval()
    other = int(target["positions"][5])
    ids = seen.ids.clone()
    ids[other] = (ids[other] + 1) % features
    with torch.inference_mode():
        before, after = net(seen), net(replace(seen, ids=ids))
    changed = (before.tokens != after.tokens).any(dim=1)
    assert changed.nonzero().squeeze(1).tolist() == [other]
    assert torch.equal(before.cls, after.cls)


def test_generation_tokens_see_all_perception_tokens(counted):
    tokens, features, _ = counted
    seen, _ = corrupted(Generative(GenerativeConfig(), width=32, features=features), tokens)
    net = network(features).eval()
    cell = int(seen.lengths.argmax())
    here = seen.cell_index == cell
    told = (here & ~seen.values.isnan()).nonzero().squeeze(1)
    for position in (int(told[0]), int(told[-1])):
        values = seen.values.clone()
        values[position] += 2
        with torch.inference_mode():
            before, after = net(seen), net(replace(seen, values=values))
        changed = (before.tokens != after.tokens).any(dim=1)
        assert torch.equal(changed, here)
        assert not torch.equal(before.cls[cell], after.cls[cell])


def test_generation_draws_its_share(counted):
    tokens, features, _ = counted
    objective = Generative(GenerativeConfig(absent=0.0), width=8, features=features)
    shares = set()
    for seed in range(12):
        seen, _ = corrupted(objective, tokens, seed)
        shares.add(round(float(seen.values.isnan().float().mean()), 1))
    assert shares == {0.2, 0.5, 0.7}


def test_the_cells_vector_does_not_know_what_is_asked(counted):
    tokens, features, _ = counted
    objective = CellValue(CellValueConfig(), width=8, features=features)
    seen, target = corrupted(objective, tokens)
    shown = set(zip(seen.cell_index.tolist(), seen.ids.tolist(), strict=True))
    asked = set(zip(target["cells"].tolist(), target["ids"].tolist(), strict=True))
    whole = set(zip(tokens.cell_index.tolist(), tokens.ids.tolist(), strict=True))
    assert not shown & asked
    assert shown <= whole <= shown | asked


def test_thinning_keeps_reads_with_their_probability(counted):
    tokens, _, counts = counted
    rates = torch.linspace(0.05, 1.0, len(tokens))
    thinned = thin(tokens, rates, torch.Generator().manual_seed(0), needed_by="a test")
    scales = scales_of(thinned, "a test")
    kept = counts_of(thinned.values, scales).numpy()
    assert (kept <= counts).all()
    np.testing.assert_allclose(thinned.values, np.log1p(kept * scales.numpy()), rtol=1e-5)
    np.testing.assert_array_equal(
        kept[-60:][tokens.cell_index[-60:] == 99], counts[-60:][tokens.cell_index[-60:] == 99]
    )
    each = rates.numpy()[tokens.cell_index.numpy()]
    # the sum of binomials, within five standard deviations
    spread = np.sqrt((counts * each * (1 - each)).sum())
    assert abs(kept.sum() - (counts * each).sum()) < 5 * spread
    untouched = thin(tokens, torch.ones(len(tokens)), torch.Generator(), needed_by="a test")
    torch.testing.assert_close(untouched.values, tokens.values)


def test_denoising_hides_what_lost_its_reads(counted):
    tokens, features, _ = counted
    objective = Denoise(DenoiseConfig(), width=32, features=features)
    seen, target = corrupted(objective, tokens)
    lost = seen.values.isnan()
    assert torch.equal(lost.nonzero().squeeze(1), target["withheld"])
    assert (seen.values[~lost] > 0).all()
    assert torch.equal(lost, target["shown"] == 0)
    told = ((target["shown"] - target["values"]) ** 2).mean()
    objective.fit_trivial(tokens)
    assert objective.rivals(seen, target)["value_as_seen"].item() == pytest.approx(told.item())
    rates = tokens.context[COUNT_SCALE] / seen.context[COUNT_SCALE]
    assert 0.1 <= rates.min() < 0.2 < 0.8 < rates.max() <= 1


def test_ridge_is_that_of_sklearn(counted):
    tokens, features, _ = counted
    objective = MaskedValue(MaskedValueConfig(ratio=0.5), width=8, features=features)
    seen, target = corrupted(objective, tokens)
    ridge = Ridge.fit(seen, target, features)
    components = ridge._components(seen, target)
    gene = int(torch.bincount(target["ids"][ridge.columns[target["ids"].long()] >= 0]).argmax())
    here = target["ids"] == gene
    x, y = components[target["cells"][here]].numpy(), target["values"][here].numpy()
    told = SklearnRidge(alpha=x.shape[1]).fit(x, y).predict(x)
    np.testing.assert_allclose(ridge.guess(seen, target)[here], told, atol=1e-4)


def test_ridge_beats_the_gene_mean_on_new_cells(three_studies):
    tokenizer = ContinuousTokenizer(TokenizerConfig(max_length=200)).fit(three_studies)
    tokens = with_scales(tokenizer(three_studies), three_studies)
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))
    features = len(tokenizer.vocabulary)
    objective = MaskedValue(MaskedValueConfig(), width=8, features=features)
    objective.fit_trivial(tokens.select(order[:350]))
    seen, target = corrupted(objective, tokens.select(order[350:]))
    rivals = objective.rivals(seen, target)
    assert rivals["value_by_ridge"] < objective.trivial_loss(target)["value"]
    assert rivals["value_by_depth"] < objective.trivial_loss(target)["value"]
