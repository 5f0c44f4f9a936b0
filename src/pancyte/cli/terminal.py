"""What people see on a terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pancyte.training.loop import Progress

SCHEMA = 1
_debug = False


def show_debug(on: bool) -> None:
    """Choose whether failures print their traceback."""
    global _debug
    _debug = on


def say(line: str) -> None:
    """Tell people something, unless they asked for quiet."""
    from pancyte._settings import settings

    if settings.verbosity > 0:
        typer.echo(line, err=True)


def tell_changed(columns: list[str]) -> None:
    """Say which columns had to become text to be writable."""
    if columns:
        say(f"columns with mixed types written as text: {', '.join(columns)}")


def emit(content: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    """Print a result: one JSON document for machines, or lines for people."""
    typer.echo(json.dumps({"schema": SCHEMA, **content}) if as_json else "\n".join(lines))


def fail(what: str, fix: str, code: str, status: int) -> int:
    """Print one message on stderr and return the exit status."""
    if _debug:
        traceback.print_exc()
    label = typer.style(f"error[{code}]", fg=typer.colors.RED) if sys.stderr.isatty() else None
    typer.echo(f"{label or f'error[{code}]'}: {what}", err=True)
    if fix:
        typer.echo(f"  fix: {fix}", err=True)
    return status


@contextmanager
def training_bar() -> Iterator[Callable[[Progress], None]]:
    """Show loss, tokens per second and time left while a model trains."""
    from pancyte._settings import settings

    if settings.verbosity == 0 or not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("pre-training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f} · {task.fields[speed]:,.0f} tokens/s"),
        TextColumn("· MFU {task.fields[mfu]:.0%}"),
        TextColumn("· {task.fields[left]:.0f} s left"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", loss=float("nan"), speed=0.0, left=0.0, mfu=float("nan"))

        def update(progress: Progress) -> None:
            bar.update(
                task,
                completed=progress.step,
                total=progress.steps,
                loss=progress.loss,
                speed=progress.tokens_per_second,
                left=progress.seconds_left,
                mfu=progress.mfu,
            )

        yield update


@contextmanager
def counting_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of how many are done."""
    from pancyte._settings import settings

    if settings.verbosity == 0 or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)
