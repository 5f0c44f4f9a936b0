"""Names to things: every tokenizer, objective, task, metric … is found here, lazily.

Built-ins and plug-ins use the same door, an entry point in the group ``pancyte.<kind>``.
Nothing is imported before it is asked for by name.
"""

from __future__ import annotations

import dataclasses
import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_type_hints

from pancyte.errors import UsageError

KINDS = (
    "tokenizers",
    "priors",
    "backbones",
    "objectives",
    "importers",
    "tasks",
    "metrics",
    "methods",
    "stresses",
    "datasets",
    "sinks",
)


@cache
def _found(kind: str) -> dict[str, EntryPoint]:
    if kind not in KINDS:
        raise UsageError(f"There is no kind of component called {kind!r}.", fix=f"Kinds: {KINDS}.")
    return {entry.name: entry for entry in entry_points(group=f"pancyte.{kind}")}


def names(kind: str) -> list[str]:
    """List the registered names of one kind, sorted."""
    return sorted(_found(kind))


def get(kind: str, name: str) -> Any:
    """Import and return the thing registered as `name`.

    Raises
    ------
    UsageError
        If no installed package registers that name; the nearest names are given.
    """
    found = _found(kind)
    if name not in found:
        close = difflib.get_close_matches(name, found, n=3)
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise UsageError(
            f"No {kind[:-1]} is registered as {name!r}.",
            fix=f"{hint} Known: {names(kind)}.".strip(),
        )
    return found[name].load()


def settings_of(component: Any, given: dict[str, Any]) -> Any:
    """Build a component's frozen ``Config`` from plain data.

    Raises
    ------
    UsageError
        If a setting does not exist, is of the wrong type, or a required one is missing.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    known = {field.name: field.type for field in dataclasses.fields(component.Config)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UsageError(
            f"{component.name!r} has no setting {', '.join(map(repr, unknown))}.",
            fix=f"Its settings: {', '.join(sorted(known))}.",
        )
    types = get_type_hints(component.Config)
    settings = {}
    for name, value in given.items():
        kind = TypeAdapter(types[name], config=ConfigDict(arbitrary_types_allowed=True))
        try:
            settings[name] = kind.validate_python(value)
        except ValidationError as error:
            told = error.errors()[0]["msg"].removeprefix("Input ")
            raise UsageError(
                f"The setting {name!r} of {component.name!r} is {value!r}, and {told}.",
                fix=f"It takes {known[name]}.",
            ) from None
    try:
        return component.Config(**settings)
    except TypeError as error:
        raise UsageError(f"The settings of {component.name!r} are wrong: {error}.") from error
