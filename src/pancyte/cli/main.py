"""The `pancyte` command: verbs, exit statuses, and one clear line for each mistake."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from pancyte.cli import (
    annotate,
    bench,
    check,
    convert,
    corpus,
    demo,
    denoise,
    embed,
    integrate,
    listing,
    map,  # noqa: A004 -- the verb
    models,
    pretrain,
    publish,
    rare,
    report,
    scale,
)
from pancyte.cli.terminal import fail, show_debug

# typer brought its own copy of click at some version; this is whichever it raises
USAGE: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    name="pancyte",
    help="Foundation models for single-cell omics, with the evidence for or against them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    demo, check, pretrain, scale, embed, annotate, integrate, map, rare, denoise, bench, report,
    convert, models,
    publish,
):  # fmt: skip
    app.command()(getattr(verb, verb.__name__.rsplit(".", 1)[1]))
app.command("list")(listing.listing)
app.add_typer(corpus.app, name="corpus")


def _version(asked: bool) -> None:
    if asked:
        import pancyte

        typer.echo(pancyte.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Details.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Set what holds for every verb."""
    from pancyte._settings import settings

    settings.verbosity = 0 if quiet else 2 if verbose else 1
    show_debug(debug)


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a status that means something."""
    from pancyte.errors import PancyteError

    try:
        status = app(arguments, standalone_mode=False)
    except typer.Abort:
        status = 130
    except USAGE as error:
        error.show()
        status = error.exit_code
    except PancyteError as error:
        status = fail(error.what, error.fix, error.code, error.exit_code)
    except KeyboardInterrupt:
        status = fail("Stopped.", "", "PAN-STOP", 130)
    except MemoryError:
        status = fail("There is not enough memory for this.", "Use fewer cells.", "PAN-RESOURCE", 5)
    except OSError as error:
        status = fail(f"The system refused: {error}.", "Check the path and the disk.", "PAN-IO", 5)
    except Exception as error:
        what = f"This is a bug in pancyte: {type(error).__name__}: {error}."
        status = fail(what, "Please report it with the output of --debug.", "PAN-BUG", 70)
    sys.exit(status if isinstance(status, int) else 0)
