"""scFoundation's cell encoder against an independent forward pass over real counts."""

import numpy as np
import pandas as pd
import pytest
import torch

import pancyte as pan
from pancyte.errors import IntegrityError, MissingError, UsageError
from tests.importers.scfoundation_reference import Reference

TABLE = "OS_scRNA_gene_index.19264.tsv"
SIZES = {"width": 64, "heads": 4, "depth": 3, "bins": 10, "alpha": 0.7}


def write(folder, genes, **changes):
    """Write the published three-in-one checkpoint, and the list of genes."""
    torch.manual_seed(5)
    network = Reference(len(genes), **SIZES).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    encoder = {"module_type": "transformer", "hidden_dim": 64, "depth": 3, "heads": 4}
    sizes = {"encoder": encoder, "bin_num": 10, "bin_alpha": 0.7, "pad_token_id": 103}
    config = {
        "model": "mae_autobin",
        "model_config": {"mae_autobin": sizes | changes},
        "dataset_config": {"rnaseq": {"seq_len": len(genes) + 2}},
    }
    weights = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    other = {"model.to_final.bias": torch.ones(1)}
    content = {
        part: {"config": config, "state_dict": weights if part == "cell" else other}
        for part in ("gene", "cell", "rde")
    }
    torch.save(content, folder / "models.ckpt")
    table = pd.DataFrame({"gene_name": genes, "index": range(len(genes))})
    table.to_csv(folder / TABLE, sep="\t", index=False)
    return network


@pytest.fixture(scope="module")
def genes(_few):
    return [*_few.var_names[::2], "NOT-MEASURED"]


@pytest.fixture(scope="module")
def published(tmp_path_factory, genes):
    folder = tmp_path_factory.mktemp("scfoundation")
    return folder, write(folder, genes)


def test_genes_and_cells_are_those_of_an_independent_forward(published, genes, cells):
    folder, network = published
    model = pan.load(folder)
    few = cells.select(np.arange(0, 100, 9))
    columns = few.features.index.get_indexer(genes)
    counts = few.counts.toarray().astype(np.float64)[:, columns] * (columns >= 0)
    tokens = model.tokenizer(few)
    with torch.no_grad():
        expected = [network(torch.from_numpy(row)) for row in counts]
        hidden = model.backbone.eval()(tokens)
    for row, found in enumerate(torch.split(hidden.tokens, tokens.lengths.tolist())):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
        assert ids.tolist() == expected[row]["seen"].tolist()
        assert (found - expected[row]["genes"]).abs().max() < 1e-5
    vectors = np.stack([each["cell"].numpy() for each in expected])
    assert vectors.shape[1] == 4 * 64
    np.testing.assert_allclose(model.embed(few), vectors, atol=1e-5)
    np.testing.assert_allclose(model.embed(few, pooling="cls"), vectors[:, :64], atol=1e-5)
    np.testing.assert_allclose(model.embed(few, pooling="mean"), vectors[:, -64:], atol=1e-5)


def test_saved_and_loaded_it_is_the_same_to_the_bit(published, cells, tmp_path):
    model, few = pan.load(published[0]), cells.select(np.arange(8))
    model.save_pretrained(tmp_path / "mine")
    again = pan.load(tmp_path / "mine")
    assert again.fingerprint() == model.fingerprint()
    assert np.array_equal(again.embed(few), model.embed(few))
    with pytest.raises(UsageError, match="no pooling of its own"):
        pan.load("pancyte-mini").embed(few, pooling="own")


def test_the_plan_lists_every_key(published):
    folder, network = published
    plan = pan.plan(folder)
    listed = [*plan.matched, *plan.reshaped, *plan.ignored]
    others = ["gene.model.to_final.bias", "rde.model.to_final.bias"]
    assert sorted(listed) == sorted([*network.state_dict(), *others])
    assert not plan.missing
    assert not plan.unused
    assert "another of the three" in plan.ignored[others[0]]


def test_verbs_take_it(published, cells_file, tmp_path):
    import anndata as ad

    adata = ad.read_h5ad(cells_file)[:12].copy()
    pan.tl.embed(adata, str(published[0]), key_added="X_wide")
    assert adata.obsm["X_wide"].shape == (12, 4 * 64)


def test_what_does_not_belong_together_is_refused(tmp_path, genes):
    write(tmp_path, genes, bin_num="many")
    with pytest.raises(IntegrityError, match="does not tell the sizes"):
        pan.load(tmp_path)
    write(tmp_path, genes)
    pd.DataFrame({"gene_name": genes[:-1]}).to_csv(tmp_path / TABLE, sep="\t")
    with pytest.raises(IntegrityError, match="rows for"):
        pan.load(tmp_path)
    (tmp_path / TABLE).unlink()
    with pytest.raises(MissingError, match="no list of genes"):
        pan.load(tmp_path)
