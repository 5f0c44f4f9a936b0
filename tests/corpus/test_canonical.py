"""Gene names and fingerprints that do not depend on how a dataset was written."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from pancyte.corpus.canonical import (
    canonical,
    cell_hashes,
    content_hash,
    feature_keys,
    fingerprints,
    project,
)


def test_symbols_aliases_and_versions_meet_in_one_gene():
    given = pd.DataFrame(index=["TP53", "ENSG00000141510.18", "P53", "not-a-gene"])
    table, columns = canonical(given, "human")
    assert len(set(columns[:2])) == 1
    row = table.loc["ENSG00000141510"]
    assert row["symbol"] == "TP53"
    assert row["species"] == "human"
    assert row["original_name"].split("|")[:2] == ["TP53", "ENSG00000141510.18"]
    assert table.index[columns[3]] == "not-a-gene"
    assert table.loc["not-a-gene", "symbol"] == "not-a-gene"


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


def _content(cells):
    return content_hash(fingerprints(cells))


def test_content_ignores_order_storage_and_the_names_of_cells(cells):
    known = _content(cells)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(cells)), rng.permutation(len(cells.features))
    moved = replace(cells, counts=cells.counts[:, columns], features=cells.features.iloc[columns])
    assert _content(moved.select(rows)) == known
    for dtype in (np.int32, np.float64, np.uint16):
        assert _content(replace(cells, counts=cells.counts.astype(dtype))) == known
    renamed = cells.obs.set_axis([f"cell{i}" for i in range(len(cells))])
    assert _content(replace(cells, obs=renamed)) == known


def test_content_sees_a_count_a_gene_and_a_cell(cells):
    counts = cells.counts.copy()
    counts.data[1000] += 1
    gene = cells.features.index[cells.counts.indices[0]]
    other = cells.features.rename(index={gene: "OTHER"})
    other["ensembl_id"] = np.where(other.index == "OTHER", "", other.get("ensembl_id", ""))
    changed = [
        replace(cells, counts=counts),
        replace(cells, features=other),
        cells.select(np.arange(1, len(cells))),
    ]
    assert len({_content(cells), *map(_content, changed)}) == 4


def test_two_names_of_a_gene_count_as_one(cells):
    split = cells.counts.toarray()
    half = np.zeros((len(cells), 1), np.float32)
    best = int(split.sum(axis=0).argmax())
    half[:, 0] = np.floor(split[:, best] / 2)
    split[:, best] -= half[:, 0]
    name = cells.features.index[[best]]
    twice = replace(
        cells,
        counts=csr_matrix(np.hstack([split, half])),
        features=pd.concat([cells.features, cells.features.loc[name]]),
    )
    before = twice.counts.copy()
    assert np.array_equal(fingerprints(twice), fingerprints(cells))
    assert np.array_equal(twice.counts.data, before.data)
