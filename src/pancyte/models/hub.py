"""Models by ``hf:owner/repo``: fetched once, checked at every use, from the cache when offline."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from pancyte import files
from pancyte._settings import settings
from pancyte.errors import IntegrityError, MissingError, UsageError
from pancyte.models.hub_client import client, endpoint, offline, patiently

PREFIX = "hf:"
SAFE = (".json", ".safetensors", ".tsv", ".txt", ".md")
"""Endings of files that are data, not code: nothing else is ever fetched."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
NAME = re.compile(rf"({PART})/({PART})((?:/{PART})*)(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Address:
    """A model on a hub.

    Attributes
    ----------
    repo
        ``owner/repo``.
    folder
        Folder inside it, ``""`` for the top.
    revision
        Branch, tag or commit.
    """

    repo: str
    folder: str = ""
    revision: str = "main"

    def __str__(self) -> str:
        inside = f"/{self.folder}" if self.folder else ""
        return f"{PREFIX}{self.repo}{inside}@{self.revision}"

    @property
    def place(self) -> Path:
        """Where all revisions of it are kept."""
        return settings.cache_dir / "hub" / quote(f"{self.repo}/{self.folder}", safe="")

    @property
    def record(self) -> Path:
        """Where is noted which commit the revision was when it was last fetched."""
        return self.place / f"{quote(self.revision, safe='')}.json"


def is_remote(name: str) -> bool:
    """Whether a name is not that of a folder: ``hf:…`` or an address of the web.

    Raises
    ------
    UsageError
        If it is an address of the web, which pancyte does not load from.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        known = re.fullmatch(rf"https?://(?:huggingface\.co|hf\.co)/({PART}/{PART})/?", name)
        hint = f"Use {PREFIX}{known[1]}" if known else f"Use {PREFIX}owner/repo"
        raise UsageError(
            f"pancyte does not load a model from a web address, and {name} is one.",
            fix=f"{hint}, or download the folder yourself and give its path.",
        )
    return name.startswith(PREFIX)


def address(name: str) -> Address:
    """Read ``hf:owner/repo``, ``hf:owner/repo/folder`` or either with ``@revision``.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    found = NAME.fullmatch(name.removeprefix(PREFIX))
    if not name.startswith(PREFIX) or not found or ".." in name:
        raise UsageError(
            f"{name!r} is no name of a model on a hub.",
            fix=f"Write {PREFIX}owner/repo or {PREFIX}owner/repo@revision.",
        )
    owner, repo, folder, revision = found.groups()
    return Address(f"{owner}/{repo}", folder.strip("/"), revision or "main")


def fetch(name: str) -> Path:
    """Return the folder of a model on a hub, fetching what is not in the cache yet.

    Only data are fetched: configuration, vocabulary, card and safetensors, never code and never
    pickles. A branch is looked up anew each time; a commit that is in the cache needs no network.
    A download that broke off goes on where it stopped. All checksums are verified at every call.

    Parameters
    ----------
    name
        ``hf:owner/repo``, with ``/folder`` and ``@revision`` if wanted. ``HF_ENDPOINT`` names
        another hub than huggingface.co, ``HF_TOKEN`` opens private ones.

    Raises
    ------
    UsageError
        If the name is no such name.
    MissingError
        If it does not exist, is gated or private, has no safe weights, or is not in the cache
        and nothing may be fetched.
    ResourceError
        If the hub cannot be reached.
    IntegrityError
        If a file is not what its checksum says; it is removed.
    """
    wanted = address(name)
    if offline():
        return _from_cache(wanted)
    if COMMIT.fullmatch(wanted.revision) and wanted.record.exists():
        return _from_cache(wanted)
    api = client()
    listed = patiently(lambda: _listing(api, wanted), str(wanted))
    folder = wanted.place / listed["commit"]
    for file, facts in listed["files"].items():
        inside = f"{wanted.folder}/{file}" if wanted.folder else file
        if not matches(folder / inside, facts):
            patiently(_download(api, wanted, listed["commit"], inside, folder), str(wanted))
    _check(wanted, listed)
    files.write_text(wanted.record, json.dumps(listed, indent=1))
    return folder / wanted.folder


def _listing(api: Any, wanted: Address) -> dict[str, Any]:
    """Say which commit a revision is, and which files are wanted, with size and checksum."""
    commit = api.model_info(wanted.repo, revision=wanted.revision).sha
    tree = api.list_repo_tree(
        wanted.repo, path_in_repo=wanted.folder or None, revision=commit, recursive=False
    )
    found, pickles = {}, []
    for entry in tree:
        name = PurePosixPath(entry.path).name
        if not hasattr(entry, "size") or not re.fullmatch(PART, name):
            continue
        if name.endswith(PICKLES):
            pickles.append(name)
        elif name.endswith(SAFE):
            sha256 = entry.lfs.sha256 if entry.lfs else None
            found[name] = {"size": entry.size, "sha256": sha256, "blob": entry.blob_id}
    if not any(name.endswith(".safetensors") for name in found):
        raise MissingError(
            f"{wanted} has no weights that are safe to load"
            + (f", only pickles ({', '.join(pickles[:3])})." if pickles else "."),
            fix="A pickle can run code, so pancyte does not fetch it. Download the folder yourself "
            "if you trust its owner, and give its path: importers convert what they know.",
        )
    return {"endpoint": endpoint(), "commit": commit, "files": found}


def _download(api: Any, wanted: Address, commit: str, inside: str, folder: Path) -> Any:
    def call() -> Any:
        return api.hf_hub_download(wanted.repo, inside, revision=commit, local_dir=str(folder))

    return call


def _from_cache(wanted: Address) -> Path:
    """Return what was fetched before."""
    try:
        listed = json.loads(wanted.record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(
            f"{wanted} is not in the cache, and nothing may be fetched in offline mode.",
            fix="Load it once with HF_HUB_OFFLINE unset and pancyte.settings.offline = False.",
        ) from None
    except ValueError as error:
        raise IntegrityError(
            f"{wanted.record} is damaged ({error}).", fix="Remove it and load the model again."
        ) from error
    _check(wanted, listed)
    return wanted.place / listed["commit"] / wanted.folder


def _check(wanted: Address, listed: dict[str, Any]) -> None:
    for name, facts in listed["files"].items():
        path = wanted.place / listed["commit"] / wanted.folder / name
        if not matches(path, facts):
            path.unlink(missing_ok=True)
            raise IntegrityError(
                f"{name} of {wanted} is not the file that its checksum describes; it was removed.",
                fix="Load the model again, with a network; if that fails too, tell its owner.",
            )


def matches(path: Path, facts: dict[str, Any]) -> bool:
    """Whether a file has the SHA-256 that the hub names or, for small ones, git's own hash."""
    if not path.is_file() or path.stat().st_size != facts["size"]:
        return False
    if facts["sha256"]:
        return files.sha256(path) == facts["sha256"]
    content = path.read_bytes()
    # git names a file by this hash; nobody relies on it for secrecy
    digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return digest.hexdigest() == facts["blob"]
