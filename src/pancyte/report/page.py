"""One HTML file that shows a report: no network, no other file, no code but its own."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pancyte.files import write_text
from pancyte.report.parts import Report
from pancyte.report.views import (
    calibration_view,
    comparison_view,
    confusion_view,
    picture_view,
    scatter_view,
    training_view,
)

if TYPE_CHECKING:
    from jinja2 import Template

SCRIPTS = ("dom", "columns", "grid", "webgl", "canvas", "plot", "legend", "scatter", "page")
"""The page's scripts, each needing only those before it."""


def write_report(path: str | Path, report: Report) -> Path:
    """Write a report as one HTML file that opens without a network, and return its path.

    The file is written beside `path` and then renamed, so an older report stays whole until
    the new one is. The same report gives the same bytes.
    """
    write_text(path, render(report))
    return Path(path)


def render(report: Report) -> str:
    """Return the HTML of a report as text."""
    style = _asset("report.css")
    script = "\n".join(['(() => {\n"use strict";', *(_asset(f"{n}.js") for n in SCRIPTS), "})();"])
    return _template().render(
        report=report,
        style=style,
        script=script,
        policy=_policy(style, script),
        scatters=[scatter_view(part) for part in report.scatters],
        confusions=[confusion_view(part) for part in report.confusions],
        calibrations=[calibration_view(part) for part in report.calibrations],
        comparison=comparison_view(report.comparison) if report.comparison else None,
        pictures=[picture_view(part) for part in report.pictures],
        training=[training_view(part) for part in report.training],
    )


def _policy(style: str, script: str) -> str:
    """Forbid everything but exactly this style, this script and images inside the page."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _asset(name: str) -> str:
    return resources.files("pancyte.report").joinpath("assets", name).read_text("utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pancyte.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["px"] = lambda value: f"{value:.1f}"
    environment.filters["score"] = lambda value: f"{value:.3f}"
    environment.filters["number"] = lambda value: f"{value:,.4g}"
    return environment.get_template("page.html")
