"""What a reader ought to know is said once, on stderr."""

from __future__ import annotations

import sys

from pancyte._settings import settings


def tell(*lines: str) -> None:
    """Print lines for people on stderr, unless ``settings.verbosity`` is 0."""
    if settings.verbosity > 0:
        for line in lines:
            print(line, file=sys.stderr)
