import math

import pytest
import torch

from pancyte.backbones.transformer import Transformer, TransformerConfig
from pancyte.objectives.contrastive import Contrastive, ContrastiveConfig
from pancyte.objectives.masked_gene import MaskedGene, MaskedGeneConfig
from pancyte.objectives.masked_value import MaskedValue, MaskedValueConfig
from pancyte.objectives.objective import choose
from pancyte.shapes import HIDDEN_ID, Hidden
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig

PAIRS = {"value": (ContinuousTokenizer, MaskedValue), "gene": (RankTokenizer, MaskedGene)}


@pytest.fixture(params=PAIRS)
def setting(request, cells):
    kind, objective = PAIRS[request.param]
    tokenizer = kind(TokenizerConfig(max_length=60)).fit(cells)
    tokens = tokenizer(cells)
    features = len(tokenizer.vocabulary)
    config = TransformerConfig(features, tokenizer.value_kind, 60, depth=2, width=32)
    return tokens, Transformer(config), objective(objective.Config(), width=32, features=features)


def test_choose_takes_the_same_share_of_every_cell(setting):
    tokens = setting[0]
    chosen = choose(tokens, 0.3, torch.Generator().manual_seed(0))
    per_cell = torch.bincount(tokens.cell_index[chosen], minlength=len(tokens))
    assert torch.equal(per_cell, (tokens.lengths * 0.3).long().clamp(min=1))
    assert len(chosen.unique()) == len(chosen)


def test_every_parameter_and_every_term_gets_a_gradient(setting):
    tokens, network, objective = setting
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    terms = objective.loss(network(seen), target)
    for name, term in terms.items():
        network.zero_grad()
        term.backward(retain_graph=True)
        assert network.embedding.feature.weight.grad.abs().sum() > 0, name
    network.zero_grad()
    objective.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in [*network.named_parameters(), *objective.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_trivial_predictor_is_scored_on_the_same_questions(setting):
    tokens, network, objective = setting
    objective.fit_trivial(tokens)
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(5))
    trivial, scored = objective.trivial_loss(target), objective.loss(network(seen), target)
    assert trivial.keys() == scored.keys()
    assert all(value.isfinite() for value in trivial.values())


def test_corruption_is_a_function_of_the_generator(setting):
    tokens, _, objective = setting
    one = objective.corrupt(tokens, torch.Generator().manual_seed(3))
    two = objective.corrupt(tokens, torch.Generator().manual_seed(3))
    assert torch.equal(one[0].ids, two[0].ids)
    assert torch.equal(one[1]["positions"], two[1]["positions"])


def test_masked_values_are_hidden_and_the_rest_untouched(cells):
    tokenizer = ContinuousTokenizer(TokenizerConfig(max_length=60)).fit(cells)
    tokens = tokenizer(cells)
    objective = MaskedValue(
        MaskedValueConfig(ratio=0.3, absent=0.2), width=8, features=len(tokenizer.vocabulary)
    )
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    withheld = torch.zeros(len(seen.ids), dtype=torch.bool)
    withheld[target["positions"]] = True
    assert torch.equal(withheld, seen.values.isnan())
    truth = {}
    for row in range(len(tokens)):
        start, stop = tokens.offsets[row], tokens.offsets[row + 1]
        pairs = zip(tokens.ids[start:stop].tolist(), tokens.values[start:stop], strict=True)
        truth.update({(row, gene): float(value) for gene, value in pairs})
    rows = seen.cell_index.tolist()
    answers = dict(zip(target["positions"].tolist(), target["values"].tolist(), strict=True))
    shown = list(zip(rows, seen.ids.tolist(), strict=True))
    assert len(set(shown)) == len(shown)
    assert truth.keys() <= set(shown)
    for position, key in enumerate(shown):
        value = answers[position] if position in answers else float(seen.values[position])
        assert value == truth.get(key, 0.0)
    absent = [key for key in shown if key not in truth]
    assert absent
    assert all(withheld[i] for i, key in enumerate(shown) if key not in truth)


def test_masked_genes_follow_the_80_10_10_rule(cells):
    tokenizer = RankTokenizer(TokenizerConfig(max_length=200)).fit(cells)
    tokens = tokenizer(cells)
    objective = MaskedGene(MaskedGeneConfig(), width=8, features=len(tokenizer.vocabulary))
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    asked = seen.ids[target["positions"]]
    hidden = (asked == HIDDEN_ID).float().mean()
    kept = (asked == target["ids"]).float().mean()
    assert hidden == pytest.approx(0.8, abs=0.03)
    assert kept == pytest.approx(0.1, abs=0.03)
    untouched = torch.ones(len(tokens.ids), dtype=torch.bool)
    untouched[target["positions"]] = False
    assert torch.equal(seen.ids[untouched], tokens.ids[untouched])
    assert torch.equal(seen.values, tokens.values)
    assert torch.equal(tokens.ids[target["positions"]], target["ids"])


def test_loss_ignores_positions_that_were_not_asked(setting):
    tokens, network, objective = setting
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    hidden = network(seen)
    before = objective.loss(hidden, target)
    spared = torch.ones(len(hidden.tokens), dtype=torch.bool)
    spared[target["positions"]] = False
    with torch.no_grad():
        hidden.tokens[spared] = 1e6
    after = objective.loss(hidden, target)
    # the "cell" term reads the cell's vector, which is made of the tokens that were not asked
    for name in before.keys() - {"cell"}:
        assert before[name].item() == after[name].item()


def test_views_share_no_gene_and_lose_none(cells):
    tokenizer = ContinuousTokenizer(TokenizerConfig(max_length=60)).fit(cells)
    tokens = tokenizer(cells)
    objective = Contrastive(ContrastiveConfig(), width=8, features=len(tokenizer.vocabulary))
    seen, _ = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    assert len(seen) == 2 * len(tokens)
    for row in range(0, len(tokens), 9):
        one, two, whole = (
            packed.ids[packed.offsets[i] : packed.offsets[i + 1]].tolist()
            for packed, i in ((seen, row), (seen, row + len(tokens)), (tokens, row))
        )
        assert sorted(one + two) == sorted(whole)
        assert not set(one) & set(two)


def test_matching_views_cost_less_than_an_even_guess(cells):
    objective = Contrastive(ContrastiveConfig(), width=8, features=10)
    views = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    hidden = Hidden(views, torch.zeros(12, 8), torch.arange(13), torch.zeros(10, 8))
    target = {"positions": torch.arange(12)}
    with torch.no_grad():
        matched = objective.loss(hidden, target)["view"]
        swapped = Hidden(views.roll(1, 0), hidden.cls, hidden.offsets, hidden.table)
        swapped.tokens[6:] = views[6:]
        wrong = objective.loss(swapped, target)["view"]
    even = objective.trivial_loss(target)["view"]
    assert even == pytest.approx(math.log(11))
    assert matched < even < wrong
