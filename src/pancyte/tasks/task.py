"""The contracts: what a method may be, and what a task must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from pancyte.errors import InputError

if TYPE_CHECKING:
    from pancyte.shapes import Cells
    from pancyte.tasks.dataset import Dataset, Split

Arrays = Mapping[str, Any]
"""What metrics score, under the names their parameters have."""


@dataclass(frozen=True)
class LabelProbabilities:
    """How probable each label is for each cell.

    Attributes
    ----------
    classes
        Labels, (labels,), sorted.
    probabilities
        (cells, labels); each row adds up to 1.
    answered
        Whether the method stands by each cell's label, (cells,) bool; None if it stands by all.
    """

    classes: np.ndarray
    probabilities: np.ndarray
    answered: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = self.probabilities.shape
        if len(shape) != 2 or shape[1] != len(self.classes):
            raise InputError(
                f"Probabilities of shape {shape} do not fit {len(self.classes)} labels.",
                fix="Give one row per cell and one column per label.",
            )
        sums = self.probabilities.sum(axis=1)
        if not np.allclose(sums, 1, atol=1e-3) or (self.probabilities < 0).any():
            raise InputError(
                f"Probabilities must be at least 0 and add up to 1 for each cell; sums run from "
                f"{sums.min():.3g} to {sums.max():.3g}.",
                fix="Normalise each row.",
            )

    @property
    def labels(self) -> np.ndarray:
        """The most probable label of each cell; the first one if tied."""
        return self.classes[self.probabilities.argmax(axis=1)]


@runtime_checkable
class Embeds(Protocol):
    """A method that represents cells as vectors."""

    name: str

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, width) for the reference and for each query, in that order.

        Whatever is fitted is fitted on `reference` alone; a method that cannot do so says in
        its docstring that it is transductive.
        """
        ...


@runtime_checkable
class Labels(Protocol):
    """A method that labels a query after a labelled reference."""

    name: str

    def label(
        self,
        reference: Cells,
        query: Cells,
        *,
        label_key: str,
        batch_key: str | None,
        seed: int,
    ) -> LabelProbabilities:
        """Return the probability of each reference label for each query cell."""
        ...


@dataclass(frozen=True)
class RareCells:
    """Which cells are rare, as one method sees it.

    Attributes
    ----------
    scores
        The larger, the rarer; (cells,).
    groups
        Rows of each group that the method calls, the surest first; a method without groups calls
        all its cells as one.
    """

    scores: np.ndarray
    groups: tuple[np.ndarray, ...]


@runtime_checkable
class FindsRare(Protocol):
    """A method that finds rare cells without being told of what type."""

    name: str

    def find_rare(self, cells: Cells, *, seed: int) -> RareCells:
        """Score every cell and call those that are rare."""
        ...


@runtime_checkable
class Denoises(Protocol):
    """A method that says what each cell would show if it were sequenced without limit."""

    name: str

    def denoise(self, cells: Cells, *, seed: int) -> np.ndarray:
        """Return the expected share of each gene in each cell's reads.

        (cells, genes), at least 0; each row adds up to 1.
        """
        ...


Method: TypeAlias = Embeds | Labels


class Task(Protocol):
    """A question, its splits, its metrics and its baselines.

    Attributes
    ----------
    name
        The registered name.
    accepts
        Which contracts a method may meet to be asked: `Embeds`, `Labels` or both.
    """

    name: str
    accepts: tuple[type, ...]

    def headline(self, dataset: Dataset) -> str:
        """Name the metric a verdict speaks about first."""
        ...

    def metrics(self, dataset: Dataset) -> tuple[str, ...]:
        """Name the registered metrics, in the order they are scored."""
        ...

    def baselines(self, dataset: Dataset) -> tuple[str, ...]:
        """Name the registered methods that always run beside those under test."""
        ...

    def splits(self, dataset: Dataset, seeds: Sequence[int]) -> Iterator[Split]:
        """Yield who learns and who is asked, fold by fold and seed by seed."""
        ...

    def run(self, method: Any, split: Split) -> dict[str, Arrays]:
        """Ask a method; return named arrays for each adaptation of it that was tried."""
        ...


def embedded(
    method: Embeds, *parts: Cells, batch_key: str | None, seed: int
) -> tuple[np.ndarray, ...]:
    """Ask a method for vectors and check that it gave one finite row per cell.

    Raises
    ------
    InputError
        If it did not; the method is named.
    """
    vectors = tuple(map(np.asarray, method.embed(*parts, batch_key=batch_key, seed=seed)))
    shapes = [array.shape for array in vectors]
    if [shape[0] for shape in shapes] != [len(cells) for cells in parts]:
        raise InputError(
            f"{method.name} gave embeddings of shape {shapes} for "
            f"{[len(cells) for cells in parts]} cells.",
            fix="Return one row per cell for the reference and for each query.",
        )
    if not all(np.isfinite(array).all() for array in vectors):
        raise InputError(
            f"{method.name} gave an embedding with NaN or infinity.",
            fix="Check the model's numerical precision and its input.",
        )
    return vectors
