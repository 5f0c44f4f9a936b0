"""scGPT against an independent forward pass, and its bins against the published algorithm."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import pancyte as pan
from pancyte.errors import IntegrityError, MissingError
from pancyte.shapes import HIDDEN_VALUE, Cells
from pancyte.tokenizers.binning import uniforms_of
from tests.importers.conftest import edit, scgpt


def some_genes(cells):
    return list(cells.features.index[::2])


def padded(tokens, folder, model, cls_value):
    """The same tokens with scGPT's numbers, `<cls>` and padding."""
    known = json.loads((folder / "vocab.json").read_text())
    names = model.tokenizer.vocabulary.table.index
    numbers = torch.tensor([known[name] for name in names])
    rows, longest = len(tokens), int(tokens.lengths.max()) + 1
    ids = torch.full((rows, longest), known["<pad>"])
    values = torch.full((rows, longest), float(model.backbone.config.cls_value))
    ids[:, 0], values[:, 0] = known["<cls>"], cls_value
    places = torch.arange(len(tokens.ids)) - tokens.offsets[tokens.cell_index] + 1
    at = (tokens.cell_index, places)
    ids[at] = numbers[tokens.ids.long()]
    values[at] = tokens.values.nan_to_num(model.backbone.config.mask_value)
    return ids, values, ids == known["<pad>"], at


@pytest.mark.parametrize("style", ["continuous", "category", "scaling"])
def test_every_output_is_that_of_an_independent_forward(style, cells, tmp_path):
    folder, network = scgpt(tmp_path, some_genes(cells), style=style)
    model = pan.load(folder)
    tokens = model.tokenizer(cells).select(torch.arange(0, 100, 9))
    values = tokens.values.clone()
    values[::7] = HIDDEN_VALUE
    tokens = replace(tokens, values=values)
    ids, shown, padding, at = padded(tokens, folder, model, cls_value=0.0)
    with torch.no_grad():
        expected = network(ids, shown, padding)
        hidden, heads = model.backbone.eval()(tokens), model.objective.eval()
        genes, cell = hidden.table[tokens.ids.long()], hidden.cls[tokens.cell_index]
        found = {
            "expression": heads.expression(hidden.tokens),
            "expressed": heads.expressed(hidden.tokens),
            "from_cell": heads.from_cells(genes, cell),
            "expressed_from_cell": heads.expressed_from_cells(genes, cell),
        }
        assert (hidden.cls - expected["cell"]).abs().max() < 1e-5
        assert (heads.classify(hidden.cls) - expected["classes"]).abs().max() < 1e-5
    for name, answer in found.items():
        assert answer.std() > 1e-3
        assert (answer - expected[name][at]).abs().max() < 1e-5


def test_the_embedding_is_the_normalised_cls_with_its_pad_value(cells, tmp_path):
    folder, network = scgpt(tmp_path, some_genes(cells), classes=1, zero=False)
    model, few = pan.load(folder), cells.select(np.arange(0, 100, 9))
    ids, values, padding, _ = padded(model.tokenizer(few), folder, model, cls_value=-2.0)
    with torch.no_grad():
        cell = network(ids, values, padding)["cell"]
    expected = torch.nn.functional.normalize(cell).numpy()
    np.testing.assert_allclose(model.embed(few), expected, atol=1e-5)
    assert not model.tokenizer.config.logged


def test_flash_and_parallel_key_names_are_the_same_weights(scgpt_folder, cells, tmp_path):
    for form in ("Wqkv", "_impl.Wqkv"):
        weights = torch.load(scgpt_folder / "best_model.pt", weights_only=True)
        renamed = {
            "module." + name.replace("self_attn.in_proj_", f"self_attn.{form}."): tensor
            for name, tensor in weights.items()
        }
        folder = tmp_path / form
        folder.mkdir()
        save_file(renamed, folder / "best_model.safetensors")
        for name in ("args.json", "vocab.json"):
            (folder / name).write_bytes((scgpt_folder / name).read_bytes())
        assert pan.load(folder).fingerprint() == pan.load(scgpt_folder).fingerprint()


def test_bins_are_those_of_the_published_algorithm(scgpt_folder, cells):
    """With the numbers that pancyte draws, the published rule for ties gives the same bins."""
    model = pan.load(scgpt_folder)
    tokenizer = type(model.tokenizer)(
        replace(model.tokenizer.config, max_length=10**6, logged=False), model.tokenizer.vocabulary
    )
    tokens = tokenizer(cells)
    names = tokenizer.vocabulary.table.index
    columns = names.get_indexer(cells.features.index)
    for row in range(0, len(cells), 7):
        counts = cells.counts[row]
        known = columns[counts.indices] >= 0
        ids, values = columns[counts.indices[known]], counts.data[known]
        order = np.argsort(ids)
        ids, values = ids[order].astype(np.int32), values[order].astype(np.float64)
        bounds = np.array([0]), np.array([len(ids)])
        numbers = uniforms_of(ids, values, *bounds, tokenizer.config.seed)
        edges = np.quantile(values, np.linspace(0, 1, 50))
        left, right = np.digitize(values, edges), np.digitize(values, edges, right=True)
        here = slice(tokens.offsets[row], tokens.offsets[row + 1])
        assert tokens.ids[here].tolist() == ids.tolist()
        expected = np.ceil(numbers * (right - left) + left)
        assert tokens.values[here].tolist() == expected.tolist()


def test_long_cells_are_sampled_alike_wherever_they_stand(scgpt_folder, cells):
    model = pan.load(scgpt_folder)
    limit = model.tokenizer.config.max_length
    whole = type(model.tokenizer)(
        replace(model.tokenizer.config, max_length=10**6), model.tokenizer.vocabulary
    )(cells)
    some = model.tokenizer(cells)
    assert limit == 299
    assert some.lengths.tolist() == whole.lengths.clamp(max=limit).tolist()
    order = np.random.default_rng(0).permutation(len(cells))
    moved = model.tokenizer(cells.select(order))
    expected = some.select(torch.from_numpy(order))
    assert torch.equal(moved.ids, expected.ids)
    long = int((whole.lengths > limit).nonzero()[0])
    whole, some = whole.select(torch.tensor([long])), some.select(torch.tensor([long]))
    kept = torch.isin(whole.ids, some.ids)
    assert torch.equal(whole.values[kept], some.values)
    # a sample, not the first or the last of them
    share = kept.float()
    assert abs(share[: len(share) // 2].mean() - share.mean()) < 0.15


def test_saved_and_loaded_it_is_the_same_to_the_bit(scgpt_folder, cells, tmp_path):
    model, few = pan.load(scgpt_folder), cells.select(np.arange(8))
    model.save_pretrained(tmp_path / "mine")
    again = pan.load(tmp_path / "mine")
    assert again.fingerprint() == model.fingerprint()
    assert np.array_equal(again.embed(few), model.embed(few))
    assert again.normalise
    assert again.pooling == "cls"


def test_the_plan_lists_what_has_no_home(scgpt_folder):
    plan = pan.plan(scgpt_folder)
    assert plan.missing == {}
    assert plan.unused == []
    assert list(plan.ignored) == ["flag_encoder.weight"]
    assert set(plan.reshaped) == {"encoder.embedding.weight"}
    assert "symbols, <pad> <cls> <eoc>" in plan.facts["vocabulary"]


def test_a_batch_norm_per_batch_is_refused(cells, tmp_path):
    folder, network = scgpt(tmp_path, some_genes(cells))
    weights = network.state_dict() | {"dsbn.bns.0.weight": torch.ones(64)}
    save_file(weights, folder / "best_model.safetensors")
    with pytest.raises(IntegrityError, match=r"1 unused: dsbn\.bns\.0\.weight"):
        pan.load(folder)
    assert pan.load(folder, allow_unused=["dsbn.*"]).name == folder.name


def test_the_vocabulary_must_be_that_of_the_weights(cells, tmp_path):
    folder, _ = scgpt(tmp_path, some_genes(cells))
    edit(folder / "vocab.json", ONE_MORE=10**6)
    with pytest.raises(IntegrityError, match="belongs to another model"):
        pan.load(folder)
    (folder / "vocab.json").unlink()
    with pytest.raises(MissingError, match=r"no vocab\.json"):
        pan.load(folder)


def test_genes_that_the_vocabulary_lacks_are_left_out(scgpt_folder, cells):
    model = pan.load(scgpt_folder)
    known = cells.features.index.isin(model.tokenizer.vocabulary.table.index)
    part = Cells(cells.counts[:, known], cells.features[known], cells.obs)
    np.testing.assert_allclose(model.embed(part), model.embed(cells), atol=1e-6)
