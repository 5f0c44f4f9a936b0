"""What a report is made of: plain data, checked once, drawn elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from pancyte.errors import InputError
from pancyte.pl.tables import confusion_table

LOOK_NOT_EVIDENCE = (
    "A two-dimensional map is for looking, not evidence: sizes of clusters and distances between "
    "them may mislead. The scores in this report are computed without it."
)


@dataclass(frozen=True, eq=False)
class Colouring:
    """One way to colour cells, such as label, prediction, batch or confidence.

    Parameters
    ----------
    name
        What the values are.
    values
        One per cell, (cells,): names if categorical, numbers if continuous; NaN or None where
        a cell has none. An ordered categorical keeps its order, else the largest comes first.
    kind
        ``"categorical"`` or ``"continuous"``.
    missing
        What to call the cells without a value.
    limits
        Ends of the colour scale of continuous values; by default their smallest and largest.

    Raises
    ------
    InputError
        If continuous values are not numbers, or `limits` are not in ascending order.
    """

    name: str
    values: Any
    kind: Literal["categorical", "continuous"] = "categorical"
    missing: str = "missing"
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise InputError(
                f"The limits of colouring {self.name!r} are {self.limits}.",
                fix="Give the smaller number first.",
            )
        if self.kind == "continuous":
            try:
                np.asarray(self.values, dtype=float)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"The values of the continuous colouring {self.name!r} are not numbers: "
                    f"{error}.",
                    fix='Use kind="categorical".',
                ) from error


@dataclass(frozen=True, eq=False)
class Scatter:
    """Maps of one set of cells, side by side, with one legend and one choice of colouring.

    Parameters
    ----------
    name
        Title of the figure.
    maps
        Name of each map and its coordinates, (cells, 2).
    colourings
        The first is shown first.
    cells
        Names for the tooltip, one per cell; without them cells are numbered from 1.
    note
        A sentence below the figure.

    Raises
    ------
    InputError
        If the parts do not speak of the same number of cells, or a coordinate is not finite.
    """

    name: str
    maps: Mapping[str, np.ndarray]
    colourings: Sequence[Colouring]
    cells: Sequence[str] = ()
    note: str = LOOK_NOT_EVIDENCE

    def __post_init__(self) -> None:
        if not self.maps or not self.colourings:
            raise InputError(
                f"Scatter {self.name!r} has {len(self.maps)} maps and {len(self.colourings)} "
                "colourings.",
                fix="Give at least one of each.",
            )
        for name, xy in self.maps.items():
            if np.ndim(xy) != 2 or np.shape(xy)[1] != 2:
                raise InputError(
                    f"Map {name!r} has the shape {np.shape(xy)}.", fix="It must be (cells, 2)."
                )
            lost = int((~np.isfinite(xy)).any(axis=1).sum())
            if lost:
                raise InputError(
                    f"{lost} of {len(xy)} cells have no place on map {name!r} (NaN or infinite).",
                    fix="Leave these cells out.",
                )
        sizes = {f"map {name!r}": len(xy) for name, xy in self.maps.items()}
        sizes |= {f"colouring {given.name!r}": len(given.values) for given in self.colourings}
        sizes |= {"cells": len(self.cells)} if len(self.cells) else {}
        if len(set(sizes.values())) > 1:
            raise InputError(
                f"Scatter {self.name!r} mixes different numbers of cells: {sizes}.",
                fix="Every map, colouring and name must describe the same cells.",
            )
        if len(self) == 0:
            raise InputError(f"Scatter {self.name!r} has no cells.", fix="Leave it out.")

    def __len__(self) -> int:
        return len(next(iter(self.maps.values())))


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each true label was given each predicted label.

    Parameters
    ----------
    name
        Title of the figure.
    labels_true, labels_pred
        Names of the rows and of the columns.
    counts
        Cells, (true labels, predicted labels).
    """

    name: str
    labels_true: Sequence[str]
    labels_pred: Sequence[str]
    counts: np.ndarray

    def __post_init__(self) -> None:
        expected = (len(self.labels_true), len(self.labels_pred))
        if np.shape(self.counts) != expected or np.sum(self.counts) == 0:
            raise InputError(
                f"The confusion matrix {self.name!r} has the shape {np.shape(self.counts)} and "
                f"{np.sum(self.counts)} cells; its labels ask for {expected}.",
                fix="Give one row per true and one column per predicted label.",
            )

    @classmethod
    def from_labels(cls, name: str, truth: Any, predicted: Any) -> Self:
        """Count pairs of true and predicted label, (cells,) each; the largest label comes first."""
        table = confusion_table(truth, predicted)
        return cls(name, list(table.index), list(table.columns), table.to_numpy())


@dataclass(frozen=True, eq=False)
class Calibration:
    """Whether stated probabilities are kept, so that of the calls made at .8, 80 % are right.

    Parameters
    ----------
    name
        Title of the figure.
    probability
        Stated probability of the predicted label, (cells,), 0 to 1.
    correct
        Whether the prediction was right, (cells,).
    """

    name: str
    probability: np.ndarray
    correct: np.ndarray

    def __post_init__(self) -> None:
        stated = np.asarray(self.probability, dtype=float)
        if stated.shape != np.shape(self.correct) or stated.ndim != 1 or not len(stated):
            raise InputError(
                f"Calibration {self.name!r} has {stated.shape} probabilities for "
                f"{np.shape(self.correct)} outcomes.",
                fix="Give one of each per cell, and at least one cell.",
            )
        if not ((stated >= 0) & (stated <= 1)).all():
            raise InputError(
                f"Calibration {self.name!r} has probabilities from {stated.min()} to "
                f"{stated.max()}.",
                fix="They must lie between 0 and 1, without NaN.",
            )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Benchmark results, method beside method.

    Parameters
    ----------
    results
        One row per method, dataset, task, split, seed and metric, as `pancyte.benchmark` returns.
    bounds
        Worst and best value of metrics; where the best is the smaller one, methods are sorted
        the other way round. By default those of the registered metric.
    """

    results: pd.DataFrame
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Training:
    """How the loss fell while a model was trained.

    Parameters
    ----------
    name
        Title of the figure.
    log
        Column ``step`` and any of ``loss``, ``held_out_*`` and ``trivial_*``, as
        `pancyte.training.log.read_log` returns.
    trivial
        Loss of predictors that learn nothing, by name: level lines to fall below.
    log_x
        Whether steps are drawn on a logarithmic axis.
    """

    name: str
    log: pd.DataFrame
    trivial: Mapping[str, float] = field(default_factory=dict)
    log_x: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure that is shown as it is.

    Parameters
    ----------
    name
        Title of the figure.
    png
        The file.
    note
        A sentence below the figure.
    """

    name: str
    png: bytes
    note: str = ""


@dataclass(frozen=True)
class Provenance:
    """How the report came about, exactly enough to repeat it.

    Parameters
    ----------
    commands
        Command lines, in the order in which they were run.
    repeat
        The same steps for one's own file.
    versions, hashes, settings
        Software versions, SHA-256 of files, and settings such as seeds, by name.
    found
        What was found in the data, a sentence each.
    warnings
        What a reader should know before trusting the result, a sentence each.
    """

    commands: Sequence[str] = ()
    repeat: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    found: Sequence[str] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """Everything one page shows; parts left empty are left out.

    Parameters
    ----------
    title
        Heading of the page.
    summary
        One or two sentences on what was done.
    verdicts
        The honest answers, most important first, also when a baseline wins.
    facts
        Key facts for the head of the page, such as dataset, cells, model.
    scatters, confusions, calibrations, comparison, pictures, training, provenance
        The sections.
    """

    title: str
    summary: str = ""
    verdicts: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    scatters: Sequence[Scatter] = ()
    confusions: Sequence[Confusion] = ()
    calibrations: Sequence[Calibration] = ()
    comparison: Comparison | None = None
    pictures: Sequence[Picture] = ()
    training: Sequence[Training] = ()
    provenance: Provenance = field(default_factory=Provenance)
