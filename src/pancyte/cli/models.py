"""`pancyte models`: published models of single cells, and what is known of each."""

from __future__ import annotations

import shutil
import textwrap
from typing import Annotated, Any

import typer

from pancyte.cli.options import AsJson
from pancyte.cli.terminal import emit

WIDTHS = (20, 22, 15, 26)


def models(
    name: Annotated[str, typer.Argument(help="One model; all if left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the published models of single cells, or say all that is known of one."""
    from pancyte.models.published import find, published

    if name:
        found = find(name).as_dict()
        emit({"model": found}, _sheet(found), as_json=as_json)
        return
    rows = [model.as_dict() for model in published()]
    lines = [_row("model", "type", "cells", "licence", "verified by pancyte")]
    lines += [
        _row(
            row["name"],
            row["type"],
            f"{row['cells']:,}" if row["cells"] else "",
            row["licence"],
            row["verified"],
        )
        for row in rows
    ]
    emit({"models": rows}, lines, as_json=as_json)


def _row(*columns: str) -> str:
    cut = [f"{text[: width - 1]:{width}s}" for text, width in zip(columns, WIDTHS, strict=False)]
    return "".join(cut) + columns[-1]


def _sheet(facts: dict[str, Any]) -> list[str]:
    """One line for each fact, wrapped to the terminal."""
    facts = dict(facts)
    measured, citation = facts.pop("measured") or {}, facts.pop("citation")
    place = citation["doi"] or citation["arxiv"] or ""
    shown = {
        **{key: value for key, value in facts.items() if key not in ("recipe", "importer")},
        "citation": f"{citation['text']} {place}".strip(),
        "seconds a cell": measured.get("seconds_per_cell"),
        "memory (MiB)": measured.get("memory_mib"),
        "measured": measured.get("how"),
    }
    room = max(60, min(100, shutil.get_terminal_size().columns))
    lines = []
    for key, value in shown.items():
        text = _text(value)
        if text:
            lines += textwrap.wrap(
                text,
                room,
                initial_indent=f"{key:16s}",
                subsequent_indent=" " * 16,
                break_on_hyphens=False,
            )
    return lines


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value or "")
