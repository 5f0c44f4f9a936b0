"""Figures hold what the data say."""

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

import pancyte.pl as pl
from pancyte.errors import InputError
from pancyte.pl.colours import GREY, PALETTE, as_categories, colours_of
from pancyte.pl.tables import learning_curves, summarise

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def adata(pancreas):
    """One study labelled after another, with their principal components."""
    known = pancreas.obs["study"] == "Fasolino 2022"
    asked = pancreas.obs["study"] == "Muraro 2016"
    both = pancreas[known | asked].copy()
    known = (both.obs["study"] == "Fasolino 2022").to_numpy()
    counts = both.X.astype(float)
    abundant = np.argsort(-counts.getnnz(axis=0), kind="stable")[:500]
    logged = np.log1p(counts[:, abundant].toarray())
    both.obsm["X_pca"] = PCA(10, svd_solver="full").fit_transform(logged)
    knn = KNeighborsClassifier(5).fit(both.obsm["X_pca"][known], both.obs["cell_type"][known])
    query = both[~known].copy()
    chances = knn.predict_proba(query.obsm["X_pca"])
    query.obs["pancyte_label"] = pd.Categorical(knn.classes_[chances.argmax(axis=1)])
    query.obs["pancyte_probability"] = chances.max(axis=1)
    return query


def drawn(ax) -> np.ndarray:
    return np.asarray(ax.collections[0].get_offsets())


def test_embedding_draws_each_cell_once_in_its_colour(adata):
    adata.obsm["X_two"] = adata.obsm["X_pca"][:, :2]
    ax = pl.embedding(adata, "two", color="cell_type")
    points = drawn(ax)
    assert sorted(map(tuple, points)) == sorted(map(tuple, adata.obsm["X_two"]))
    colours = [to_hex(colour) for colour in ax.collections[0].get_facecolors()]
    names = as_categories(adata.obs["cell_type"]).categories
    entries = ax.get_legend().get_texts()
    assert [entry.get_text() for entry in entries] == list(names)
    label_at = dict(zip(map(tuple, adata.obsm["X_two"]), adata.obs["cell_type"], strict=True))
    expected = colours_of(names)
    assert colours == [expected[label_at[tuple(point)]] for point in points]


def test_embedding_of_many_columns_shows_its_principal_components(adata):
    ax = pl.embedding(adata, "X_pca", color="cell_type")
    values = adata.obsm["X_pca"] - adata.obsm["X_pca"].mean(axis=0)
    spread = np.linalg.svd(values, compute_uv=False)[:2]
    assert np.linalg.norm(drawn(ax), axis=0) == pytest.approx(spread)
    assert ax.get_xlabel() == "PC 1 of pca"


def test_embedding_by_gene_and_by_several_colours(adata):
    gene = adata.var_names[int(np.argmax(adata.X.sum(axis=0)))]
    axes = pl.embedding(adata, "pca", color=[gene, "cell_type"])
    assert [ax.get_title() for ax in axes] == [gene, "cell_type"]
    values = np.sort(np.asarray(axes[0].collections[0].get_array()))
    assert values == pytest.approx(np.sort(adata[:, gene].X.toarray().ravel()))
    assert isinstance(pl.embedding(adata, "pca"), matplotlib.axes.Axes)


def test_embedding_draws_where_it_is_told(adata):
    figure, ax = pyplot.subplots()
    assert pl.embedding(adata, "pca", color="cell_type", ax=ax) is ax
    assert len(figure.axes) == 1
    with pytest.raises(InputError, match="2 colours"):
        pl.embedding(adata, "pca", color=["cell_type", "study"], ax=ax)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("umap", "cell_type"), "embedding 'umap'"), (("pca", "celltype"), "'celltype'")],
)
def test_embedding_says_what_is_missing(adata, arguments, said):
    with pytest.raises(InputError, match=said):
        pl.embedding(adata, arguments[0], color=arguments[1])


def test_annotation_shows_truth_label_and_probability(adata):
    figure = pl.annotation(adata, basis="pca", truth_key="cell_type")
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == ["cell_type", "pancyte_label", "pancyte_probability"]


def test_truth_and_label_have_the_same_colours(adata):
    figure = pl.annotation(adata, basis="pca", truth_key="cell_type")
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    truth, label = (
        {
            t.get_text(): to_hex(h.get_color())
            for t, h in zip(l.texts, l.legend_handles, strict=True)
        }
        for l in legends  # noqa: E741
    )
    shared = truth.keys() & label.keys()
    assert len(shared) > 3
    assert {name: truth[name] for name in shared} == {name: label[name] for name in shared}


def test_confusion_writes_per_cent_of_rows(adata):
    ax = pl.confusion(adata, "cell_type")
    share = np.asarray(ax.images[0].get_array())
    assert share.sum(axis=1) == pytest.approx(np.ones(len(share)))
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    columns = [tick.get_text() for tick in ax.get_xticklabels()]
    alpha = adata.obs["cell_type"] == rows[0]
    called = (adata.obs["pancyte_label"][alpha].astype(str) == columns[0]).mean()
    assert share[0, 0] == pytest.approx(called)
    assert {text.get_text() for text in ax.texts} == {
        f"{100 * part:.0f}" for part in np.ravel(share) if part >= 0.005
    }


@pytest.fixture
def log() -> pd.DataFrame:
    return pd.DataFrame({
        "step": [1, 2, 2, 3],
        "loss": [3.0, 2.0, None, 1.5],
        "held_out_value": [None, None, 2.5, None],
        "trivial_value": [None, None, 2.8, None],
    })  # fmt: skip


def test_training_reads_a_run_and_a_table_alike(log, tmp_path):
    log.to_json(tmp_path / "loss.jsonl", orient="records", lines=True)
    for given in (log, tmp_path, str(tmp_path)):
        ax = pl.training(given, trivial={"mean": 2.9})
        lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
        assert lines == {
            "training": [3.0, 2.0, 1.5],
            "held out": [2.5],
            "trivial predictor": [2.8],
            "mean": [2.9, 2.9],
        }


def test_learning_curves_add_up_terms_and_refuse_other_tables(log):
    two = log.assign(held_out_gene=log["held_out_value"] / 5)
    assert learning_curves(two)["held out"].to_dict() == {2: 3.0}
    with pytest.raises(InputError, match="epoch"):
        learning_curves(pd.DataFrame({"epoch": [1]}))


@pytest.fixture
def results(adata) -> pd.DataFrame:
    right = (adata.obs["pancyte_label"].astype(str) == adata.obs["cell_type"].astype(str)).mean()
    rows = [
        ("knn", "knn", 0, "accuracy", right, False),
        ("knn", "knn", 1, "accuracy", right - 0.02, False),
        ("majority", "direct", 0, "accuracy", 0.2, True),
        ("majority", "direct", 1, "accuracy", 0.2, True),
        ("knn", "knn", 0, "ece", 0.1, False),
        ("majority", "direct", 0, "ece", 0.3, True),
    ]
    names = ["method", "adaptation", "seed", "metric", "value", "baseline"]
    return pd.DataFrame(rows, columns=names).assign(dataset="pancreas", task="annotation")


def test_benchmark_draws_every_metric_best_on_top(results):
    figure = pl.benchmark(results)
    first, second = figure.axes
    assert (first.get_xlabel(), second.get_xlabel()) == ("accuracy", "ece")
    for ax in figure.axes:
        assert [tick.get_text() for tick in ax.get_yticklabels()] == ["majority", "knn (knn)"]
    (only,) = pl.benchmark(results, metric="ece").axes
    assert only.get_xlabel() == "ece"
    with pytest.raises(InputError, match="'recall'"):
        pl.benchmark(results, metric="recall")


def test_summary_averages_runs_and_keeps_the_range_where_there_is_no_interval(results):
    table = summarise(results).set_index(["name", "metric"])
    scores = results["value"].iloc[:2]
    row = table.loc[("knn (knn)", "accuracy")]
    assert row["value"] == pytest.approx(scores.mean())
    assert (row["low"], row["high"]) == (scores.min(), scores.max())
    assert row["runs"] == 2
    bounded = summarise(results.assign(low=results["value"] - 0.1, high=results["value"] + 0.2))
    first = bounded.iloc[0]
    assert (first["low"], first["high"]) == pytest.approx(
        (scores.mean() - 0.1, scores.mean() + 0.2)
    )


def test_save_writes_the_format_its_name_says_and_leaves_nothing_else(adata, tmp_path):
    for name, start in {"a.png": b"\x89PNG", "b.pdf": b"%PDF", "c.svg": b"<?xml"}.items():
        pl.embedding(adata, "pca", color="cell_type", save=tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.pdf", "c.svg"]


def test_beyond_the_palette_categories_are_grey_and_counted(pancreas):
    donors = pancreas[:, :1].copy()
    donors.obs["fine"] = donors.obs["donor"].astype(str) + donors.obs["cell_type"].astype(str)
    donors.obsm["X_two"] = np.arange(2.0 * donors.n_obs).reshape(-1, 2)
    ax = pl.embedding(donors, "two", color="fine")
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(entries) == len(PALETTE) + 1
    assert entries[-1] == f"{donors.obs['fine'].nunique() - len(PALETTE)} more"
    used = {to_hex(colour) for colour in ax.collections[0].get_facecolors()}
    assert used == {*PALETTE, GREY}


def test_importing_figures_and_reports_loads_nothing_heavy():
    heavy = {"matplotlib", "torch", "scanpy", "sklearn", "jinja2"}
    script = "import sys, pancyte.pl, pancyte.report; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())


def test_curves_of_few_labelled_cells(tmp_path):
    score = {("1 cell", 0): 0.2, ("1 cell", 1): 0.4, ("10 cells", 0): 0.6, ("10 cells", 1): 0.6}
    rows = pd.DataFrame(
        [
            {
                "method": "pca", "adaptation": "knn", "dataset": "islets", "task": "few_shot",
                "split": f"donor 1 | {fold}", "seed": seed, "metric": "macro_f1", "value": value,
            }
            for (fold, seed), value in score.items()
        ]
    )  # fmt: skip
    table = pl.shots(rows).set_index("shots")
    assert table.loc[1, "value"] == pytest.approx(0.3)
    assert table.loc[1, "error"] == pytest.approx(0.1)
    figure = pl.few_shot(rows, save=tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0
    (line,) = figure.axes[0].get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[1, 0.3], [10, 0.6]])
    with pytest.raises(InputError, match="no results of the task 'few_shot'"):
        pl.few_shot(rows.assign(task="annotation"))


def test_curves_of_stress_start_from_what_was_before(tmp_path):
    score = {"none 0": 0.9, "depth 0.5": 0.8, "depth 0.9": 0.5, "batch 1": 0.7}
    rows = pd.DataFrame(
        [
            {
                "method": method, "adaptation": adaptation, "dataset": "islets", "task": "stress",
                "split": f"donor 1 | {fold}", "metric": "macro_f1", "value": value - less,
            }
            for fold, value in score.items()
            for method, adaptation, less in (("pca", "knn", 0.1), ("annotate", "direct", 0.0))
        ]
    )  # fmt: skip
    table = pl.severities(rows)
    lost = table.set_index(["way", "stress", "severity"])["lost"]
    assert lost["pca (knn)", "depth", 0.9] == pytest.approx(0.4)
    assert lost["annotate", "none", 0] == 0
    figure = pl.stress(rows, save=tmp_path / "stress.png")
    assert (tmp_path / "stress.png").stat().st_size > 0
    assert [ax.get_title() for ax in figure.axes] == ["depth", "batch"]
    own = dict(zip(*reversed(figure.axes[0].get_legend_handles_labels()), strict=True))
    np.testing.assert_allclose(own["annotate"].get_xydata(), [[0, 0.9], [0.5, 0.8], [0.9, 0.5]])
    with pytest.raises(InputError, match="no results of the task 'stress'"):
        pl.stress(rows.assign(task="annotation"))
