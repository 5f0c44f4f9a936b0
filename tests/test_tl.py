import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import pancyte as pan
from pancyte.corpus.cells import to_cells
from pancyte.errors import InputError, UsageError
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
    how = {"reference": reference, "label_key": "cell_type", "model": model, "method": "knn"}
    for adata in (query, blind):
        pan.tl.annotate(adata, **how)
    assert query.obs["pancyte_label"].tolist() == blind.obs["pancyte_label"].tolist()


def test_empty_cells_are_not_labelled(study, model):
    reference, query = halves(study)
    counts = query.X.tolil()
    counts[3] = 0
    query.X = csr_matrix(counts)
    how = {"reference": reference, "label_key": "cell_type", "model": model, "method": "knn"}
    pan.tl.annotate(query, **how)
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


@pytest.fixture(scope="module")
def labelled(pancreas):
    """One study labelled after its other donors, without its endothelial cells in the reference."""
    kept = pancreas.obs["study"].isin(["Fasolino 2022", "Tritschler 2022"]).to_numpy()
    both = pancreas[kept][::3].copy()
    few = both[:, np.argsort(-both.X.getnnz(axis=0), kind="stable")[:4000]].copy()
    asked = few.obs["donor"].isin(["HPAP037", "R266"]).to_numpy()
    reference, query = few[~asked].copy(), few[asked].copy()
    query.obs = query.obs[["cell_type"]].assign(donor="new")
    pan.tl.annotate(query, reference=reference, label_key="cell_type")
    return query, reference


def test_routes_are_tried_on_held_out_donors_and_the_choice_is_told(labelled):
    query, reference = labelled
    (how,) = pan.tl.history(query)
    assert how["held_out_key"] == "donor"
    tried = {row["route"] for row in how["cross_validation"]}
    singles = {"l1-logistic", "l2-logistic", "pca (knn)", "pca (logistic)"}
    assert singles | {"self-trained", "shifted-centroid"} < tried
    opinion = how["second_opinion"]
    assert opinion["by"] == "l1-logistic"
    assert [row["label"] for row in opinion["by_label"]] == how["classes"]
    assert 0.5 < opinion["same_in_query"] <= 1
    assert "held-out cells" in how["laboratory"]
    scores = [row["macro_f1"] for row in how["cross_validation"]]
    assert scores == sorted(scores, reverse=True)
    (taken,) = (row for row in how["cross_validation"] if row["chosen"])
    best = how["cross_validation"][0]
    assert taken["macro_f1"] >= best["macro_f1"] - best["noise"]
    assert how["chosen"] in how["why"]
    assert how["shared"] == taken["shared"]
    assert how["classes"] == sorted(reference.obs["cell_type"].unique())


def test_columns_agree_with_each_other(labelled):
    query, _ = labelled
    obs, given = query.obs, query.obsm["pancyte_probabilities"]
    classes = np.array(pan.tl.history(query)[0]["classes"])
    assert (classes[given.argmax(axis=1)] == obs["pancyte_best"].astype(str)).all()
    np.testing.assert_allclose(given.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(given.max(axis=1), obs["pancyte_probability"], atol=1e-6)
    sets = obs["pancyte_set"].astype(str).str.split(" | ", regex=False)
    assert (sets.map(len) == obs["pancyte_set_size"]).all()
    assert all(best in kept for best, kept in zip(obs["pancyte_best"], sets, strict=True))
    named = ~obs["pancyte_label"].astype(str).str.startswith("unassigned")
    assert (obs["pancyte_label"].astype(str) == obs["pancyte_best"].astype(str))[named].all()
    assert (obs["pancyte_set_size"][named] == 1).all()
    assert (obs["pancyte_novelty"][named] >= 0.01).all()
    assert (obs["pancyte_novelty"][obs["pancyte_label"] == "unassigned: novel"] < 0.01).all()
    assert obs["pancyte_novelty"].between(0, 1).all()
    assert (obs["pancyte_trust"] <= obs["pancyte_probability"]).all()


def test_sets_hold_the_truth_about_as_often_as_promised(labelled):
    query, _ = labelled
    sets = query.obs["pancyte_set"].astype(str).str.split(" | ", regex=False)
    held = [truth in kept for truth, kept in zip(query.obs["cell_type"], sets, strict=True)]
    right = (query.obs["pancyte_best"].astype(str) == query.obs["cell_type"].astype(str)).mean()
    assert np.mean(held) > 0.85
    assert np.mean(held) >= right > 0.7


def test_several_labels_left_are_rolled_up(labelled):
    query, _ = labelled
    sets = query.obs["pancyte_set"].astype(str).str.split(" | ", regex=False)
    islet = {
        "pancreatic A cell",
        "pancreatic D cell",
        "pancreatic PP cell",
        "type B pancreatic cell",
    }
    several = sets.map(lambda kept: len(kept) > 1 and set(kept) <= islet)
    assert set(query.obs["pancyte_ontology_label"][several]) <= {"pancreatic endocrine cell"}
    single = query.obs["pancyte_set_size"] == 1
    same = query.obs["pancyte_ontology_label"].astype(str) == query.obs["pancyte_best"].astype(str)
    assert same[single].all()


def test_it_can_be_written_and_drawn(labelled, tmp_path):
    import anndata as ad
    import matplotlib

    matplotlib.use("Agg")
    query, _ = labelled
    query.write_h5ad(tmp_path / "query.h5ad")
    again = ad.read_h5ad(tmp_path / "query.h5ad")
    assert again.obs["pancyte_set"].tolist() == query.obs["pancyte_set"].tolist()
    from matplotlib import pyplot

    right = (query.obs["pancyte_best"].astype(str) == query.obs["cell_type"].astype(str)).mean()
    figure = pan.pl.confidence(again)
    assert figure.axes[0].get_title() == "label"
    ax = pan.pl.coverage(again, "cell_type")
    assert ax.lines[0].get_ydata()[-1] == pytest.approx(1 - right)
    ax = pan.pl.reliability(again, "cell_type")
    assert sum(int(text.get_text().replace(",", "")) for text in ax.texts) == query.n_obs
    ax = pan.pl.confusion_sets(again, "cell_type", save=tmp_path / "sets.png")
    assert (tmp_path / "sets.png").stat().st_size > 1000
    assert len(ax.patches) >= 5
    pyplot.close("all")


def test_what_to_label_by_must_be_clear(study):
    query = study[:20].copy()
    with pytest.raises(UsageError, match="neither were given"):
        pan.tl.annotate(query)
    with pytest.raises(UsageError, match="no option alhpa"):
        pan.tl.annotate(query, reference=study, label_key="cell_type", alhpa=0.1)
    with pytest.raises(UsageError, match="needs one model; 0"):
        pan.tl.annotate(query, reference=study, label_key="cell_type", method="knn")


@pytest.mark.parametrize(
    ("limit", "message"), [({"alpha": 1.5}, "error rate is 1.5"), ({"novelty": -1}, "is -1")]
)
def test_limits_are_looked_at_before_anything_is_tried(study, monkeypatch, limit, message):
    def tried(*_, **__):
        raise AssertionError("routes were tried")

    monkeypatch.setattr("pancyte.deciding.decision.Decider.fit", tried)
    with pytest.raises(UsageError, match=message):
        pan.tl.annotate(study.copy(), reference=study, label_key="cell_type", **limit)


def test_markers_need_no_reference(study):
    query = study[::4].copy()
    markers = {"type B pancreatic cell": ["INS", "IAPP"], "pancreatic A cell": ["GCG", "TTR"]}
    pan.tl.annotate(query, markers=markers, key_added="marked")
    given = query.obs["marked_label"].isin(markers)
    truth = query.obs["cell_type"].astype(str)
    asked = given & truth.isin(markers)
    assert (query.obs["marked_label"].astype(str) == truth)[asked].mean() > 0.9
    assert pan.tl.history(query)[-1]["markers"] == markers
