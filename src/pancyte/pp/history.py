"""What was done to an AnnData stays in it, as one list for all verbs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pancyte.errors import UsageError

if TYPE_CHECKING:
    from anndata import AnnData

UNS_KEY = "pancyte"


def history_of(adata: AnnData) -> list[Any]:
    """Return what was done so far; refuse if the place is taken by something else."""
    history = adata.uns.get(UNS_KEY, "[]")
    if not isinstance(history, str):
        raise UsageError(f".uns[{UNS_KEY!r}] is taken by something else.", fix="Rename it.")
    return list(json.loads(history))


def record(adata: AnnData, verb: str, **how: Any) -> None:
    """Add what was done, with the version and the date."""
    # The list that tl.history reads
    date = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"verb": verb, **how, "pancyte": version("pancyte"), "date": date}
    adata.uns[UNS_KEY] = json.dumps([*history_of(adata), entry])
