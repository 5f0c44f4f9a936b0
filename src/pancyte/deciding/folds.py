"""Which cells of a reference are held out together, to see how well others are labelled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pancyte.corpus.cells import column
from pancyte.corpus.checks import batch_columns
from pancyte.errors import InputError

if TYPE_CHECKING:
    from pancyte.shapes import Cells

FOLDS = 5
COARSE = ("study", "dataset", "datasetname")
DONORS = ("donor", "donorid", "patient", "patientid", "individual", "subject")
SAMPLES = ("sample", "sampleid")


@dataclass(frozen=True)
class Folds:
    """Who is held out with whom.

    Attributes
    ----------
    codes
        Fold of each reference cell, (cells,).
    groups
        Donor (study …) of each cell, as text; the fold itself where there are none.
    key
        Column the groups are from, or None if cells were dealt out at random.
    why
        One sentence that says so, for the user.
    stand_in
        Whether the groups only stand in for donors or studies, which the reference does not name.
    """

    codes: np.ndarray
    groups: np.ndarray
    key: str | None
    why: str
    stand_in: bool = False


def make_folds(
    reference: Cells,
    labels: np.ndarray,
    *,
    donor_key: str | None = None,
    query: Cells | None = None,
    seed: int = 0,
) -> Folds:
    """Deal donors out into at most five folds of about as many cells.

    Parameters
    ----------
    reference
        Labelled cells.
    labels
        Their labels, (cells,).
    donor_key
        Column of the groups to keep together. If not given, a column of studies is used where
        the query is from none of the reference's studies, else one of donors, else any that
        looks like a batch. Without any, cells are dealt out by chance, label by label, which makes
        everything look better than it will be on another donor; `Folds.why` says so.
    query
        The cells that will be asked about; only its ``obs`` is looked at.
    seed
        Seed of the draw where there are no groups.

    Raises
    ------
    InputError
        If `donor_key` is not a column with at least two groups.
    """
    if donor_key is not None:
        groups = column(reference, donor_key)
        if len(np.unique(groups)) < 2:
            raise InputError(
                f"All reference cells have the same {donor_key!r}, so none can be held out.",
                fix="Name a column with several donors, or leave donor_key out.",
            )
        return _grouped(groups, donor_key, f"{donor_key!r} was named")
    found, because = _find(reference, query)
    if found is not None:
        folds = _grouped(column(reference, found), found, because)
        return replace(folds, stand_in=_spelling(found) not in (*COARSE, *DONORS))
    because = (
        "the reference has no column of donors: cells of another donor will be labelled less well "
        "than these numbers say"
    )
    return by_chance(labels, because, seed=seed)


def by_chance(labels: np.ndarray, because: str, *, seed: int) -> Folds:
    """Deal cells out by chance, those of each label evenly."""
    rng, codes = np.random.default_rng(seed), np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        codes[rows] = (np.arange(len(rows)) + rng.integers(FOLDS)) % FOLDS
    why = f"cells were held out by chance in {FOLDS} folds, because {because}"
    return Folds(codes, codes.astype(str), None, why)


def _grouped(groups: np.ndarray, key: str, because: str) -> Folds:
    names, counts = np.unique(groups, return_counts=True)
    load = np.zeros(min(FOLDS, len(names)))
    fold_of = np.empty(len(names), dtype=np.int64)
    for number in np.argsort(-counts, kind="stable"):
        fold_of[number] = load.argmin()
        load[fold_of[number]] += counts[number]
    why = f"{len(names)} groups of {key!r} were held out in {len(load)} folds ({because})"
    return Folds(fold_of[np.searchsorted(names, groups)], groups, key, why)


def _find(reference: Cells, query: Cells | None) -> tuple[str | None, str]:
    columns = batch_columns(reference.obs)
    donors = [name for name in columns if _spelling(name) in (*DONORS, *SAMPLES)]
    if query is not None:
        for name in columns:
            if _spelling(name) in COARSE and _new_to(query, reference, name):
                return name, f"the query is of none of the reference's {name!r}"
    if donors:
        return donors[0], "it looks like the donor"
    return (columns[0], "there is no donor column") if columns else (None, "")


def _new_to(query: Cells, reference: Cells, key: str) -> bool:
    if key not in query.obs or len(np.unique(column(reference, key))) < 3:
        return False
    return not set(column(query, key)) & set(column(reference, key))


def _spelling(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower())).rstrip("0123456789")
