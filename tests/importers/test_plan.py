"""What is planned is what is loaded; nothing is loaded in part unless it is allowed by name."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import pancyte as pan
from pancyte.errors import IntegrityError, MissingError, UsageError
from tests.importers.conftest import by_ensembl, dump, edit

HEAD = "cls.predictions.*"
DICTIONARY = "token_dictionary_gc30M.pkl"


@pytest.fixture
def folder(geneformer_folders, tmp_path):
    return shutil.copytree(geneformer_folders["V1"], tmp_path / "tiny")


def change(folder, edit_weights):
    weights = load_file(folder / "model.safetensors")
    edit_weights(weights)
    save_file(weights, folder / "model.safetensors")


def test_the_plan_says_what_becomes_of_every_key(folder):
    plan, stored = pan.plan(folder), load_file(folder / "model.safetensors")
    listed = [*plan.matched, *plan.reshaped, *plan.unused, *plan.ignored]
    assert sorted(listed) == sorted(stored)
    assert plan.missing == {}
    assert plan.unused == []
    query = "bert.encoder.layer.0.attention.self.query.weight"
    assert plan.reshaped[query] == "part 1 of 3 of backbone.layers.0.qkv.weight"
    words = plan.reshaped["bert.embeddings.word_embeddings.weight"]
    genes = len(stored["cls.predictions.bias"]) - 2
    assert f"{genes:,} of {genes + 2:,} rows" in words
    assert "row 1 to backbone.embedding.hidden" in words
    assert plan.facts["vocabulary"].startswith(f"{DICTIONARY}: {genes:,} genes, <pad> <mask>")
    assert "geneformer: max_length 128" in plan.facts["tokenizer"]
    assert plan.facts["embedding"] == "skip 1, pooling mean"
    assert any("reshaped" in line for line in plan.lines())


def test_a_partial_load_is_refused_with_the_list(folder):
    key = "bert.encoder.layer.1.output.dense.weight"
    change(folder, lambda weights: weights.update(stray=weights.pop(key)))
    with pytest.raises(IntegrityError) as refusal:
        pan.load(folder)
    assert f"1 missing: {key}; 1 unused: bert.stray" in refusal.value.what
    assert "allow_missing" in refusal.value.fix
    with pytest.raises(IntegrityError, match=r"1 unused: bert\.stray"):
        pan.load(folder, allow_missing=["bert.encoder.layer.1.output.*"])
    assert pan.load(folder, allow_missing=[key], allow_unused=["*.stray"]).name == "tiny"


def test_a_fine_tuned_classifier_loads_where_it_is_allowed_to(folder, cells):
    """Sequence classification has no language head, and a head and a pooler of its own."""
    from transformers import BertForSequenceClassification

    whole = pan.load(folder)
    tuned = BertForSequenceClassification.from_pretrained(folder)
    tuned.save_pretrained(folder)
    with pytest.raises(IntegrityError, match=r"missing: cls\.predictions.*unused: classifier"):
        pan.load(folder)
    model = pan.load(folder, allow_missing=[HEAD], allow_unused=["classifier.*"])
    few = by_ensembl(cells).select(np.arange(5))
    assert np.array_equal(model.embed(few), whole.embed(few))


def test_a_weight_of_another_shape_counts_as_missing(folder):
    key = "bert.embeddings.position_embeddings.weight"
    change(folder, lambda weights: weights.update({key: weights[key][:100].clone()}))
    assert "(100, 256), not what gives (128, 256)" in pan.plan(folder).missing[key]
    with pytest.raises(IntegrityError, match=r"1 missing: bert\.embeddings\.position"):
        pan.load(folder)


def test_a_tied_weight_must_repeat_the_other(folder):
    words, tied = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"
    change(folder, lambda weights: weights.update({tied: weights[words].clone()}))
    assert "repeats" in pan.plan(folder).ignored[tied]
    pan.load(folder)
    change(folder, lambda weights: weights[tied].add_(1))
    with pytest.raises(IntegrityError, match="should repeat"):
        pan.load(folder)


def test_weights_without_the_prefix_are_the_same(folder, geneformer_folders):
    """``BertModel`` saves without ``bert.``, older code as pickles."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    renamed = {name.removeprefix("bert."): tensor for name, tensor in weights.items()}
    torch.save(renamed, folder / "pytorch_model.bin")
    expected = pan.load(geneformer_folders["V1"])
    assert pan.load(folder).fingerprint() == expected.fingerprint()


def test_the_dictionary_must_be_of_the_same_version(folder, geneformer_folders, tmp_path):
    (folder / DICTIONARY).unlink()
    with pytest.raises(MissingError, match="no token dictionary"):
        pan.load(folder)
    with pytest.raises(IntegrityError, match="the dictionary of another version"):
        pan.load(folder, vocabulary=geneformer_folders["V2"])
    assert pan.load(folder, vocabulary=geneformer_folders["V1"]).name == "tiny"


def test_a_gene_without_a_median_is_an_error(folder):
    dump({"ENSG00000000001": 1.0}, folder / "gene_median_dictionary_gc30M.pkl")
    with pytest.raises(MissingError, match="a median above 0 for every gene"):
        pan.load(folder)


def test_old_ids_are_collapsed_only_for_version_2(geneformer_folders, cells):
    model = pan.load(geneformer_folders["V2"])
    named = by_ensembl(cells)
    gene = model.tokenizer.vocabulary.table.index[5]
    split = named.features.rename(index={gene: "ENSG99999999999"})
    split.index = split.index.str.lower()
    aliased = type(named)(named.counts, split, named.obs)
    found, expected = model.tokenizer(aliased), model.tokenizer(named)
    assert torch.equal(found.ids, expected.ids)


def test_what_is_not_recognised(folder, tmp_path):
    with pytest.raises(MissingError, match="No importer recognises"):
        pan.plan(tmp_path)
    edit(folder / "config.json", model_type="gpt2")
    with pytest.raises(MissingError, match=r"lacks vocabulary\.tsv"):
        pan.load(folder)


def test_own_models_need_no_plan(geneformer_folders, tmp_path):
    pan.load(geneformer_folders["V1"]).save_pretrained(tmp_path / "own")
    with pytest.raises(UsageError, match="is a pancyte model"):
        pan.plan(tmp_path / "own")


def test_unusable_settings_are_named(folder):
    edit(folder / "config.json", hidden_act="swish")
    with pytest.raises(IntegrityError, match="activation 'swish'"):
        pan.load(folder)
    edit(folder / "config.json", hidden_size="wide")
    with pytest.raises(IntegrityError, match="hidden_size 'wide'"):
        pan.load(folder)
