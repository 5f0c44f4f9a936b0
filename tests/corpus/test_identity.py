from __future__ import annotations

import gzip

import pandas as pd
import pytest
from anndata import AnnData

from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.genes import match
from pancyte.corpus.identity import SPECIES, TABLES, genes, orthologs, positions, resolve
from pancyte.errors import InputError, UsageError

TP53 = "ENSG00000141510"


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.gz")), ids=lambda path: path.name)
def test_tables_say_where_they_come_from(path):
    with gzip.open(path, "rt") as lines:
        head = [line for line in lines if line.startswith("#")]
    assert any(licence in head[0] for licence in ("CC0", "CC BY", "MIT"))
    assert "sha256" in head[0]
    # no time of packing: the same sources give the same bytes
    assert path.read_bytes()[4:8] == b"\0\0\0\0"


def test_tables_are_small():
    assert sum(path.stat().st_size for path in TABLES.glob("*.gz")) < 3_000_000


@pytest.mark.parametrize("species", SPECIES)
def test_every_current_name_finds_its_own_gene(species):
    table = genes(species)
    table = table[(table["ensembl_id"] != "") & ~table["ensembl_id"].duplicated(keep=False)]
    table = table[~table["symbol"].duplicated(keep=False)]
    to_id = resolve(table["symbol"], species, "ensembl")
    assert to_id["target"].tolist() == table["ensembl_id"].tolist()
    assert (to_id["how"] == "exact").all()
    to_symbol = resolve(table["ensembl_id"], species, "symbol")
    assert to_symbol["target"].tolist() == table["symbol"].tolist()


def test_every_earlier_symbol_is_resolved_or_shown_to_be_ambiguous():
    """Against a plain dictionary over the whole table."""
    table = genes("human")
    meant: dict[str, set[str]] = {}
    for row in table.itertuples():
        for name in {*row.aliases.split("|"), *row.previous.split("|")} - {""}:
            meant.setdefault(name, set()).add(row.symbol)
    current = {*table["symbol"], *table["ensembl_id"]}
    names = [name for name in meant if name not in current]
    found = resolve(names, "human", "symbol")
    for name, target, how, candidates in found.itertuples():
        if len(meant[name]) == 1:
            assert {target} == meant[name]
            assert how in ("previous", "alias")
        else:
            assert (target, how) == ("", "ambiguous")
            assert set(candidates.split("|")) == meant[name]
    assert (found["how"] == "ambiguous").any()


def test_an_alias_that_is_another_genes_symbol_means_that_gene():
    table = genes("human")
    aliases = set(table["aliases"].str.split("|").explode()) & set(table["symbol"]) - {""}
    assert len(aliases) > 100
    found = resolve(sorted(aliases), "human", "symbol")
    assert found["target"].tolist() == sorted(aliases)


def test_what_happened_is_said():
    names = ["TP53", f"{TP53}.12", "GRCh38_TP53", "MARCH1", "p53", "SEPT2", "Trp53", "", None]
    found = resolve(names, "human", "symbol")
    assert found["how"].tolist() == [
        "exact", "stripped", "stripped", "previous", "alias", "ambiguous",
        "unknown", "unknown", "unknown",
    ]  # fmt: skip
    assert found["target"].tolist()[:5] == ["TP53", "TP53", "TP53", "MARCHF1", "TP53"]
    assert found["candidates"].iloc[5] == "SEPTIN2|SEPTIN6"


def test_an_id_means_itself_though_retired_but_only_in_its_species():
    found = resolve(["ENSG00000999999.3", "ENSMUSG00000059552"], "human", "ensembl")
    assert found["target"].tolist() == ["ENSG00000999999", ""]
    assert found["how"].tolist() == ["stripped", "unknown"]


def test_entrez_ids_mean_human_genes():
    found = resolve([7157, "2641.0", 3630, 999999999], "human", "symbol")
    assert found["target"].tolist() == ["TP53", "GCG", "INS", ""]
    assert found["how"].tolist() == ["exact", "stripped", "exact", "unknown"]
    # the same gene by either name, wherever there are both
    table = genes("human")
    table = table[(table["entrez_id"] != "") & (table["ensembl_id"] != "")]
    table = table[~table["ensembl_id"].duplicated(keep=False)]
    assert len(table) > 35_000
    by_number = resolve(table["entrez_id"], "human", "ensembl")["target"].tolist()
    assert by_number == table["ensembl_id"].tolist()
    assert (resolve([14526, 16334], "mouse", "symbol")["how"] == "unknown").all()


def test_where_genes_are():
    """Against Ensembl's pages of these genes: GRCh38, and GRCm38 for mouse."""
    human = positions(["TP53", f"{TP53}.12", "p53", "GCG", "no-gene", "MT-ND1"], "human")
    assert human["chromosome"].tolist() == [*["chr17"] * 3, "chr2", "", ""]
    assert human["start"].tolist()[:4] == [*[7_661_779] * 3, 162_142_873]
    assert human["end"].tolist()[:4] == [*[7_687_550] * 3, 162_152_404]
    assert human["start"].isna().tolist()[4:] == [True, True]
    mouse = positions(["Trp53", "Gcg"], "mouse")
    assert mouse["chromosome"].tolist() == ["chr11", "chr2"]
    assert mouse["start"].tolist() == [69_580_359, 62_474_530]


@pytest.mark.parametrize(
    ("species", "chromosomes", "share"), [("human", 24, 0.98), ("mouse", 21, 0.94)]
)
def test_most_protein_coding_genes_have_a_position(species, chromosomes, share):
    table = genes(species)
    known = table["chromosome"] != ""
    assert known[table["biotype"] == "protein_coding"].mean() > share
    assert table.loc[known, "chromosome"].nunique() == chromosomes
    start, end = (pd.to_numeric(table.loc[known, key]) for key in ("start", "end"))
    assert (start > 0).all()
    assert (start <= end).all()


def test_what_cannot_be_resolved_is_refused():
    with pytest.raises(InputError, match="no gene table for species 'rat'"):
        resolve(["Ins2"], "rat", "symbol")
    with pytest.raises(UsageError, match="entrez"):
        resolve(["INS"], "human", "entrez")


def test_orthologs_are_one_to_one():
    pairs = orthologs()
    assert not pairs["human_id"].duplicated().any()
    assert not pairs["mouse_id"].duplicated().any()
    partner = pairs.set_index("human_symbol")["mouse_symbol"]
    assert partner[["TP53", "GCG", "MT-ND1"]].tolist() == ["Trp53", "Gcg", "mt-Nd1"]


def test_the_demo_data_agree_with_the_table(pancreas: AnnData):
    found = resolve(pancreas.var_names, "human", "ensembl")
    mapped = (found["target"] != "").to_numpy()
    assert mapped.mean() > 0.99
    same = found["target"].to_numpy() == pancreas.var["ensembl_id"].to_numpy()
    assert same[mapped].mean() > 0.98


def test_mouse_symbols_of_a_study(data_dir):
    mouse = load_dataset("baron-mouse")
    found = resolve(mouse.var_names, "mouse", "ensembl")
    assert (found["target"] != "").mean() > 0.9
    assert found["target"].str.startswith(("ENSMUSG", "")).all()


def test_symbols_meet_a_vocabulary_of_ids(pancreas: AnnData):
    symbols = pd.DataFrame(index=pancreas.var_names)
    vocabulary = pd.DataFrame(index=pancreas.var["ensembl_id"].iloc[:2000])
    found = match(symbols, vocabulary)
    assert found.naming.endswith("through the gene table")
    assert found.overlap_of_vocabulary > 0.98
    rows = found.columns[:2000]
    assert (rows[rows >= 0] == [row for row in range(2000) if rows[row] >= 0]).mean() > 0.99


def test_nothing_meets_nothing(pancreas: AnnData):
    none = pd.DataFrame(index=pd.Index([], dtype=object))
    some = pd.DataFrame(index=pancreas.var_names[:5])
    for found in (match(none, some), match(some, none), match(none, none)):
        assert (found.overlap_of_data, found.overlap_of_vocabulary) == (0, 0)


def test_mouse_genes_are_not_read_as_human_ones(pancreas: AnnData):
    mouse = pd.DataFrame(index=orthologs()["mouse_symbol"])
    vocabulary = pd.DataFrame(index=pancreas.var["ensembl_id"])
    assert match(mouse, vocabulary).overlap_of_vocabulary == 0
