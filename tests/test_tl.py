import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import pancyte as pan
from pancyte.corpus.cells import to_cells
from pancyte.errors import InputError
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tokenizers.continuous import ContinuousTokenizer


@pytest.fixture(scope="module")
def study(pancreas):
    kept = pancreas[(pancreas.obs["study"] == "Fasolino 2022").to_numpy()]
    return kept[:, np.asarray(kept.X.getnnz(axis=0)).ravel() > 20].copy()


@pytest.fixture(scope="module")
def model(study):
    cells = to_cells(study)
    return Model.create(
        ContinuousTokenizer().fit(cells),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 64}},
        objective={"name": "masked_value"},
        card=Card("random-tiny"),
    )


def halves(study):
    return study[::4].copy(), study[1::4].copy()


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_labels_are_better_than_chance_and_probabilities_are_theirs(study, model, method):
    """Even random weights keep cell types apart within one study; nonsense labels would not."""
    reference, query = halves(study)
    pan.tl.annotate(query, reference=reference, label_key="cell_type", model=model, method=method)
    right = (query.obs["pancyte_label"].astype(str) == query.obs["cell_type"].astype(str)).mean()
    assert right > reference.obs["cell_type"].value_counts(normalize=True).max() + 0.25
    assert query.obs["pancyte_probability"].between(0, 1).all()


def test_annotation_does_not_read_the_query_labels(study, model):
    reference, query = halves(study)
    blind = query.copy()
    blind.obs = blind.obs[[]]
    for adata in (query, blind):
        pan.tl.annotate(adata, reference=reference, label_key="cell_type", model=model)
    assert query.obs["pancyte_label"].tolist() == blind.obs["pancyte_label"].tolist()


def test_empty_cells_are_not_labelled(study, model):
    reference, query = halves(study)
    counts = query.X.tolil()
    counts[3] = 0
    query.X = csr_matrix(counts)
    pan.tl.annotate(query, reference=reference, label_key="cell_type", model=model)
    assert query.obs["pancyte_label"].iloc[3] == "unassigned: empty"
    assert query.obs["pancyte_probability"].iloc[3] == 0
    assert (query.obs["pancyte_label"] == "unassigned: empty").sum() == 1


def test_copy_leaves_the_input_alone(study, model):
    query = study[:20].copy()
    copy = pan.tl.embed(query, model, copy=True, key_added="X_mine")
    assert "X_mine" in copy.obsm
    assert not query.obsm
    assert "pancyte" not in query.uns


def test_history_says_how(study, model):
    query = study[:20].copy()
    pan.tl.embed(query, model)
    pan.tl.embed(query, model, pooling="cls", key_added="X_cls")
    first, second = pan.tl.history(query)
    assert json.loads(query.uns["pancyte"])[0]["model"]["sha256"] == model.fingerprint()
    assert (first["pooling"], second["pooling"]) == ("mean", "cls")
    assert first["cells"]["content_hash"] == second["cells"]["content_hash"]


def test_reference_with_one_label_is_refused(study, model):
    reference, query = halves(study)
    reference.obs["same"] = "beta"
    with pytest.raises(InputError, match=r"1 label\(s\)"):
        pan.tl.annotate(query, reference=reference, label_key="same", model=model)
