"""Errors a user can act on: what is wrong, what was given, what would fix it."""

from __future__ import annotations


class PancyteError(Exception):
    """One clear message, with the exit status the command line returns for it.

    Parameters
    ----------
    what
        What is wrong, and with which value, in one sentence.
    fix
        What would put it right.
    """

    exit_code = 70
    code = "PAN-BUG"

    def __init__(self, what: str, *, fix: str = "") -> None:
        self.what = what
        self.fix = fix
        super().__init__(f"{what} {fix}".strip())


class UsageError(PancyteError):
    """The call itself is wrong: an unknown name, an impossible option."""

    exit_code = 2
    code = "PAN-USAGE"


class InputError(PancyteError):
    """The data given cannot be used as they are."""

    exit_code = 3
    code = "PAN-INPUT"


class MissingError(PancyteError):
    """A model, dataset or optional dependency is not there."""

    exit_code = 4
    code = "PAN-MISSING"


class ResourceError(PancyteError):
    """Memory, disk or time would not suffice."""

    exit_code = 5
    code = "PAN-RESOURCE"


class IntegrityError(PancyteError):
    """A file is damaged or is not what its checksum says."""

    exit_code = 6
    code = "PAN-INTEGRITY"
