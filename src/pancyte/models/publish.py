"""Publishing: a model leaves the machine only by name, and only with what a reader must know."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pancyte.errors import InputError, IntegrityError, UsageError
from pancyte.models.hub import PREFIX, address, matches
from pancyte.models.hub_client import client, endpoint, offline, patiently

if TYPE_CHECKING:
    from pancyte.models.card import Card
    from pancyte.models.model import Model

KEPT = (
    *("dataset", "task", "adaptation", "metric", "model_value"),
    *("baseline", "baseline_value", "difference", "low", "high", "winner"),
)


@dataclass(frozen=True)
class Parcel:
    """What would be sent where.

    Attributes
    ----------
    to
        ``owner/repo`` and the hub's address.
    private
        Whether only its owner will see it.
    sizes
        Bytes of each file.
    """

    to: str
    private: bool
    sizes: dict[str, int]


def publish(
    model: Model,
    name: str,
    *,
    licence: str = "",
    results: Any = None,
    limits: Sequence[str] = (),
    private: bool = True,
    replace_existing: bool = False,
) -> str:
    """Publish a model on a hub, with a card that lets others judge it.

    Nothing is sent before the card is complete: a licence, the data it was trained on with their
    licences, scores beside those of baselines, and limits. What was sent is compared with what
    arrived.

    Parameters
    ----------
    model
        The model.
    name
        ``hf:owner/repo``; the account of ``HF_TOKEN`` must be allowed to write there.
    licence
        Of the weights, e.g. ``"CC-BY-4.0"``; the card's own if not given.
    results
        A benchmark's `Results`, or the path of its JSON, in which this model was asked.
    limits
        What it is not good for, one sentence each.
    private
        Whether only the owner can see it.
    replace_existing
        Publish over a model that is there already.

    Returns
    -------
    The web address of the commit.

    Raises
    ------
    InputError
        If the card lacks something; all that it lacks is named.
    UsageError
        If the name is none, a model is there already, or nothing may leave in offline mode.
    """
    wanted = address(name)
    if wanted.folder or wanted.revision != "main":
        raise UsageError(f"{name!r} is no repository.", fix=f"Give {PREFIX}owner/repo.")
    ready = documented(model, licence=licence, results=results, limits=limits)
    if offline():
        raise UsageError(
            "Nothing can be published in offline mode.", fix="Unset HF_HUB_OFFLINE for this."
        )
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder) / "model"
        ready.save_pretrained(parts)
        return _send(parts, wanted.repo, private=private, over=replace_existing)


def documented(
    model: Model, *, licence: str = "", results: Any = None, limits: Sequence[str] = ()
) -> Model:
    """Return the model with a card that is complete.

    Raises
    ------
    InputError
        If the card still lacks something; all that it lacks is named at once.
    """
    card = model.card
    card = replace(
        card,
        licence=licence or card.licence,
        metrics=scores(results, card.name) if results is not None else card.metrics,
        limits=[*card.limits, *(limit.strip() for limit in limits if limit.strip())],
    )
    if missing := lacking(card):
        raise InputError(
            f"{card.name} is not published: its card lacks {'; '.join(missing)}.",
            fix="Give what is missing. Nothing was sent.",
        )
    ready = copy(model)
    ready.card = card
    return ready


def lacking(card: Card) -> list[str]:
    """Say all that a card lacks before others can judge the model."""
    missing = []
    if not card.licence:
        missing.append("a licence of the weights (licence=, --licence)")
    if not card.trained_on:
        missing.append("the data it was trained on (card.trained_on)")
    if unknown := [item["name"] for item in card.trained_on if not item.get("licence")]:
        missing.append(f"the licence of the data {', '.join(unknown)} (card.trained_on)")
    if not card.metrics:
        missing.append("scores beside those of baselines (results=, --results)")
    if not card.limits:
        missing.append("its limits, what it is not good for (limits=, --limit)")
    return missing


def scores(results: Any, name: str) -> list[dict[str, Any]]:
    """Pick the verdicts on one model out of a benchmark's results.

    Raises
    ------
    InputError
        If the file holds no results, or none of this model beside a baseline.
    """
    rows, verdicts = _records(results)
    seen = {row["dataset"] for row in rows if row.get("method") == name and row.get("seen")}
    found = [
        {**{key: _number(item[key]) for key in KEPT}, "seen": item["dataset"] in seen}
        for item in verdicts
        if item.get("method") == name and item.get("headline") and item.get("baseline")
    ]
    if not found:
        asked = sorted({str(item.get("method")) for item in verdicts})
        raise InputError(
            f"These results say nothing about {name!r} beside a baseline.",
            fix=f"They are about {', '.join(asked) or 'nobody'}. Run `pancyte bench -m` on it.",
        )
    return found


def parcel(model: Model, name: str, *, private: bool) -> Parcel:
    """Say what publishing would send, without sending it."""
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder) / "model"
        model.save_pretrained(parts)
        sizes = {part.name: part.stat().st_size for part in sorted(parts.iterdir())}
    return Parcel(f"{address(name).repo} at {endpoint()}", private, sizes)


def _number(value: Any) -> Any:
    # an interval that could not be had is null in JSON
    return float("nan") if value is None else value


def _records(results: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if hasattr(results, "verdicts"):
        return results.rows, results.verdicts
    try:
        content = json.loads(Path(results).read_text(encoding="utf-8"))
        return content["rows"], content["verdicts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{results} holds no results of a benchmark ({type(error).__name__}: {error}).",
            fix="Give the JSON that `pancyte bench` wrote.",
        ) from error


def _send(parts: Path, repo: str, *, private: bool, over: bool) -> str:
    from huggingface_hub import CommitOperationAdd

    api, what = client(), f"{PREFIX}{repo}"
    names = sorted(part.name for part in parts.iterdir())
    there = patiently(lambda: api.file_exists(repo, "config.json"), what)
    if there and not over:
        raise UsageError(
            f"There is a model at {what} already.",
            fix="Choose another name, or publish over it with --force (replace_existing=True).",
        )
    patiently(lambda: api.create_repo(repo, private=private, exist_ok=True), what)

    def commit() -> Any:
        added = [CommitOperationAdd(name, str(parts / name)) for name in names]
        return api.create_commit(repo, added, commit_message="Model published with pancyte")

    done = patiently(commit, what)
    arrived = patiently(lambda: list(api.list_repo_tree(repo, revision=done.oid)), what)
    for entry in arrived:
        if entry.path in names:
            sha256 = entry.lfs.sha256 if entry.lfs else None
            facts = {"size": entry.size, "sha256": sha256, "blob": entry.blob_id}
            if not matches(parts / entry.path, facts):
                raise IntegrityError(
                    f"{entry.path} arrived at {what} as another file than was sent.",
                    fix="Publish again, with --force.",
                )
    if missing := set(names) - {entry.path for entry in arrived}:
        raise IntegrityError(
            f"{', '.join(sorted(missing))} did not arrive at {what}.",
            fix="Publish again, with --force.",
        )
    return str(done.commit_url)
