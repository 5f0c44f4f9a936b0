"""TranscriptFormer against an independent forward pass over real counts."""

import json

import h5py
import numpy as np
import pytest
import torch

import pancyte as pan
from pancyte.errors import IntegrityError, MissingError
from pancyte.shapes import Cells
from tests.importers.conftest import by_ensembl
from tests.importers.transcriptformer_reference import Reference

SPECIAL = ["unknown", "[START]", "[END]", "[RD]", "[CELL]", "[PAD]", "[MASK]"]
LENGTH = 255
ASSAYS = {"unknown": 0, "10x 3' v3": 1, "10x 3' v2": 2, "Smart-seq2": 3}


def write(folder, genes, **changes):
    """Write the published folder: weights, settings, genes of two species, assays."""
    torch.manual_seed(7)
    network = Reference(len(SPECIAL) + len(genes), 24, 64, 4, 96, 3).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "linears" in name:
                parameter.mul_(4)
    torch.save(network.state_dict(), folder / "model_weights.pt")
    sizes = {
        "num_heads": 4, "num_layers": 3, "model_dim": 96, "embed_dim": 64, "seq_len": LENGTH,
        "softcap": 10, "log_counts_eps": 1e-6, "activation": "gelu", "attn_bias": False,
        "fw_bias": False, "dropout": 0.1, "aux_len": 1, "block_len": 128,
    }  # fmt: skip
    data = {
        "special_tokens": SPECIAL,
        "aux_cols": "assay",
        "clip_counts": 30,
        "esm2_mappings": ["one_gene.h5", "two_gene.h5"],
    }
    config = {"model": {"model_config": sizes | changes, "data_config": data}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocabs").mkdir(exist_ok=True)
    half = len(genes) // 2
    for name, part in (("one", genes[:half]), ("two", genes[half - 3 :])):
        with h5py.File(folder / "vocabs" / f"{name}_gene.h5", "w") as file:
            file.create_dataset("keys", data=np.array(part, "S"))
    (folder / "vocabs" / "assay_vocab.json").write_text(json.dumps(ASSAYS))
    return network


@pytest.fixture(scope="module")
def genes(_few):
    names = _few.var["ensembl_id"].astype(str).str.replace(r"\..*", "", regex=True)
    return sorted(set(names))[::3]


@pytest.fixture(scope="module")
def published(tmp_path_factory, genes):
    folder = tmp_path_factory.mktemp("transcriptformer")
    return folder, write(folder, genes)


@pytest.fixture
def some(cells):
    """Cells of known and unknown assays, with a few counts above the limit."""
    few = by_ensembl(cells.select(np.arange(0, 100, 9)))
    assays = (["10x 3' v3", "Smart-seq2", "unheard of"] * len(few))[: len(few)]
    return Cells(few.counts, few.features, few.obs, few.context.assign(assay=assays))


def padded(some, genes):
    """Read cells as the published code: genes in the order of the vocabulary, zeros as padding."""
    columns = some.features.index.get_indexer(genes)
    counts = some.counts.toarray()[:, columns]
    numbers = np.full((len(some), LENGTH), SPECIAL.index("[PAD]"))
    values = np.zeros((len(some), LENGTH), np.float32)
    for row, each in enumerate(counts):
        seen = np.flatnonzero(each)[:LENGTH]
        numbers[row, : len(seen)] = seen + len(SPECIAL)
        values[row, : len(seen)] = each[seen].clip(max=30)
    assay = torch.tensor([ASSAYS.get(name, 0) for name in some.context["assay"]])
    return torch.from_numpy(numbers), torch.from_numpy(values), assay


def test_genes_and_cells_are_those_of_an_independent_forward(published, genes, some):
    folder, network = published
    model = pan.load(folder)
    numbers, counts, assay = padded(some, genes)
    marks = {"start": 1, "pad": SPECIAL.index("[PAD]"), "unknown": 0}
    with torch.no_grad():
        expected = network(numbers, counts, assay, **marks)
        tokens = model.tokenizer(some)
        hidden = model.backbone.eval()(tokens)
    assert tokens.lengths.min() < LENGTH - 1 == tokens.lengths.max()
    assert (counts == 30).any()
    for row, found in enumerate(torch.split(hidden.tokens, tokens.lengths.tolist())):
        assert (hidden.cls[row] - expected["rows"][row, 0]).abs().max() < 1e-5
        theirs = expected["rows"][row, 1 : len(found) + 1]
        assert (found[: len(theirs)] - theirs).abs().max() < 1e-5
    np.testing.assert_allclose(model.embed(some), expected["cell"], atol=1e-5)


def test_the_assay_counts_where_it_is_known(published, some):
    model = pan.load(published[0])
    named = some.context["assay"].isin(ASSAYS).to_numpy()
    other = Cells(some.counts, some.features, some.obs, some.context.assign(assay="unknown"))
    gap = np.abs(model.embed(other) - model.embed(some)).max(axis=1)
    assert (gap[named] > 1e-4).all()
    assert (gap[~named] == 0).all()


def test_saved_and_loaded_it_is_the_same_to_the_bit(published, some, tmp_path):
    model = pan.load(published[0])
    model.save_pretrained(tmp_path / "mine")
    again = pan.load(tmp_path / "mine")
    assert again.fingerprint() == model.fingerprint()
    assert np.array_equal(again.embed(some), model.embed(some))


def test_the_plan_lists_every_key(published, genes):
    folder, network = published
    plan = pan.plan(folder)
    assert sorted([*plan.matched, *plan.reshaped, *plan.ignored]) == sorted(network.state_dict())
    assert not plan.missing
    assert not plan.unused
    assert sorted(plan.ignored) == [
        "gene_id_head.layers.0.bias", "gene_id_head.layers.0.weight", "mu.gene_embedding.weight",
    ]  # fmt: skip
    assert plan.facts["vocabulary"].startswith(f"one_gene.h5, two_gene.h5: {len(genes):,} ")


def test_what_does_not_belong_together_is_refused(tmp_path, genes):
    write(tmp_path, genes, num_heads="four")
    with pytest.raises(IntegrityError, match="usable num_heads"):
        pan.load(tmp_path)
    write(tmp_path, genes)
    with h5py.File(tmp_path / "vocabs" / "two_gene.h5", "w") as file:
        file.create_dataset("keys", data=np.array(["ENSG0"], "S"))
    with pytest.raises(IntegrityError, match="do not belong together"):
        pan.load(tmp_path)
    (tmp_path / "vocabs" / "two_gene.h5").unlink()
    with pytest.raises(MissingError, match=r"no two_gene\.h5"):
        pan.load(tmp_path)
