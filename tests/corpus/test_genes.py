from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.genes import check_overlap, match
from pancyte.errors import InputError

VOCABULARY = pd.DataFrame(
    {
        "symbol": ["TP53", "INS", "GCG", "INS-IGF2"],
        "ensembl_id": [f"ENSG0000000000{number}" for number in range(1, 5)],
        "chromosome": ["17", "11", "2", "11"],
    },
    index=pd.Index(["TP53", "INS", "GCG", "INS-IGF2"], name="feature"),
)


def _features(*names: str, **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=list(names))


def test_symbols():
    found = match(_features("GCG", "ABC", "TP53"), VOCABULARY)
    assert found.columns.tolist() == [2, -1, 0]
    assert found.naming == "index ↔ index"
    assert found.overlap_of_data == pytest.approx(2 / 3)
    assert found.overlap_of_vocabulary == pytest.approx(2 / 4)


def test_ensembl_versions_are_stripped_and_collisions_summed():
    ids = [f"ENSG0000000000{digit}" for digit in ("2.5", "1.12", "2.7", "9.1")]
    found = match(_features(*ids), VOCABULARY)
    assert found.columns.tolist() == [1, 0, 1, -1]
    assert found.naming == "index ↔ ensembl_id"
    counts = csr_matrix(np.array([[1, 10, 100, 1000], [0, 2, 0, 4]], np.float32))
    assert found.project(counts).toarray().tolist() == [[10, 101, 0, 0], [2, 0, 0, 0]]


def test_the_y_copy_of_a_shared_gene_is_that_gene():
    ids = ["ENSG00000000002.14", "ENSG00000000002.14_PAR_Y", "ENSG00000000001.3-PAR-Y"]
    assert match(_features(*ids), VOCABULARY).columns.tolist() == [1, 1, 0]


def test_mapping_by_the_gene_table_is_told(pancreas, capsys):
    few = pancreas[::100].copy()
    cells = replace(to_cells(few), features=few.var[[]])
    vocabulary = pd.DataFrame(index=few.var["ensembl_id"])
    overlap = check_overlap(match(cells.features, vocabulary), cells, vocabulary)
    assert overlap.fraction > 0.95
    told = capsys.readouterr().err
    assert told.startswith(f"Gene names were mapped by the gene table: {overlap.shared:,} of ")


def test_original_names_are_no_names(pancreas):
    vocabulary = pancreas.var[[]]
    mapped = pd.DataFrame({"original_name": pancreas.var_names}, index=pancreas.var_names + "x")
    assert match(mapped, vocabulary).overlap_of_data == 0


def test_the_naming_with_the_better_overlap_wins():
    features = _features("a", "b", "INS", gene_ids=[f"ENSG0000000000{n}" for n in (3, 1, 2)])
    found = match(features, VOCABULARY)
    assert found.naming == "gene_ids ↔ ensembl_id"
    assert found.columns.tolist() == [2, 0, 1]


def test_case_and_chromosomes_do_not_match():
    features = _features("Trp53", "Ins", "x", "y", chromosome=["17", "11", "11", "2"])
    assert match(features, VOCABULARY).columns.tolist() == [-1, -1, -1, -1]


def test_prefixes_of_one_reference_are_stripped():
    assert match(_features("GRCh38_INS", "GRCh38_GCG"), VOCABULARY).columns.tolist() == [1, 2]


def test_missing_names_match_nothing():
    features = _features("", "nan", "GCG", symbol=[None, "", "INS"])
    vocabulary = VOCABULARY.assign(symbol=["", None, "INS", ""])
    assert match(features, vocabulary).columns.tolist() == [-1, -1, 2]


def test_permuting_features_permutes_the_match(pancreas):
    vocabulary = pancreas.var.iloc[::3]
    order = np.random.default_rng(0).permutation(pancreas.n_vars)
    straight, shuffled = (
        match(pancreas.var, vocabulary),
        match(pancreas.var.iloc[order], vocabulary),
    )
    assert np.array_equal(straight.columns[order], shuffled.columns)
    assert straight.overlap_of_vocabulary == 1


def test_duplicated_genes_count_as_one(small):
    cells = to_cells(small)
    twice = replace(
        cells,
        counts=csr_matrix(np.hstack([cells.counts.toarray()] * 2)),
        features=pd.concat([cells.features, cells.features]),
    )
    once = match(cells.features, pancreas_vocabulary(small)).project(cells.counts)
    both = match(twice.features, pancreas_vocabulary(small)).project(twice.counts)
    assert (both != once * 2).nnz == 0


def pancreas_vocabulary(adata) -> pd.DataFrame:
    return adata.var.rename_axis("feature").assign(symbol=adata.var_names)


def test_a_panel_and_a_short_vocabulary_pass(pancreas, capsys):
    whole = pancreas_vocabulary(pancreas)
    panel = to_cells(pancreas[::40, :300], name="panel")
    assert check_overlap(match(panel.features, whole), panel, whole).fraction == 1
    cells = to_cells(pancreas[::40])
    assert check_overlap(match(cells.features, whole[:2000]), cells, whole[:2000]).fraction > 0.99
    assert capsys.readouterr().err == ""


def test_half_warns_and_a_fifth_refuses(small, capsys):
    cells = to_cells(small, name="query")
    renamed = small.var_names.to_series().reset_index(drop=True)
    renamed[450:] = [f"novel{number}" for number in range(len(renamed) - 450)]
    some = replace(cells, features=pd.DataFrame(index=renamed))
    vocabulary = small.var[[]]
    overlap = check_overlap(match(some.features, vocabulary), some, vocabulary)
    assert (overlap.shared, overlap.detected) == (450, 1500)
    assert "450 of 1,500 detected genes of query" in capsys.readouterr().err
    renamed[200:] = [f"novel{number}" for number in range(len(renamed) - 200)]
    few = replace(cells, features=pd.DataFrame(index=renamed))
    with pytest.raises(InputError, match=r"Only 200 of 1,500 .*Name the genes by symbol"):
        check_overlap(match(few.features, vocabulary), few, vocabulary)


def test_empty_cells_are_judged_by_what_was_measured(small):
    cells = to_cells(small)
    nothing = replace(cells, counts=csr_matrix(cells.counts.shape, dtype=np.float32))
    assert check_overlap(match(cells.features, small.var), nothing, small.var).fraction == 1


def test_mouse_is_refused_by_a_human_vocabulary(data_dir, pancreas):
    cells = to_cells(load_dataset("baron-mouse"), name="baron-mouse")
    human = pancreas_vocabulary(pancreas)
    found = match(cells.features, human)
    assert found.overlap_of_data < 0.02
    with pytest.raises(InputError, match=r"baron-mouse \(mouse\).*\(human\).*Use a mouse model"):
        check_overlap(found, cells, human)


def test_human_data_of_another_study_pass(data_dir, pancreas, capsys):
    cells = to_cells(load_dataset("baron-human"))
    human = pancreas_vocabulary(pancreas)
    assert check_overlap(match(cells.features, human), cells, human).counts > 0.8
    assert capsys.readouterr().err == ""


def test_two_references_are_refused(data_dir, pancreas):
    cells = to_cells(load_dataset("hgmm-1k"))
    human = pancreas_vocabulary(pancreas)
    with pytest.raises(InputError, match="several references: hg19, mm10"):
        check_overlap(match(cells.features, human), cells, human)
