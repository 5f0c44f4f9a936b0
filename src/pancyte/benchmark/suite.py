"""Named sets of datasets and tasks, written as YAML, so that a benchmark can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, Field, ValidationError

from pancyte import registry
from pancyte.benchmark.benchmark import Progress, ask_all
from pancyte.benchmark.results import Results
from pancyte.corpus import sources
from pancyte.corpus.cells import column
from pancyte.errors import UsageError
from pancyte.tasks.dataset import Dataset

if TYPE_CHECKING:
    from pancyte.shapes import Cells

SHIPPED = Path(__file__).parent / "suites"


class Source(sources.Source):
    """Where cells come from and what their columns are called.

    Attributes
    ----------
    label_key, batch_key
        Columns of cell types and of technical batches.
    relabel
        New names of cell types, so that two datasets speak of the same types.
    """

    label_key: str
    batch_key: str | None = None
    relabel: dict[str, str] = Field(default_factory=dict)


class Run(sources.Strict):
    """Tasks on one dataset, or on a reference and a query.

    Attributes
    ----------
    name
        What to call the dataset in tables.
    tasks
        Registered tasks.
    reference, query
        Cells; without a query, groups of the reference are held out.
    split_by, held_out, learn_from, unlabelled
        As in `pancyte.tasks.dataset.Dataset`.
    """

    name: str
    tasks: list[str] = Field(min_length=1)
    reference: Source
    query: Source | None = None
    split_by: str | None = None
    held_out: list[str] = Field(default_factory=list)
    learn_from: list[str] = Field(default_factory=list)
    unlabelled: list[str] = Field(default_factory=list)

    def dataset(self, load: Callable[[Source], Cells]) -> Dataset:
        """Load the cells and hold them against the columns named."""
        query = None
        if self.query is not None:
            _check_apart(self.reference.source, self.query.source)
            query = load(self.query)
            obs = query.obs.assign(**{self.reference.label_key: query.obs[self.query.label_key]})
            if self.query.batch_key and self.reference.batch_key:
                obs[self.reference.batch_key] = query.obs[self.query.batch_key]
            query = replace(query, obs=obs)
        return Dataset(
            cells=load(self.reference),
            label_key=self.reference.label_key,
            batch_key=self.reference.batch_key,
            split_by=self.split_by,
            held_out=tuple(self.held_out),
            learn_from=tuple(self.learn_from),
            query=query,
            unlabelled=tuple(self.unlabelled),
            title=self.name,
        )


class Suite(sources.Strict):
    """A benchmark that can be repeated by name.

    Attributes
    ----------
    name, description
        For tables and people.
    seeds
        How many.
    runs
        Datasets with their tasks.
    """

    name: str
    description: str = ""
    seeds: int = Field(5, ge=1)
    runs: list[Run] = Field(min_length=1)


def load_suite(path_or_name: str | Path) -> Suite:
    """Read a suite by the name of a shipped one or from a YAML file.

    Raises
    ------
    UsageError
        If there is none, or a field is missing, unknown or of the wrong kind; each is named.
    """
    path = _found(path_or_name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not readable as YAML: {' '.join(str(error).split())}."
        ) from error
    try:
        suite = Suite.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{path} is not a valid suite: {_complaints(error)}.") from error
    for task in {task for run in suite.runs for task in run.tasks}:
        registry.get("tasks", task)
    return suite


def shipped_suites() -> list[str]:
    """Names of the suites that come with pancyte."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def run_suite(
    suite: Suite,
    methods: Sequence[Any],
    *,
    seeds: Sequence[int] | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Results:
    """Run methods and all baselines on each dataset of a suite.

    Parameters
    ----------
    suite
        As from `load_suite`.
    methods, progress
        As for `pancyte.benchmark.benchmark.benchmark`.
    seeds
        Instead of the suite's ``0 … seeds - 1``.
    folder
        Where relative file names in the suite start; the current folder by default.
    """
    load = cache(lambda name: sources.load_cells(name, folder or Path(), quiet=True))
    questions = [
        (task, dataset)
        for run in suite.runs
        for dataset in [run.dataset(lambda source: selected(load(source.source), source))]
        for task in run.tasks
    ]
    chosen = range(suite.seeds) if seeds is None else seeds
    return ask_all(methods, questions, seeds=chosen, progress=progress)


def selected(cells: Cells, source: Source) -> Cells:
    """Keep the cells a source asks for and rename its labels.

    Raises
    ------
    InputError
        If a column or a value to keep does not occur.
    """
    cells = sources.chosen(cells, source)
    labels = column(cells, source.label_key)
    if source.relabel:
        renamed = [source.relabel.get(label, label) for label in labels]
        cells = replace(cells, obs=cells.obs.assign(**{source.label_key: renamed}))
    return cells


def _check_apart(reference: str, query: str) -> None:
    """Refuse two registered datasets that have cells in common."""
    if {reference, query} <= set(registry.names("datasets")):
        shared = registry.get("datasets", reference).shares_cells_with
        if query == reference or query in shared:
            raise UsageError(
                f"{reference} and {query} have cells in common, so one cannot test the other.",
                fix="Use split_by on one of them, or an independent dataset.",
            )


def _found(path_or_name: str | Path) -> Path:
    shipped = SHIPPED / f"{path_or_name}.yaml"
    path = shipped if shipped.is_file() else Path(path_or_name)
    if not path.is_file():
        raise UsageError(
            f"There is no suite {str(path_or_name)!r}.",
            fix=f"Give a YAML file or one of: {', '.join(shipped_suites())}.",
        )
    return path


def _complaints(error: ValidationError) -> str:
    found = []
    for item in error.errors():
        where = ".".join(map(str, item["loc"])) or "the file"
        if item["type"] == "extra_forbidden":
            model = next((kind for part, kind in _KINDS.items() if part in item["loc"][:-1]), Suite)
            known = ", ".join(model.model_fields)
            found.append(f"{where} is no known field (known: {known})")
        else:
            found.append(f"{where}: {item['msg'][0].lower()}{item['msg'][1:]}")
    return "; ".join(found)


_KINDS: dict[str, type[BaseModel]] = {"reference": Source, "query": Source, "runs": Run}
