"""Files in, a corpus on disk out: in constant memory, one dataset after another."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, ValidationError

from pancyte import files, registry
from pancyte._settings import settings
from pancyte.cluster import workers
from pancyte.corpus.canonical import canonical, cell_hashes, content_hash, feature_keys, project
from pancyte.corpus.cells import ASSAY_COLUMNS
from pancyte.corpus.sources import Strict
from pancyte.errors import InputError, IntegrityError, PancyteError, ResourceError, UsageError
from pancyte.store.corpus import MANIFEST, PARTS, Corpus, manifest, write_manifest
from pancyte.store.duplicates import TELLING, again, barcodes
from pancyte.store.part import open_part, write_part
from pancyte.store.rows import Rows, name_of, rows_of
from pancyte.store.spool import BARCODES, HASHES, Spool

SCRATCH = ".spool-"
_DONORS = ("donor_id", "donor", "individual", "patient", "subject", "donors")
_TISSUES = ("tissue", "organ", "tissue_general")


class Entry(Strict):
    """A file or a registered dataset that goes into a corpus, and what is known about it.

    Attributes
    ----------
    source
        A path, or a dataset's name.
    name
        What the corpus calls it; the file's name if not given.
    layer
        Where its counts are; found and verified if not given.
    transpose, genome
        As in `pancyte.read`.
    species, assay, tissue
        Where the data do not say, or say wrongly.
    licence, citation
        For the manifest and the cards of models that cite it.
    """

    source: str
    name: str = ""
    layer: str | None = None
    transpose: bool = False
    genome: str | None = None
    species: str = ""
    assay: str = ""
    tissue: str = ""
    licence: str = ""
    citation: str = ""


class Listing(Strict):
    """A YAML file of entries; relative paths start at its own folder or at the data folder."""

    sources: list[Entry] = Field(min_length=1)


@dataclass(frozen=True)
class Added:
    """What became of one source: its entry in the manifest, and whether it was there already."""

    about: dict[str, Any]
    skipped: bool


def entries(given: Sequence[str]) -> list[Entry]:
    """Turn paths, dataset names and YAML listings into entries.

    Raises
    ------
    InputError
        If a listing is not one.
    """
    found: list[Entry] = []
    for item in given:
        path = Path(item)
        if path.suffix not in (".yaml", ".yml"):
            found.append(Entry(source=item))
            continue
        try:
            listing = Listing.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path} lists no sources: {reason}.", fix="Write sources: [{source: FILE}, …]."
            ) from None
        for entry in listing.sources:
            places = [
                folder / entry.source for folder in (path.parent, settings.data_dir) if folder
            ]
            there = next((str(place) for place in places if place.exists()), entry.source)
            found.append(entry.model_copy(update={"source": there}))
    return found


def build(
    folder: str | Path,
    sources: Sequence[Entry | str],
    *,
    cluster: str | None = None,
    report: Callable[[Added], None] = lambda added: None,
) -> Corpus:
    """Put datasets into a corpus on disk, making it if need be.

    Each dataset becomes one h5ad in ``parts/`` and, once that is whole, one entry of the
    manifest, so a build that was killed goes on with the first dataset it had not finished. A
    source that is in the corpus already is skipped. Cells that one before them equals, gene by
    gene, are left out; see `pancyte.store.duplicates.again`.

    Parameters
    ----------
    folder
        The corpus.
    sources
        Files, dataset names or entries.
    cluster
        Read the sources on a Dask cluster; see `pancyte.cluster.workers`.
    report
        Called after each source.

    Returns
    -------
    The corpus, opened.

    Raises
    ------
    UsageError
        If another source of the same name is in the corpus.
    PancyteError
        Whatever reading a source raises, after the others were added.
    """
    folder = Path(folder)
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    with _alone(folder), workers(cluster) as spread:
        for stray in (folder / PARTS).glob(f"{SCRATCH}*"):
            shutil.rmtree(stray, ignore_errors=True)
        there = manifest(folder) if (folder / MANIFEST).exists() else []
        known = {about["name"]: about for about in there}
        new = []
        for entry in map(_entry, sources):
            name, digest = entry.name or _named(entry.source), _digest(entry)
            if name not in known or not digest:
                new.append((folder, entry, name, digest))
                known.setdefault(name, {"source_sha256": digest})
            elif known[name]["source_sha256"] != digest:
                raise UsageError(
                    f"{folder} already has a dataset {name!r}, from other content.",
                    fix="Give this one another name, or remove that one first.",
                )
            elif "cells" in known[name]:
                report(Added(known[name], skipped=True))
        failed = {}
        for (_, _, name, _), found in zip(new, spread(_attempt, new), strict=True):
            if isinstance(found, PancyteError):
                failed[name] = found
                continue
            there.append(_settled(folder, found, there))
            write_manifest(folder, there)
            report(Added(there[-1], skipped=False))
    if failed:
        raise _together(failed, len(new))
    return Corpus.open(folder)


def remove(folder: str | Path, name: str) -> None:
    """Take a dataset out of a corpus.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    folder = Path(folder)
    with _alone(folder):
        there = manifest(folder)
        gone = [about for about in there if about["name"] == name]
        if not gone:
            raise UsageError(
                f"{folder} has no dataset {name!r}.",
                fix=f"It has {', '.join(about['name'] for about in there)}.",
            )
        write_manifest(folder, [about for about in there if about["name"] != name])
        (folder / PARTS / gone[0]["file"]).unlink(missing_ok=True)


def _attempt(work: tuple[Path, Entry, str, str]) -> dict[str, Any] | PancyteError:
    """Stage a source; one that cannot be read must not keep the others out."""
    try:
        return _stage(work)
    except PancyteError as error:
        return error


def _together(failed: dict[str, PancyteError], given: int) -> PancyteError:
    """Make one error of those of several sources."""
    first = next(iter(failed.values()))
    if given == 1:
        return first
    reasons = " ".join(f"{name}: {error.what}" for name, error in failed.items())
    return type(first)(
        f"{len(failed)} of {given} sources were not added. {reasons}",
        fix="The others are in the corpus. Leave these out, or put them right and build again.",
    )


def _stage(work: tuple[Path, Entry, str, str]) -> dict[str, Any]:
    """Write one dataset's part, unless a killed build left it whole, and describe it."""
    folder, entry, name, digest = work
    path = folder / PARTS / f"{name}.h5ad"
    if path.exists():
        with suppress(IntegrityError):
            if (there := open_part(path).about)["source_sha256"] == digest:
                return there
    rows = rows_of(entry.source, layer=entry.layer, transpose=entry.transpose, genome=entry.genome)
    species = entry.species or rows.species
    table, columns = canonical(rows.features, species)
    given = {name: value for name in ("assay", "tissue") if (value := getattr(entry, name))}
    with _spooled(folder, rows, table, columns, given) as spool:
        hashes = spool.hashes()
        keep = _first(hashes) | (spool.read("lengths", 0, spool.cells) < TELLING)
        registered = entry.source in registry.names("datasets")
        about = {
            "name": name,
            "file": path.name,
            "cells": int(keep.sum()),
            "dropped_duplicates": _counted({"itself": int((~keep).sum())}),
            "features": len(table),
            "species": species,
            "assays": _levels(spool, ASSAY_COLUMNS),
            "tissues": _levels(spool, _TISSUES),
            "donors": len(_levels(spool, _DONORS)),
            "source": entry.source if registered else Path(entry.source).name,
            "source_sha256": digest,
            "licence": entry.licence or _declared(entry, "licence") or "unknown",
            "citation": entry.citation or _declared(entry, "citation"),
            "content_hash": content_hash(hashes[keep]),
            "columns_left_out": spool.left_out,
        }
        with files.atomic_path(path) as partial:
            write_part(partial, spool, table, about, keep)
    return about


def _settled(folder: Path, about: dict[str, Any], there: list[dict[str, Any]]) -> dict[str, Any]:
    """Take out of a written part the cells that earlier parts have, and complete its entry."""
    path = folder / PARTS / about["file"]
    part = open_part(path)
    keep, dropped = np.ones(len(part), bool), dict(about["dropped_duplicates"])
    for earlier in there:
        found = keep & again(part, open_part(folder / PARTS / earlier["file"]))
        dropped[earlier["name"]] = int(found.sum())
        keep &= ~found
    if not keep.all():
        about = about | {
            "cells": int(keep.sum()),
            "dropped_duplicates": _counted(dropped),
            "content_hash": content_hash(part.hashes()[keep]),
        }
        table = part.features()
        rows = replace(rows_of(path), features=table)
        with (
            _spooled(folder, rows, table, np.arange(len(table)), {}) as spool,
            files.atomic_path(path) as partial,
        ):
            write_part(partial, spool, table, about, keep)
        part = open_part(path)
    return about | {
        "nonzeros": len(part.values),
        "stored_as": [str(part.ids.dtype), str(part.values.dtype)],
        "bytes": path.stat().st_size,
        "sha256": files.sha256(path),
    }


@contextmanager
def _spooled(
    folder: Path, rows: Rows, table: pd.DataFrame, columns: np.ndarray, given: dict[str, str]
) -> Iterator[Spool]:
    """Go through a source once and give its cells as a file that can be gone through again."""
    keys = feature_keys(table.index)
    with (
        tempfile.TemporaryDirectory(dir=folder / PARTS, prefix=SCRATCH) as scratch,
        Spool(Path(scratch) / "spool.h5") as spool,
    ):
        for cells in rows.slabs():
            counts = project(cells.counts, columns, len(table))
            marks = {HASHES: cell_hashes(counts, keys), BARCODES: barcodes(cells.obs.index)}
            spool.add(counts, marks, cells.obs.assign(**given))
        yield spool


def _first(hashes: np.ndarray) -> np.ndarray:
    """Mark each fingerprint where it comes for the first time."""
    first = np.ones(len(hashes), bool)
    ordered = np.sort(hashes)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    rows = np.flatnonzero(np.isin(hashes, repeated))
    first[rows] = False
    first[rows[np.unique(hashes[rows], return_index=True)[1]]] = True
    return first


def _counted(dropped: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in dropped.items() if number}


def _entry(given: Entry | str) -> Entry:
    return given if isinstance(given, Entry) else Entry(source=given)


def _levels(spool: Spool, names: Sequence[str]) -> list[str]:
    """Return the values of the first of some columns that there is."""
    for column, levels in spool.levels.items():
        if column.lower() in names:
            return sorted(levels)
    return []


def _named(source: str) -> str:
    return source if source in registry.names("datasets") else name_of(Path(source))


def _declared(entry: Entry, field: str) -> str:
    if entry.source in registry.names("datasets"):
        return str(getattr(registry.get("datasets", entry.source), field))
    return ""


def _digest(entry: Entry) -> str:
    """Hash a source's bytes and how it is to be read; ``""`` if there is no such source."""
    path = Path(entry.source)
    reading = entry.layer, entry.transpose, entry.genome, entry.species
    whole = hashlib.sha256(repr(reading).encode())
    if path.is_dir():
        for item in sorted(path.rglob("*")):
            if item.is_file():
                whole.update(f"{item.relative_to(path)} {files.sha256(item)}\n".encode())
    elif path.is_file():
        whole.update(files.sha256(path).encode())
    elif entry.source in registry.names("datasets"):
        whole.update(registry.get("datasets", entry.source).sha256.encode())
    else:
        return ""
    return whole.hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other builders out of a corpus; a lock of a process that died is taken over."""
    lock = folder / ".lock"
    for _ in range(2):
        try:
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            owner = lock.read_text(encoding="utf-8").strip()
            if not owner.isdigit() or files.alive(int(owner)):
                raise ResourceError(
                    f"{folder} is being changed by process {owner or '?'}.",
                    fix=f"Wait for it; if there is no such process, delete {lock}.",
                ) from None
            lock.unlink(missing_ok=True)
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
