"""The same work on many files: here one after another, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pancyte.errors import MissingError, ResourceError

LOCAL = "local"


class Spread(Protocol):
    """Applies a function to every item and yields the results in the items' order."""

    def __call__(self, function: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield ``function(item)`` for each item."""


@contextmanager
def workers(address: str | None = None) -> Iterator[Spread]:
    """Give something that maps a function over items, here or elsewhere.

    Parameters
    ----------
    address
        None works in this process; ``"local"`` starts one Dask worker per core of this machine,
        bound to the loopback; anything else is the address of a Dask scheduler, whose workers must
        see the same files.

    Raises
    ------
    MissingError
        If Dask is not installed.
    ResourceError
        If the scheduler does not answer.
    """
    if address is None:
        yield lambda function, items: map(function, items)
        return
    try:
        import distributed
    except ImportError:
        raise MissingError(
            "Work on a cluster needs Dask.", fix="pip install 'pancyte[dask]'"
        ) from None
    # without an address of their own Dask's pages are open to the whole network
    loopback = "127.0.0.1"
    here = {
        "threads_per_worker": 1,
        "host": loopback,
        "dashboard_address": f"{loopback}:0",
        "worker_dashboard_address": f"{loopback}:0",
    }
    try:
        client = distributed.Client(**here) if address == LOCAL else distributed.Client(address)
    except (OSError, ValueError) as error:
        raise ResourceError(
            f"No Dask scheduler answers at {address!r}: {error}.",
            fix="Start one (dask scheduler), or use --dask local.",
        ) from None

    def spread(function: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        # each item is its own piece of work: one that is lost with its worker is done again
        for future in client.map(function, list(items), pure=False):
            yield future.result()

    with client:
        yield spread
