"""Objectives that came with the designs of published models."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pancyte.errors import UsageError
from pancyte.objectives.expressed import Expressed, ExpressedConfig
from pancyte.objectives.masked_class import MaskedClass, MaskedClassConfig
from pancyte.tokenizers.genome import GenomeConfig, GenomeTokenizer
from pancyte.tokenizers.log2 import Log2Config, Log2Tokenizer
from tests.objectives.conftest import losses, network


@pytest.fixture
def stepped(cells):
    tokenizer = Log2Tokenizer(Log2Config(max_length=60)).fit(cells)
    return tokenizer(cells), len(tokenizer.vocabulary)


@pytest.fixture
def drawn(cells):
    tokenizer = GenomeTokenizer(GenomeConfig(max_length=60)).fit(cells)
    return tokenizer(cells), len(tokenizer.vocabulary)


def test_classes_are_those_of_the_hidden_values(stepped):
    tokens, features = stepped
    objective = MaskedClass(MaskedClassConfig(ratio=0.5), width=32, features=features)
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    hidden = seen.values.isnan()
    assert torch.equal(hidden.nonzero().squeeze(1), target["positions"])
    assert torch.equal(tokens.values[hidden], target["values"])
    assert torch.equal(tokens.values[~hidden], seen.values[~hidden])


def test_the_usual_class_of_a_gene_is_counted(stepped):
    tokens, features = stepped
    objective = MaskedClass(MaskedClassConfig(ratio=1.0), width=32, features=features)
    objective.fit_trivial(tokens)
    gene = int(torch.bincount(tokens.ids.long()).argmax())
    values = tokens.values[tokens.ids == gene].long().numpy()
    counts = np.bincount(values, minlength=6) + 1
    np.testing.assert_allclose(objective.usual[gene].exp(), counts / counts.sum(), rtol=1e-5)


def test_absent_genes_are_of_class_zero(stepped):
    tokens, features = stepped
    objective = MaskedClass(MaskedClassConfig(absent=0.5), width=32, features=features)
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    pairs = set(zip(tokens.cell_index.tolist(), tokens.ids.tolist(), strict=True))
    absent = [
        value
        for cell, gene, value in zip(
            target["cells"].tolist(), target["ids"].tolist(), target["values"].tolist(), strict=True
        )
        if (cell, gene) not in pairs
    ]
    assert len(absent) > 100
    assert set(absent) == {0.0}
    assert len(seen.ids) > len(tokens.ids)


def test_classes_are_learned(stepped):
    tokens, features = stepped
    objective = MaskedClass(MaskedClassConfig(), width=32, features=features)
    curve = losses(objective, network(features), tokens)
    assert curve[-1] < curve[0]
    with pytest.raises(UsageError, match="classes"):
        MaskedClassConfig(classes=1)


def test_what_was_taken_out_is_gone_with_all_its_tokens(drawn):
    tokens, features = drawn
    objective = Expressed(ExpressedConfig(), width=32, features=features)
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    asked = target["cells"] * features + target["ids"]
    on = target["on"] == 1
    before = tokens.cell_index * features + tokens.ids
    after = seen.cell_index * features + seen.ids
    assert torch.isin(asked[on], before).all()
    assert not torch.isin(asked[on], after).any()
    assert not torch.isin(asked[~on], before).any()
    kept = before[~torch.isin(before, asked[on])]
    assert torch.equal(after, kept), "what stays keeps its order"
    places = torch.arange(len(seen.ids)) - seen.offsets[:-1][seen.cell_index]
    assert torch.equal(seen.values, places.float()), "a gap would give away what is missing"


def test_a_fifth_of_the_distinct_genes_and_as_many_others(drawn):
    tokens, features = drawn
    objective = Expressed(ExpressedConfig(), width=32, features=features)
    _, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    for row in range(0, len(tokens), 20):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
        here = target["on"][target["cells"] == row]
        assert int(here.sum()) == max(1, int(len(ids.unique()) * 0.2))
        assert 0.8 * here.sum() <= (1 - here).sum() <= here.sum()


def test_the_trivial_answer_is_the_genes_own_frequency(drawn):
    tokens, features = drawn
    objective = Expressed(ExpressedConfig(), width=32, features=features)
    objective.fit_trivial(tokens)
    _, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    gene = int(torch.bincount(target["ids"]).argmax())
    answers = target["on"][target["ids"] == gene]
    odds = (answers.sum() + 0.5) / ((1 - answers).sum() + 0.5)
    assert objective.usual[gene].item() == pytest.approx(float(odds.log()), rel=1e-5)
    coin = binary_cross_entropy_with_logits(torch.zeros_like(target["on"]), target["on"])
    assert objective.trivial_loss(target)["on"] < coin


def test_on_and_off_is_learned(drawn):
    tokens, features = drawn
    objective = Expressed(ExpressedConfig(), width=32, features=features)
    curve = losses(objective, network(features, "rank"), tokens)
    assert curve[-1] < curve[0]
