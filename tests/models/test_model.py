import json

import numpy as np
import pytest
import torch

import pancyte as pan
from pancyte.errors import InputError, IntegrityError, MissingError, UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model, by_length
from pancyte.shapes import Cells
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig

PAIRS = {
    "continuous": (ContinuousTokenizer, "masked_value"),
    "rank": (RankTokenizer, "masked_gene"),
}


@pytest.fixture(params=PAIRS)
def model(request, cells):
    kind, objective = PAIRS[request.param]
    return Model.create(
        kind(TokenizerConfig(max_length=80)).fit(cells),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 32}},
        objective={"name": objective},
        card=Card("tiny", species=["human"]),
    )


def test_minibatch_size_does_not_change_an_embedding(model, cells):
    one = model.embed(cells, tokens_per_minibatch=200)
    two = model.embed(cells, tokens_per_minibatch=10**6)
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_pooling_is_the_models_own_and_kept(model, cells, tmp_path):
    mean, cls = model.embed(cells), model.embed(cells, pooling="cls")
    assert not np.allclose(mean, cls)
    before = model.fingerprint()
    model.pooling = "cls"
    assert model.fingerprint() != before
    model.save_pretrained(tmp_path / "m")
    again = pan.load(tmp_path / "m")
    np.testing.assert_array_equal(again.embed(cells), cls)
    np.testing.assert_array_equal(again.embed(cells, pooling="mean"), mean)


def test_cells_and_genes_may_come_in_any_order(model, cells):
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(cells)), rng.permutation(len(cells.features))
    shuffled = Cells(
        cells.counts[rows][:, columns], cells.features.iloc[columns], cells.obs.iloc[rows]
    )
    np.testing.assert_allclose(model.embed(shuffled), model.embed(cells)[rows], atol=1e-5)


def test_saved_and_loaded_model_is_the_same_to_the_bit(model, cells, tmp_path):
    model.save_pretrained(tmp_path / "tiny")
    again = pan.load(tmp_path / "tiny")
    assert again.fingerprint() == model.fingerprint()
    assert (again.embed(cells) == model.embed(cells)).all()
    for name, tensor in model.objective.state_dict().items():
        assert torch.equal(again.objective.state_dict()[name], tensor)
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == {
        "config.json",
        "model.safetensors",
        "vocabulary.tsv",
        "README.md",
    }


def test_saving_over_a_model_replaces_it_whole(model, tmp_path):
    folder = tmp_path / "tiny"
    model.save_pretrained(folder)
    (folder / "stray").write_text("")
    model.reinitialised(3).save_pretrained(folder)
    assert pan.load(folder).name == "tiny-random"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.tsv"])
def test_a_changed_byte_is_noticed(model, tmp_path, name):
    model.save_pretrained(tmp_path / "tiny")
    content = bytearray((tmp_path / "tiny" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "tiny" / name).write_bytes(content)
    with pytest.raises(IntegrityError, match="SHA-256"):
        pan.load(tmp_path / "tiny")


def test_a_partial_checkpoint_is_refused(model, tmp_path):
    from safetensors.torch import load_file, save_file

    from pancyte.files import sha256

    folder = tmp_path / "tiny"
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop("objective.norm.weight")
    save_file(weights, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["sha256"]["model.safetensors"] = sha256(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(IntegrityError, match=r"missing \['objective.norm.weight'\]"):
        pan.load(folder)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(MissingError, match="no model folder"):
        pan.load(tmp_path / "nowhere")
    with pytest.raises(MissingError, match=r"lacks config\.json"):
        pan.load(tmp_path)


def test_random_weights_are_other_weights(model, cells):
    one, two, again = (model.reinitialised(seed) for seed in (1, 2, 1))
    assert one.fingerprint() == again.fingerprint() != two.fingerprint()
    assert one.card.trained_on == []


def test_a_cell_without_known_genes_gets_zeros(model, cells):
    counts = cells.counts.copy().tolil()
    counts[4] = 0
    emptied = Cells(counts.tocsr(), cells.features, cells.obs)
    embedded = model.embed(emptied)
    assert not embedded[4].any()
    np.testing.assert_allclose(embedded[5], model.embed(cells)[5], atol=1e-5)


def test_length_sorted_minibatches_cover_every_cell(model, cells):
    tokens = model.tokenizer(cells)
    cut = by_length(tokens, 500)
    assert torch.cat(cut).sort().values.tolist() == list(range(len(tokens)))
    assert all((tokens.lengths[rows].max() + 1) * len(rows) <= 500 for rows in cut)


def test_other_genes_are_refused(model, cells):
    renamed = cells.features.rename(index=lambda name: f"xyz{name}").drop(columns="ensembl_id")
    with pytest.raises(InputError, match="vocabulary"):
        model.embed(Cells(cells.counts, renamed, cells.obs))


def test_skipped_layers_are_saved_and_matter(model, cells, tmp_path):
    whole = model.embed(cells)
    model.skip = 1
    early = model.embed(cells)
    assert not np.allclose(whole, early)
    model.save_pretrained(tmp_path / "tiny")
    assert (pan.load(tmp_path / "tiny").embed(cells) == early).all()
    assert model.reinitialised(1).skip == 1
    model.skip = 2
    with pytest.raises(UsageError, match="2 layers cannot be left out of 1"):
        model.embed(cells)


def test_a_gene_head_starts_from_how_common_genes_are(cells):
    tokenizer = RankTokenizer(TokenizerConfig(max_length=5000)).fit(cells)
    model = Model.create(
        tokenizer,
        backbone={"name": "transformer", "config": {"depth": 1, "width": 32}},
        objective={"name": "masked_gene"},
        card=Card("tiny", species=["human"]),
    )
    tokens = tokenizer(cells)
    counts = torch.bincount(tokens.ids, minlength=len(tokenizer.vocabulary))
    assert torch.allclose(model.objective.bias.softmax(0), counts / counts.sum(), rtol=1e-3)
