"""CellPLM against an independent forward pass over real cells and their company."""

import json

import numpy as np
import pytest
import torch

import pancyte as pan
from pancyte.errors import IntegrityError
from tests.importers.cellplm_reference import Reference
from tests.importers.conftest import by_ensembl, edit

NAME = "20230926_85M"


def write(folder, genes):
    """Write the published pair of files."""
    torch.manual_seed(11)
    network = Reference(len(genes), 64, 4, 3, 24, 5).eval()
    with torch.no_grad():
        network.embedder.feat_enc["emb"].mul_(0.05)
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    content = {"model_state_dict": network.state_dict(), "epoch": 3}
    torch.save(content, folder / f"{NAME}.best.ckpt")
    told = {
        "gene_list": genes, "enc_mod": "flowformer", "enc_hid": 64, "enc_layers": 3, "enc_head": 4,
        "latent_mod": "gmvae", "post_latent_dim": 24, "num_clusters": 5, "norm": "groupnorm",
        "cat_pe": False, "dsbn": False, "input_covariate": False, "model_dropout": 0.2,
    }  # fmt: skip
    (folder / f"{NAME}.config.json").write_text(json.dumps(told))
    return network


@pytest.fixture(scope="module")
def genes(_few):
    names = _few.var["ensembl_id"].astype(str).str.replace(r"\..*", "", regex=True)
    return sorted(set(names))[::2]


@pytest.fixture(scope="module")
def published(tmp_path_factory, genes):
    folder = tmp_path_factory.mktemp("cellplm")
    return folder, write(folder, genes)


@pytest.fixture
def some(cells):
    return by_ensembl(cells.select(np.arange(0, 100, 3)))


def test_cells_are_those_of_an_independent_forward(published, genes, some):
    folder, network = published
    model = pan.load(folder)
    counts = some.counts.toarray()[:, some.features.index.get_indexer(genes)]
    with torch.no_grad():
        expected = network(torch.from_numpy(counts).float())
    assert expected["latent"].std() > 0.1
    assert model.embed(some).shape == (len(some), 24)
    np.testing.assert_allclose(model.embed(some), expected["latent"], atol=1e-5)
    np.testing.assert_allclose(model.embed(some, pooling="cls"), expected["cell"], atol=1e-5)


def test_company_matters_as_published_and_minibatches_do_not(published, some):
    model = pan.load(published[0])
    whole = model.embed(some)
    alone = model.embed(some.select(np.arange(1)))
    assert np.abs(alone - whole[:1]).max() > 1e-3
    assert np.array_equal(model.embed(some, tokens_per_minibatch=100), whole)
    order = np.random.default_rng(0).permutation(len(some))
    np.testing.assert_allclose(model.embed(some.select(order)), whole[order], atol=1e-5)


def test_saved_and_loaded_it_is_the_same_to_the_bit(published, some, tmp_path):
    model = pan.load(published[0])
    model.save_pretrained(tmp_path / "mine")
    again = pan.load(tmp_path / "mine")
    assert again.fingerprint() == model.fingerprint()
    assert np.array_equal(again.embed(some), model.embed(some))


def test_the_plan_lists_every_key(published):
    folder, network = published
    plan = pan.plan(folder)
    assert sorted([*plan.matched, *plan.reshaped, *plan.ignored]) == sorted(network.state_dict())
    assert not plan.missing
    assert not plan.unused
    assert "embedder.norm0.weight" in plan.ignored


def test_other_architectures_are_refused(tmp_path, genes):
    write(tmp_path, genes)
    edit(tmp_path / f"{NAME}.config.json", enc_mod="performer")
    with pytest.raises(IntegrityError, match="has enc_mod 'performer'"):
        pan.load(tmp_path)
    edit(tmp_path / f"{NAME}.config.json", enc_mod="flowformer", gene_list=["A", "A"])
    with pytest.raises(IntegrityError, match="names a gene twice"):
        pan.load(tmp_path)
