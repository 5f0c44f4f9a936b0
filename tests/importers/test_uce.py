"""UCE against an independent forward pass, and its sentences against the published rule."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

import pancyte as pan
from pancyte.corpus.identity import positions
from pancyte.errors import IntegrityError, MissingError
from pancyte.tokenizers.uce import CHROMOSOME, START
from tests.importers.uce_reference import Reference

OFFSET, FIRST, LAST = 13_466, 143_574, 145_469


def write(folder, genes):
    """Write the published files: weights, offsets, positions, and the genes of one species."""
    torch.manual_seed(9)
    network = Reference(LAST, 6, 64, 1, 96, 2).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    torch.save(network.state_dict(), folder / "4layer_model.torch")
    (folder / "species_offsets.pkl").write_bytes(pickle.dumps({"human": OFFSET, "mouse": 20}))
    (folder / "protein_embeddings").mkdir(exist_ok=True)
    vectors = {gene: torch.zeros(6) for gene in [*genes, "NOWHERE"]}
    name = "Homo_sapiens.GRCh38.gene_symbol_to_embedding_ESM2.pt"
    torch.save(vectors, folder / "protein_embeddings" / name)
    where = positions(pd.Series(genes), "human")
    table = pd.DataFrame(
        {
            "species": "human",
            "gene_symbol": genes,
            "chromosome": where["chromosome"].replace("", "KI270728.1").to_numpy(),
            "start": where["start"].fillna(7).to_numpy(),
        }
    )
    others = table.iloc[:9].assign(species="frog", chromosome=list("123456789"))
    pd.concat([table, others]).to_csv(folder / "species_chrom.csv")
    return network, pd.concat([table, others])


@pytest.fixture(scope="module")
def genes(_few):
    return list(_few.var_names[::2])


@pytest.fixture(scope="module")
def published(tmp_path_factory, genes):
    folder = tmp_path_factory.mktemp("uce")
    return folder, *write(folder, genes)


def rows_of(model, table, genes):
    """Number the vocabulary's rows as the published code does."""
    chromosomes = sorted((table["species"] + "_" + table["chromosome"]).unique())
    index = model.tokenizer.vocabulary.table.index
    numbers = {gene.upper(): OFFSET + place for place, gene in enumerate(genes)}
    numbers |= {f"<chromosome {name}>": FIRST + n for n, name in enumerate(chromosomes)}
    numbers["<end of chromosome>"] = 2
    return torch.tensor([numbers[name] for name in index])


def test_every_vector_is_that_of_an_independent_forward(published, genes, cells):
    folder, network, table = published
    model, few = pan.load(folder), cells.select(np.arange(0, 100, 20))
    numbers, tokens = rows_of(model, table, genes), model.tokenizer(few)
    with torch.no_grad():
        hidden = model.backbone.eval()(tokens)
        for row, ids in enumerate(torch.split(tokens.ids.long(), tokens.lengths.tolist())):
            expected = network(torch.cat([torch.tensor([3]), numbers[ids]]))
            here = slice(tokens.offsets[row], tokens.offsets[row + 1])
            assert (hidden.cls[row] - expected[0]).abs().max() < 1e-5
            assert (hidden.tokens[here] - expected[1:]).abs().max() < 1e-5
            cell = torch.nn.functional.normalize(expected[0], dim=0).numpy()
            np.testing.assert_allclose(model.embed(few)[row], cell, atol=1e-5)


def test_sentences_follow_the_published_rule(published, cells):
    """1,024 genes of the cell, chromosome by chromosome, each between marks, by their start."""
    folder, _, _ = published
    model = pan.load(folder)
    table, tokens = model.tokenizer.vocabulary.table, model.tokenizer(cells)
    codes, starts = table[CHROMOSOME].to_numpy(int), table[START].to_numpy()
    names = table.index
    marked = names.str.startswith("<chromosome")
    end = names.get_loc("<end of chromosome>")
    orders = set()
    for row, ids in enumerate(torch.split(tokens.ids, tokens.lengths.tolist())):
        ids = ids.numpy()
        expressed = cells.counts[row].indices
        opens, closes = np.flatnonzero(marked[ids]), np.flatnonzero(ids == end)
        assert len(ids) - len(opens) - len(closes) == 1024
        assert opens.tolist() == [0, *(closes[:-1] + 1)]
        assert closes[-1] == len(ids) - 1
        assert len(set(ids[opens])) == len(opens)
        for first, last in zip(opens, closes, strict=True):
            inside = ids[first + 1 : last]
            assert (codes[inside] == codes[ids[first]]).all()
            assert (np.diff(starts[inside]) >= 0).all()
            assert set(names[inside]) <= set(cells.features.index[expressed].str.upper())
        orders.add(tuple(codes[ids[opens]][:3]))
    assert len(orders) > 50


def test_genes_are_drawn_in_proportion_to_the_logarithm_of_their_counts(published, cells):
    model = pan.load(published[0])
    chosen = int(cells.counts.getnnz(axis=1).argmax())
    kind, seeds = type(model.tokenizer), range(40)
    drawn = np.zeros(len(model.tokenizer.vocabulary))
    for seed in seeds:
        config = pan.registry.settings_of(kind, {"seed": seed})
        tokens = kind(config, model.tokenizer.vocabulary)(cells.select(np.array([chosen])))
        drawn += np.bincount(tokens.ids.numpy(), minlength=len(drawn))
    table = model.tokenizer.vocabulary.table.index
    counts = cells.counts[chosen].toarray()[0][cells.features.index.get_indexer(table)]
    weights = np.log1p(counts * (cells.features.index.get_indexer(table) >= 0))
    expected = weights / weights.sum() * 1024 * len(seeds)
    common = expected > 100
    assert common.sum() > 20
    gap = (drawn[common] - expected[common]) / np.sqrt(expected[common])
    assert np.abs(gap).max() < 4.5


def test_names_are_matched_whatever_their_case(published, cells):
    model = pan.load(published[0])
    lower = cells.features.rename(index=str.lower)
    few = type(cells)(cells.counts, lower.drop(columns="symbol", errors="ignore"), cells.obs)
    assert torch.equal(model.tokenizer(few).ids, model.tokenizer(cells).ids)


def test_saved_and_loaded_it_is_the_same_to_the_bit(published, cells, tmp_path):
    model, few = pan.load(published[0]), cells.select(np.arange(3))
    model.save_pretrained(tmp_path / "mine")
    again = pan.load(tmp_path / "mine")
    assert again.fingerprint() == model.fingerprint()
    assert np.array_equal(again.embed(few), model.embed(few))


def test_the_plan_lists_every_key(published):
    folder, network, _ = published
    plan = pan.plan(folder)
    assert sorted([*plan.matched, *plan.reshaped, *plan.ignored]) == sorted(network.state_dict())
    assert not plan.missing
    assert not plan.unused
    assert plan.model.endswith("2 layers, human")


def test_what_is_missing_is_named(tmp_path, genes):
    write(tmp_path, genes)
    (tmp_path / "species_chrom.csv").write_text("gene_symbol\nA\n")
    with pytest.raises(IntegrityError, match=r"species_chrom\.csv is damaged"):
        pan.load(tmp_path)
    (tmp_path / "species_offsets.pkl").unlink()
    with pytest.raises(MissingError, match=r"no species_offsets\.pkl"):
        pan.load(tmp_path)
