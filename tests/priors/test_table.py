import numpy as np
import pandas as pd
import pytest

from pancyte.errors import InputError, IntegrityError
from pancyte.priors.table import PriorTable

# a symbol that only humans have tells the species
NAMES = ["TP53", "CD3D", "INS", "GAPDH", "HLA-A"]
VECTORS = np.random.default_rng(0).standard_normal((5, 3))


def test_vectors_are_centred_and_of_length_one():
    table = PriorTable.of(NAMES, VECTORS + 100)
    centred = VECTORS - VECTORS.mean(axis=0)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    found = table.vectors_of(pd.DataFrame(index=NAMES))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_gene_under_two_names_gets_their_mean():
    # P53 is an alias of TP53, and ENSG00000141510 its Ensembl id
    table = PriorTable.of([*NAMES, "ENSG00000141510"], np.vstack([VECTORS, 3 * VECTORS[0]]))
    same = PriorTable.of(NAMES, np.vstack([2 * VECTORS[0], VECTORS[1:]]))
    assert len(table) == len(NAMES)
    np.testing.assert_array_equal(table.vectors, same.vectors)


def test_symbols_and_ensembl_ids_find_the_same_vector():
    table = PriorTable.of(NAMES, VECTORS)
    by_symbol = table.vectors_of(pd.DataFrame(index=["INS", "no such gene", "TP53"]))
    by_id = table.vectors_of(pd.DataFrame(index=["ENSG00000254647", "no such", "ENSG00000141510"]))
    np.testing.assert_array_equal(by_symbol, by_id)
    assert not by_symbol[1].any()
    assert table.coverage(pd.DataFrame(index=["INS", "no such gene", "TP53"])) == pytest.approx(
        2 / 3
    )


def test_joined_tables_keep_length_one_where_either_knows_a_gene():
    one = PriorTable.of(NAMES, VECTORS)
    two = PriorTable.of([*NAMES[:3], "CD8A"], np.random.default_rng(1).standard_normal((4, 2)))
    both = PriorTable.joined([one, two])
    assert both.dims == 5
    np.testing.assert_allclose(np.linalg.norm(both.vectors, axis=1), 1, atol=2e-3)
    lone = both.vectors_of(pd.DataFrame(index=["CD8A"]))
    assert not lone[0, :3].any()
    np.testing.assert_allclose(lone[0, 3:], two.vectors_of(pd.DataFrame(index=["CD8A"]))[0])


def test_shuffling_deals_out_the_same_vectors_to_other_genes():
    names = [f"GENE{i}" for i in range(60)]
    table = PriorTable.of(names, np.random.default_rng(0).standard_normal((60, 4)))
    vocabulary = pd.DataFrame(index=names[:40])
    dealt = table.shuffled(3, vocabulary)
    for group in (names[:40], names[40:]):
        features = pd.DataFrame(index=group)
        before, after = table.vectors_of(features), dealt.vectors_of(features)
        np.testing.assert_array_equal(np.sort(before, axis=0), np.sort(after, axis=0))
        assert (before == after).all(axis=1).mean() < 0.2
    np.testing.assert_array_equal(dealt.vectors, table.shuffled(3, vocabulary).vectors)
    assert (dealt.vectors != table.shuffled(4, vocabulary).vectors).any()


def test_saved_and_loaded_to_the_bit(tmp_path):
    table = PriorTable.of(NAMES, VECTORS)
    table.save(tmp_path / "t.safetensors")
    again = PriorTable.load(tmp_path / "t.safetensors")
    assert again.vectors.tobytes() == table.vectors.tobytes()
    assert again.genes.index.tolist() == table.genes.index.tolist()
    assert again.genes["symbol"].tolist() == table.genes["symbol"].tolist()
    (tmp_path / "t.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(IntegrityError, match="prior vectors"):
        PriorTable.load(tmp_path / "t.safetensors")


def test_what_cannot_be_vectors_is_refused():
    with pytest.raises(InputError, match="5 genes do not fit"):
        PriorTable.of(NAMES, VECTORS[:4])
    broken = VECTORS.copy()
    broken[2, 1] = np.nan
    with pytest.raises(InputError, match=r"'INS'.*not finite"):
        PriorTable.of(NAMES, broken)
