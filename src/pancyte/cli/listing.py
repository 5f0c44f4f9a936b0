"""`pancyte list`: what is installed, plug-ins included."""

from __future__ import annotations

from typing import Annotated

import typer

from pancyte.cli.options import AsJson
from pancyte.cli.terminal import emit


def listing(
    kind: Annotated[
        str, typer.Argument(help="tokenizers, objectives, tasks …; all if left out.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List what is registered: tokenizers, priors, backbones, objectives, sinks, tasks …"""
    from pancyte import registry

    found = {name: registry.names(name) for name in ([kind] if kind else registry.KINDS)}
    lines = [f"{name:12s} {', '.join(items)}" for name, items in found.items()]
    emit(found, lines, as_json=as_json)
