"""Figures of what verbs left in the cells and of tasks whose answer is a curve."""

import pytest
from markupsafe import escape

import pancyte as pan
from pancyte.benchmark.results import Results
from pancyte.corpus.cells import to_anndata
from pancyte.report.compose import Material, compose
from pancyte.report.page import render


@pytest.fixture(scope="module")
def results():
    row = {"method": "pca", "adaptation": "knn", "dataset": "islets", "metric": "macro_f1",
           "baseline": True, "seen": False, "error": "", "seed": 0}  # fmt: skip
    splits = {"few_shot": ("1 cell", "5 cells"), "stress": ("none 0", "depth 0.9")}
    rows = [
        {**row, "task": task, "split": f"donor | {fold}", "value": 0.5}
        for task, folds in splits.items()
        for fold in folds
    ]
    return Results(rows)


def test_curves_of_results_are_in_the_page(results):
    report = compose(Material(results=results))
    assert [picture.name for picture in report.pictures] == ["Stress", "Few labelled cells"]
    assert all(picture.png.startswith(b"\x89PNG") for picture in report.pictures)
    page = render(report)
    assert page.count('<img src="data:image/png;base64,') == 2
    assert render(compose(Material(results=results))) == page


def test_what_was_done_to_cells_is_drawn(three_studies):
    adata = to_anndata(three_studies)
    pan.tl.integrate(adata, batch_key="study", method="standardised")
    assert [p.name for p in compose(Material(adata=adata)).pictures] == ["Integration"]


def test_how_cells_were_labelled_is_told(three_studies):
    adata = to_anndata(three_studies)
    asked = (adata.obs["study"] == "Muraro 2016").to_numpy()
    query, reference = adata[asked].copy(), adata[~asked].copy()
    pan.tl.annotate(query, reference=reference, label_key="cell_type")
    (how,) = pan.tl.history(query)
    page = render(compose(Material(adata=query)))
    for said in (how["why"], how["laboratory"], how["second_opinion"]["told"]):
        assert str(escape(said)) in page
