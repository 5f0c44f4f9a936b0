"""Gene names and fingerprints that do not depend on how a dataset was written."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from pancyte.store.canonical import canonical, cell_hashes, content_hash, feature_keys, project


def test_symbols_aliases_and_versions_meet_in_one_gene():
    given = pd.DataFrame(index=["TP53", "ENSG00000141510.18", "P53", "not-a-gene"])
    table, columns = canonical(given, "human")
    assert len(set(columns[:2])) == 1
    row = table.loc["ENSG00000141510"]
    assert row["symbol"] == "TP53"
    assert row["species"] == "human"
    assert row["original_name"].split("|")[:2] == ["TP53", "ENSG00000141510.18"]
    assert table.index[columns[3]] == "not-a-gene"


def test_names_are_sorted_and_every_feature_has_its_row(cells):
    table, columns = canonical(cells.features, "human")
    assert table.index.is_monotonic_increasing
    assert table.index.is_unique
    assert set(columns) == set(range(len(table)))
    assert table.index.str.startswith("ENSG").mean() > 0.9


def test_a_barnyard_gene_has_the_species_of_its_prefix():
    given = pd.DataFrame(index=["GRCh38_ACTB", "mm10___Actb"])
    table, _ = canonical(given, "mixed")
    assert dict(table["species"]) == {"ENSG00000075624": "human", "ENSMUSG00000029580": "mouse"}


def test_unknown_species_keep_their_ids():
    given = pd.DataFrame({"ensembl_id": ["ENSGALG00000009621"]}, index=["ACTB"])
    table, _ = canonical(given, "chicken")
    assert table.index.tolist() == ["ENSGALG00000009621"]


def test_collisions_are_summed():
    counts = csr_matrix(np.array([[1, 2, 0], [0, 3, 4]], np.float32))
    assert project(counts, np.array([1, 1, 0]), 2).toarray().tolist() == [[0, 3], [4, 3]]


def test_fingerprints_ignore_order_and_storage(cells):
    table, columns = canonical(cells.features, "human")
    counts = project(cells.counts, columns, len(table))
    keys = feature_keys(table.index)
    known = cell_hashes(counts, keys)
    assert len(set(known.tolist())) == len(cells)
    shuffled = np.random.default_rng(0).permutation(len(table))
    moved = csr_matrix(counts[:, shuffled])
    assert np.array_equal(cell_hashes(moved, keys[shuffled]), known)
    assert np.array_equal(cell_hashes(counts.astype(np.int16), keys), known)
    assert content_hash(known[::-1]) == content_hash(known)


@pytest.mark.parametrize("change", ["count", "gene"])
def test_fingerprints_see_one_change(cells, change):
    table, columns = canonical(cells.features, "human")
    counts = project(cells.counts, columns, len(table))
    keys = feature_keys(table.index)
    other = counts.copy()
    if change == "count":
        other.data[0] += 1
    else:
        free = np.setdiff1d(np.arange(len(table)), counts[0].indices)[0]
        other.indices[0] = free
    differ = cell_hashes(other, keys) != cell_hashes(counts, keys)
    assert differ.tolist() == [True] + [False] * (len(cells) - 1)
