"""A kept reference: placing, votes, what is refused, and what is on disk."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import pancyte as pan
from pancyte.corpus.cells import column
from pancyte.errors import InputError, IntegrityError, MissingError, ResourceError
from pancyte.mapping.projection import Projection
from pancyte.mapping.reference import FACTS, VECTORS, ReferenceIndex, load_index, settle
from pancyte.mapping.search import Exact, Lists
from pancyte.shapes import Cells


@pytest.fixture(scope="module")
def known(three_studies) -> Cells:
    return three_studies.select(column(three_studies, "study") != "Muraro 2016")


@pytest.fixture(scope="module")
def asked(three_studies) -> Cells:
    return three_studies.select(column(three_studies, "study") == "Muraro 2016")


@pytest.fixture(scope="module")
def index(known) -> ReferenceIndex:
    return ReferenceIndex.build(known, label_key="cell_type")


def test_another_study_is_labelled_mostly_right(index, asked):
    placed = index.place(asked)
    assert (placed.labels == column(asked, "cell_type")).mean() > 0.75
    np.testing.assert_allclose(placed.votes.sum(axis=1), 1)
    assert (np.diff(placed.distances, axis=1) >= 0).all()


def test_cells_of_the_reference_find_themselves_and_are_usual(index, known):
    placed = index.place(known)
    np.testing.assert_array_equal(placed.rows[:, 0], np.arange(len(known)))
    np.testing.assert_allclose(placed.distances[:, 0], 0, atol=1e-3)
    # the 15th with itself counted is nearer than the 15th other
    assert np.median(placed.usual) > 0.45
    assert (placed.usual < 0.01).mean() < 0.03


def test_cells_unlike_all_others_are_far(index, asked):
    rng = np.random.default_rng(0)
    shuffled = asked.counts[:, rng.permutation(asked.counts.shape[1])].sorted_indices()
    strange = index.place(replace(asked, counts=shuffled)).usual
    usual = index.place(asked).usual
    assert np.median(strange) < np.median(usual)


def test_exact_search_agrees_with_scikit_learn(index):
    rng = np.random.default_rng(0)
    Z = index.search.vectors
    some = Z[:40] + 0.1 * rng.normal(size=(40, Z.shape[1])).astype(np.float32)
    lengths, rows = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(Z).kneighbors(some)
    found, apart = Exact(Z).nearest(some, 7)
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_allclose(apart, lengths, rtol=1e-4)


def test_a_saved_index_gives_the_same_answers(index, asked, tmp_path):
    index.save(tmp_path / "index")
    again = load_index(tmp_path / "index")
    first, second = index.place(asked), again.place(asked)
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.votes, second.votes)
    np.testing.assert_allclose(first.usual, second.usual)
    assert again.maker == index.maker
    facts = json.loads((tmp_path / "index" / FACTS).read_text())
    assert facts["reference"]["cells"] == len(index)


def test_lists_find_nearly_the_same_and_are_kept(index, asked, tmp_path):
    labels = index.classes[index.codes]
    lists = ReferenceIndex.of(index.by, index.search.vectors, labels, approximate=True)
    lists.save(tmp_path / "index")
    again = load_index(tmp_path / "index")
    assert isinstance(again.search, Lists)
    np.testing.assert_array_equal(np.sort(again.search.order), np.arange(len(index)))
    exact, near = index.place(asked), again.place(asked)
    same = [len(set(a) & set(b)) / 15 for a, b in zip(exact.rows, near.rows, strict=True)]
    assert np.mean(same) > 0.95
    np.testing.assert_allclose(near.distances[:, 0], exact.distances[:, 0], rtol=0.02)


def test_an_index_of_another_model_is_refused_with_both_hashes(known, index, tmp_path):
    model = pan.load("pancyte-mini")
    few = known.select(np.arange(0, len(known), 8))
    made = ReferenceIndex.build(few, label_key="cell_type", model=model)
    made.save(tmp_path / "model")
    index.save(tmp_path / "own")
    assert load_index(tmp_path / "model", model=model).maker["sha256"] == model.fingerprint()
    with pytest.raises(MissingError, match="pancyte-mini, which is needed"):
        load_index(tmp_path / "model")
    other = model.reinitialised(1)
    with pytest.raises(IntegrityError, match=other.fingerprint()[:12]):
        load_index(tmp_path / "model", model=other)
    with pytest.raises(IntegrityError, match="made by pca"):
        load_index(tmp_path / "own", model=model)


@pytest.mark.parametrize("damage", ["flip", "remove", "facts", "newer"])
def test_damage_is_found(damage, index, tmp_path):
    folder = tmp_path / "index"
    index.save(folder)
    facts = folder / FACTS
    if damage == "flip":
        content = bytearray((folder / VECTORS).read_bytes())
        content[-5] ^= 1
        (folder / VECTORS).write_bytes(content)
    elif damage == "remove":
        (folder / VECTORS).unlink()
    elif damage == "facts":
        facts.write_text(facts.read_text()[:-40])
    else:
        facts.write_text(facts.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(IntegrityError):
        load_index(folder)
    with pytest.raises(MissingError, match="not a reference index"):
        load_index(tmp_path / "nowhere")


def test_memory_is_stated_before_and_too_much_refused(known, capsys):
    ReferenceIndex.build(known, label_key="cell_type")
    assert f"index: {len(known):,} cells × 50, search exact" in capsys.readouterr().err
    with pytest.raises(ResourceError, match=r"takes \d+\.0 GB; the machine has"):
        settle(10**13, 50, approximate=False)


def test_components_place_a_panel_of_genes_near_the_whole(known):
    own = Projection.fit(known)
    whole = own.embed(known)
    rows = np.random.default_rng(0).permutation(known.counts.shape[1])[:1500]
    rows.sort()
    panel = replace(known, counts=known.counts[:, rows], features=known.features.iloc[rows])
    part = own.embed(panel)
    for column_ in range(3):
        assert np.corrcoef(whole[:, column_], part[:, column_])[0, 1] > 0.8
    # genes that are missing are not zeros
    zeros = replace(known, counts=known.counts.multiply(np.isin(np.arange(3000), rows)).tocsr())
    plain = np.linalg.norm(own.embed(zeros) - whole)
    assert np.linalg.norm(part - whole) < plain


def test_other_genes_are_refused_by_name(known):
    own = Projection.fit(known)
    other = known.features.set_axis([f"XYZ{i}" for i in range(len(known.features))])
    strange = replace(known, features=other[[]])
    with pytest.raises(InputError, match="XYZ0"):
        own.embed(strange)
