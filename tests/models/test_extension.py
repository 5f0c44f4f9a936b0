import numpy as np
import pandas as pd
import pytest
import torch

import pancyte as pan
from pancyte.errors import IntegrityError, UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.priors.table import PriorTable
from pancyte.shapes import Cells
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig


@pytest.fixture
def split(cells):
    """The cells with two genes in three, and with the others."""
    mask = np.arange(len(cells.features)) % 3 > 0
    return [
        Cells(cells.counts[:, part], cells.features[part], cells.obs, cells.context)
        for part in (mask, ~mask)
    ]


@pytest.fixture
def priors(cells):
    rng = np.random.default_rng(0)
    names = cells.features.index[: 9 * len(cells.features) // 10]
    return PriorTable.of(names, rng.standard_normal((len(names), 8)))


def build(known, priors, kind=ContinuousTokenizer, objective="masked_value"):
    return Model.create(
        kind(TokenizerConfig(max_length=80)).fit(known),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 32}},
        objective={"name": objective},
        card=Card("tiny", species=["human"]),
        priors=priors,
    )


@pytest.fixture
def model(split, priors):
    return build(split[0], priors)


def test_saved_and_loaded_model_is_the_same_to_the_bit(model, cells, tmp_path):
    model.save_pretrained(tmp_path / "m")
    again = pan.load(tmp_path / "m")
    assert again.fingerprint() == model.fingerprint()
    assert again.extended(cells).fingerprint() == model.extended(cells).fingerprint()
    assert (again.embed(cells) == model.embed(cells)).all()
    again.save_pretrained(tmp_path / "n")
    for name in ("model.safetensors", "priors.safetensors", "vocabulary.tsv"):
        assert (tmp_path / "m" / name).read_bytes() == (tmp_path / "n" / name).read_bytes()


def test_damaged_or_lost_priors_are_noticed(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    path = tmp_path / "m" / "priors.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="SHA-256"):
        pan.load(tmp_path / "m")
    path.unlink()
    with pytest.raises(IntegrityError, match=r"priors\.safetensors"):
        pan.load(tmp_path / "m")


def test_the_prior_is_in_the_fingerprint(model, split, priors):
    dealt = priors.shuffled(1, model.tokenizer.vocabulary.table)
    assert build(split[0], dealt).fingerprint() != model.fingerprint()
    assert build(split[0], priors).fingerprint() == model.fingerprint()


def test_a_cell_of_unseen_genes_only_gets_a_vector_from_its_priors(model, cells, split, priors):
    _, unseen = split
    larger = model.extended(unseen)
    size = len(model.tokenizer.vocabulary)
    fresh = larger.tokenizer.vocabulary.table.iloc[size:]
    assert 0.8 * len(unseen.features) < len(fresh) < len(unseen.features)
    feature = larger.backbone.embedding.feature
    expected = torch.from_numpy(priors.vectors_of(fresh)) @ feature.basis.weight
    torch.testing.assert_close(feature.weight[size:], expected)
    assert (np.abs(larger.embed(unseen)).max(axis=1) > 0).all()
    known = feature.weight[:size]
    assert torch.equal(known, model.backbone.embedding.feature.weight)
    reads = Cells(cells.counts, cells.features, cells.obs, cells.context)
    assert larger.tokenizer(reads).ids.max() >= size


def test_known_genes_read_alone_are_read_as_before(model, split):
    known, unseen = split
    np.testing.assert_array_equal(model.extended(unseen).embed(known), model.embed(known))


def test_genes_known_by_another_name_are_not_added_again(model, split):
    known, unseen = split
    renamed = pd.DataFrame(index=known.features["ensembl_id"].to_numpy())
    assert len(model.extended(renamed).tokenizer.vocabulary) == len(model.tokenizer.vocabulary)
    twice = model.extended(unseen).extended(unseen)
    assert twice.fingerprint() == model.extended(unseen).fingerprint()


def test_new_medians_do_not_depend_on_the_cells(model, split):
    size = len(model.tokenizer.vocabulary)
    medians = model.extended(split[1]).tokenizer.medians
    assert set(medians[size:]) == {np.median(medians[:size])}
    given = split[1].features.assign(median=7.5)
    assert set(model.extended(given).tokenizer.medians[size:]) == {7.5}


@pytest.mark.parametrize("objective", ["masked_gene", "next_gene"])
def test_models_of_ranks_are_extended_too(split, priors, objective):
    model = build(split[0], priors, RankTokenizer, objective)
    larger = model.extended(split[1])
    size = len(model.tokenizer.vocabulary)
    assert len(larger.objective.bias) == len(larger.tokenizer.vocabulary) > size
    assert torch.equal(larger.objective.bias[:size], model.objective.bias)


def test_both_random_controls(model):
    kept, bare = model.reinitialised(5), model.reinitialised(5, keep_priors=False)
    feature = model.backbone.embedding.feature
    assert torch.equal(kept.backbone.embedding.feature.prior, feature.prior)
    assert not torch.equal(kept.backbone.embedding.feature.basis.weight, feature.basis.weight)
    assert isinstance(bare.backbone.embedding.feature, torch.nn.Embedding)
    assert bare.priors is None


def test_without_priors_no_gene_can_be_added(split):
    model = build(split[0], None)
    with pytest.raises(UsageError, match="no priors"):
        model.extended(pd.DataFrame(index=["TP53"]))
    with pytest.raises(UsageError, match="without priors"):
        model.backbone.tell_priors(torch.zeros(2, 2))
