"""scBERT against an independent forward pass over all genes, and the published preprocessing."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import pancyte as pan
from pancyte.errors import IntegrityError, MissingError
from pancyte.shapes import HIDDEN_VALUE
from tests.importers.scbert_reference import Reference


def write(folder, genes, **more):
    """Write the checkpoint as the published training does, and the file that names the genes."""
    torch.manual_seed(13)
    network = Reference(len(genes), 40, 2, 3).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "to_q" in name or "to_k" in name:
                parameter.mul_(3)
    content = {"epoch": 1, "model_state_dict": network.state_dict() | more, "losses": 0.1}
    torch.save(content, folder / "panglao_pretrain.pth")
    table = pd.DataFrame(index=genes)
    ad.AnnData(np.ones((1, len(genes)), np.float32), var=table).write_h5ad(
        folder / "panglao_10000.h5ad"
    )
    return network


@pytest.fixture(scope="module")
def genes(_few):
    return [*_few.var_names[::3], "NOT-MEASURED"]


@pytest.fixture(scope="module")
def published(tmp_path_factory, genes):
    folder = tmp_path_factory.mktemp("scbert")
    return folder, write(folder, genes)


def bins_of(cells, genes):
    """Preprocess as published: look genes up, normalise, log2, cut, and add the last place."""
    columns = cells.features.index.get_indexer(genes)
    counts = cells.counts.toarray()[:, columns] * (columns >= 0)
    told = np.log2(1 + counts / counts.sum(1, keepdims=True) * 1e4)
    whole = np.minimum(told, 5).astype(int)
    return torch.from_numpy(np.concatenate([whole, np.zeros((len(whole), 1), int)], 1))


def test_genes_and_cells_are_those_of_an_independent_forward(published, genes, cells):
    folder, network = published
    model, few = pan.load(folder), cells.select(np.arange(0, 100, 9))
    tokens, bins = model.tokenizer(few), bins_of(few, genes)
    with torch.no_grad():
        hidden = model.backbone.eval()(tokens)
        expected = [network(each) for each in bins]
    embedded = model.embed(few)
    for row, vectors in enumerate(torch.split(hidden.tokens, tokens.lengths.tolist())):
        here = slice(tokens.offsets[row], tokens.offsets[row + 1])
        ids = tokens.ids[here].long()
        assert tokens.values[here].tolist() == bins[row][ids].tolist()
        assert (vectors - expected[row][ids]).abs().max() < 1e-5
        assert (hidden.cls[row] - expected[row][-1]).abs().max() < 1e-5
        mean = expected[row][ids].mean(0).numpy()
        np.testing.assert_allclose(embedded[row], mean, atol=1e-5)


def test_a_withheld_bin_is_the_last_row_of_the_table(published, genes, cells):
    folder, network = published
    model, few = pan.load(folder), cells.select(np.arange(2))
    tokens, bins = model.tokenizer(few), bins_of(few, genes)
    values = tokens.values.clone()
    values[5] = HIDDEN_VALUE
    bins[0, tokens.ids[5].long()] = 6
    with torch.no_grad():
        hidden = model.backbone.eval()(replace(tokens, values=values))
        expected = network(bins[0])
    assert (hidden.cls[0] - expected[-1]).abs().max() < 1e-5


def test_saved_and_loaded_it_is_the_same_to_the_bit(published, cells, tmp_path):
    model, few = pan.load(published[0]), cells.select(np.arange(4))
    model.save_pretrained(tmp_path / "mine")
    again = pan.load(tmp_path / "mine")
    assert again.fingerprint() == model.fingerprint()
    assert np.array_equal(again.embed(few), model.embed(few))


def test_the_plan_lists_every_key_and_a_tuned_head_must_be_allowed(published, genes, tmp_path):
    folder, network = published
    plan = pan.plan(folder)
    assert sorted([*plan.matched, *plan.reshaped, *plan.ignored]) == sorted(network.state_dict())
    assert not plan.missing
    assert not plan.unused
    write(tmp_path, genes, **{"to_out.fc1.bias": torch.ones(3)})
    with pytest.raises(IntegrityError, match=r"1 unused: to_out\.fc1\.bias"):
        pan.load(tmp_path)
    pan.load(tmp_path, allow_unused=["to_out.fc1.*"])


def test_the_genes_must_be_those_of_the_weights(tmp_path, genes):
    write(tmp_path, genes)
    other = ad.AnnData(np.ones((1, 2), np.float32), var=pd.DataFrame(index=["A", "B"]))
    other.write_h5ad(tmp_path / "panglao_10000.h5ad")
    with pytest.raises(IntegrityError, match="has 2 genes"):
        pan.load(tmp_path)
    (tmp_path / "panglao_10000.h5ad").unlink()
    with pytest.raises(MissingError, match="which names the genes"):
        pan.load(tmp_path)
