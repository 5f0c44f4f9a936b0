"""Nicheformer against an independent forward pass, and its ranks against the published rule."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import pancyte as pan
from pancyte.errors import IntegrityError, MissingError
from pancyte.shapes import HIDDEN_ID, Cells
from tests.importers.conftest import by_ensembl
from tests.importers.nicheformer_reference import Reference

PLACES, RESERVED = 260, 30
SIZES = {"places": PLACES, "width": 64, "heads": 4, "inner": 96, "depth": 3}


def write(folder, genes, **changes):
    """Write a checkpoint as Lightning does, the genes, and the means of two technologies."""
    torch.manual_seed(3)
    network = Reference(len(genes) + RESERVED, **SIZES).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    told = {
        "nheads": 4, "dropout": 0.0, "specie": True, "assay": True, "modality": True,
        "autoregressive": False, "n_tokens": len(genes) + RESERVED,
    }  # fmt: skip
    content = {
        "state_dict": network.state_dict(),
        "hyper_parameters": told | changes,
        # a scheduler's state holds numbers of numpy's
        "lr_schedulers": [{"_last_lr": [np.float64(1e-5)], "last_epoch": 3}],
        "pytorch-lightning_version": "2.2.0",
    }
    torch.save(content, folder / "epoch=1-step=265000.ckpt")
    table = pd.DataFrame(index=genes)
    ad.AnnData(np.ones((1, len(genes)), np.float32), var=table).write_h5ad(folder / "model.h5ad")
    rng = np.random.default_rng(3)
    for technology in ("dissociated", "merfish"):
        means = rng.lognormal(size=len(genes))
        means[5] = 0
        np.save(folder / f"{technology}_mean_script.npy", means)
    return network


@pytest.fixture(scope="module")
def genes(_few):
    names = _few.var["ensembl_id"].astype(str).str.replace(r"\..*", "", regex=True)
    return sorted(set(names))[::2]


@pytest.fixture(scope="module")
def published(tmp_path_factory, genes):
    folder = tmp_path_factory.mktemp("nicheformer")
    return folder, write(folder, genes)


@pytest.fixture
def some(cells):
    """Cells of known and unknown assays."""
    few = by_ensembl(cells.select(np.arange(0, 100, 9)))
    assays = ["10x 3' v3", "10x 3' v2"] * len(few)
    context = few.context.assign(species="human", assay=assays[: len(few)])
    return Cells(few.counts, few.features, few.obs, context)


def padded(model, tokens):
    """The same tokens with Nicheformer's numbers: human, assay, dissociated, genes, padding."""
    levels = torch.tensor([11, 12])
    known = model.tokenizer.config.context["assay"]
    assay = torch.tensor([known.index("10x 3' v3"), known.index("10x 3' v2")]) + 1
    numbers = torch.ones(len(tokens), PLACES, dtype=torch.long)
    numbers[:, 0], numbers[:, 2] = 5, 3
    numbers[:, 1] = levels[(tokens.context["assay"] == assay[1]).long()]
    places = torch.arange(len(tokens.ids)) - tokens.offsets[tokens.cell_index] + 3
    at = (tokens.cell_index, places)
    ids = tokens.ids.long()
    numbers[at] = torch.where(ids == HIDDEN_ID, 0, ids + RESERVED)
    return numbers, at


def test_every_output_is_that_of_an_independent_forward(published, some):
    folder, network = published
    model = pan.load(folder)
    tokens = model.tokenizer(some)
    ids = tokens.ids.clone()
    ids[::7] = HIDDEN_ID
    tokens = replace(tokens, ids=ids)
    numbers, at = padded(model, tokens)
    with torch.no_grad():
        expected = network(numbers)
        hidden = model.backbone.eval()(tokens)
        logits = model.objective.logits(hidden.tokens, hidden.table)
    assert (hidden.tokens - expected["rows"][at]).abs().max() < 1e-5
    assert (logits - expected["logits"][at][:, RESERVED:]).abs().max() < 1e-5
    assert logits.std() > 0.1


def test_the_embedding_is_the_published_one_with_and_without_padding(published, some):
    folder, network = published
    model = pan.load(folder)
    tokens = model.tokenizer(some)
    lengths = tokens.lengths
    assert lengths.min() < PLACES - 3 == lengths.max()
    numbers, at = padded(model, tokens)
    with torch.no_grad():
        expected = network(numbers)
    assert model.pooling == "own"
    np.testing.assert_allclose(model.embed(some), expected["cell"], atol=1e-5)
    sums = torch.zeros(len(tokens), 64).index_add_(0, at[0], expected["rows"][at])
    mean = (sums / lengths.unsqueeze(1)).numpy()
    np.testing.assert_allclose(model.embed(some, pooling="mean"), mean, atol=1e-5)


def test_ranks_are_those_of_the_published_rule(published, genes, some):
    model = pan.load(published[0])
    means = np.load(published[0] / "dissociated_mean_script.npy")
    means[means == 0] = 1
    columns = some.features.index.get_indexer(genes)
    tokens = model.tokenizer(some)
    for row, found in enumerate(torch.split(tokens.ids, tokens.lengths.tolist())):
        counts = some.counts[row].toarray()[0].astype(np.float64)
        ratio = counts[columns] / counts.sum() * 10_000 / means
        seen = np.flatnonzero(ratio)
        expected = seen[np.argsort(-ratio[seen], kind="stable")][: PLACES - 3]
        assert found.tolist() == expected.tolist()


def test_what_is_not_known_of_a_cell_has_no_token(published, some):
    """So its genes stand further to the front."""
    model = pan.load(published[0])
    unknown = Cells(some.counts, some.features, some.obs, some.context.assign(assay="unknown"))
    tokens = model.tokenizer(unknown)
    assert not tokens.context["assay"].any()
    frame, _ = model.backbone.embedding.framed(tokens)
    assert torch.equal(frame.offsets.diff(), tokens.lengths + 2)
    assert np.abs(model.embed(unknown) - model.embed(some)).max() > 1e-3


def test_means_of_one_technology_tell_modality_and_assay(tmp_path, genes, some):
    write(tmp_path, genes)
    (tmp_path / "dissociated_mean_script.npy").unlink()
    model = pan.load(tmp_path)
    bare = Cells(some.counts, some.features, some.obs)
    codes = model.tokenizer(bare).context
    levels = model.tokenizer.config.context
    assert levels["modality"][int(codes["modality"][0]) - 1] == "spatial"
    assert levels["assay"][int(codes["assay"][0]) - 1] == "merfish"


def test_saved_and_loaded_it_is_the_same_to_the_bit(published, some, tmp_path):
    model = pan.load(published[0])
    model.save_pretrained(tmp_path / "mine")
    again = pan.load(tmp_path / "mine")
    assert again.fingerprint() == model.fingerprint()
    assert np.array_equal(again.embed(some), model.embed(some))


def test_the_plan_lists_every_key(published):
    folder, network = published
    plan = pan.plan(folder)
    listed = [*plan.matched, *plan.reshaped, *plan.ignored]
    assert sorted(listed) == sorted(network.state_dict())
    assert not plan.missing
    assert not plan.unused
    assert "ranked by dissociated_mean_script.npy" in plan.facts["vocabulary"]
    assert "row 1 to backbone.embedding.pad" in plan.reshaped["embeddings.weight"]


def test_what_is_missing_is_named(tmp_path, genes):
    write(tmp_path, genes)
    (tmp_path / "model.h5ad").rename(tmp_path / "other.h5ad")
    with pytest.raises(MissingError, match=r"no model\.h5ad"):
        pan.load(tmp_path)
    (tmp_path / "other.h5ad").rename(tmp_path / "model.h5ad")
    np.save(tmp_path / "dissociated_mean_script.npy", np.ones(7))
    with pytest.raises(IntegrityError, match="do not belong together"):
        pan.load(tmp_path)
    for file in tmp_path.glob("*.npy"):
        file.unlink()
    with pytest.raises(MissingError, match="no means"):
        pan.load(tmp_path)
    write(tmp_path, genes, nheads=None)
    with pytest.raises(IntegrityError, match="how many attention heads"):
        pan.load(tmp_path)
