"""Talking to a hub of models: one client, few retries, errors that say what would help."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pancyte._settings import settings
from pancyte.errors import IntegrityError, MissingError, PancyteError, ResourceError

PUBLIC = "https://huggingface.co"
ATTEMPTS = 4
PAUSE = 0.5
"""Seconds before the second attempt; twice as long before each further one."""
T = TypeVar("T")


def endpoint() -> str:
    """Return the hub's address: ``HF_ENDPOINT``, or the public one."""
    return os.environ.get("HF_ENDPOINT", PUBLIC).rstrip("/")


def offline() -> bool:
    """Whether nothing may be fetched: `Settings.offline`, or ``HF_HUB_OFFLINE``."""
    given = os.environ.get("HF_HUB_OFFLINE", "").upper()
    return settings.offline or given in ("1", "ON", "YES", "TRUE")


def client() -> Any:
    """Return the hub's client.

    Raises
    ------
    MissingError
        If the package ``huggingface-hub`` is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise MissingError(
            "Models on a hub need the package huggingface-hub, which is not installed.",
            fix="pip install 'pancyte[hub]'",
        ) from None
    return HfApi(endpoint=endpoint(), library_name="pancyte")


def patiently(call: Callable[[], T], what: str) -> T:
    """Call the hub; try again where the fault is its own, and say in plain words what is wrong.

    Parameters
    ----------
    call
        What to do; it may be done more than once.
    what
        The model's name, for messages.

    Raises
    ------
    MissingError
        If there is no such model, revision or file, or one may not see it.
    ResourceError
        If the hub cannot be reached, or fails at every attempt.
    """
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except PancyteError:
            raise
        except Exception as error:
            if not _passing(error):
                raise _plain(error, what) from error
            if attempt == ATTEMPTS - 1:
                raise ResourceError(
                    f"{endpoint()} failed {ATTEMPTS} times for {what}: {_first_line(error)}",
                    fix="Try again later; what was fetched so far is kept. With HF_HUB_OFFLINE=1 "
                    "a copy in the cache is used.",
                ) from error
            time.sleep(PAUSE * 2**attempt)
    raise AssertionError("unreachable")


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__
    return found


def _status(error: BaseException) -> int | None:
    answers = (getattr(link, "response", None) for link in _chain(error))
    codes = (getattr(answer, "status_code", None) for answer in answers)
    return next((code for code in codes if code is not None), None)


def _passing(error: BaseException) -> bool:
    """Whether trying again may help: the hub's own faults, and lines that break."""
    status = _status(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    # the client's transport has changed names over its versions: requests, httpx, httpx2
    kinds = {kind.__module__.split(".")[0] for link in _chain(error) for kind in type(link).__mro__}
    broken = bool(kinds & {"requests", "urllib3", "httpx", "httpx2", "httpcore"})
    short = any("Consistency check failed" in str(link) for link in _chain(error))
    return broken or short or any(isinstance(link, ConnectionError) for link in _chain(error))


def _plain(error: Exception, what: str) -> PancyteError:
    from huggingface_hub import errors

    found = {kind for link in _chain(error) for kind in type(link).__mro__}
    if errors.GatedRepoError in found:
        return MissingError(
            f"{what} is gated: its owner wants you to accept terms first.",
            fix=f"Accept them at {endpoint()}, then set HF_TOKEN to a token of your account.",
        )
    if errors.RevisionNotFoundError in found:
        return MissingError(
            f"There is no such revision: {what}.", fix="Leave @… out for the newest."
        )
    if errors.EntryNotFoundError in found and _status(error) == 404:
        return MissingError(f"{what}: a file or folder is not there.", fix="Check the name.")
    if errors.RepositoryNotFoundError in found or _status(error) in (401, 403, 404):
        return MissingError(
            f"{what} is not at {endpoint()}, or you may not do that.",
            fix="Check the spelling; for a private one, or to publish, set HF_TOKEN to a token "
            "that has the right.",
        )
    if isinstance(error, OSError) and _status(error) is None:
        return ResourceError(f"{what} could not be stored: {error}", fix="Check the disk.")
    return IntegrityError(
        f"{endpoint()} gave an answer for {what} that makes no sense: {_first_line(error)}",
        fix="Check HF_ENDPOINT.",
    )


def _first_line(error: BaseException) -> str:
    deepest = _chain(error)[-1]
    text = str(deepest).strip().splitlines()
    return f"{type(deepest).__name__}: {text[0] if text else ''}".rstrip(": ")
