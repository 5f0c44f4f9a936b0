"""Figures of `pancyte.pl` for a report: of whatever the cells and results at hand hold."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from pancyte import pl, tl
from pancyte.pl.sheet import figure_of
from pancyte.report.parts import Picture

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure

    from pancyte.benchmark.results import Results

DPI = 120
NO_TEST = "A group is called for genes of its own, tested on reads that had no say in finding it."
BESIDE = "Biology and batch side by side, and no integration (pca) beside every method."
COVERED = "Errors among the cells that are labelled if the surest are labelled first."
SETS = "Labels left for each true type, in per cent of its cells."
STRESSED = "Scores as cells or labels get worse; each panel is one kind of accident."
FEW = "Scores after a few labelled cells of each type, mean over folds and seeds."


def pictures_of_cells(adata: AnnData, label_key: str | None) -> Iterator[Picture]:
    """Draw what `integrate`, `rare` and `annotate` left in the cells.

    Parameters
    ----------
    adata
        Cells with their history.
    label_key
        Column of true labels, where known.
    """
    verbs = {entry["verb"] for entry in tl.history(adata)}
    if "integrate" in verbs:
        yield _picture("Integration", pl.integration(adata), BESIDE)
    if "rare" in verbs:
        yield _picture("Rare groups", pl.rare(adata), NO_TEST)
    if label_key is not None and "pancyte_set" in adata.obs:
        yield _picture("How many cells to label", figure_of(pl.coverage(adata, label_key)), COVERED)
        yield _picture("Label sets", figure_of(pl.confusion_sets(adata, label_key)), SETS)


def pictures_of_results(results: Results) -> Iterator[Picture]:
    """Draw the tasks whose answer is a curve."""
    tasks = set(results.table["task"])
    if "stress" in tasks:
        yield _picture("Stress", pl.stress(results), STRESSED)
    if "few_shot" in tasks:
        yield _picture("Few labelled cells", pl.few_shot(results), FEW)


def _picture(name: str, figure: Figure, note: str) -> Picture:
    from matplotlib import pyplot

    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight")
    pyplot.close(figure)
    return Picture(name, drawn.getvalue(), note)
