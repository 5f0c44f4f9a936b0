"""Damage real files in a thousand ways and see that each ends in data or in one clear message.

Usage: ``python benchmarks/damaged_files.py [--files 1000] [--formats h5ad MEX …] [--keep FOLDER]
[--record FILE.json]``. Writes docs/results/damaged-files.md; with a record, it goes on where it
was. Every damaged file is read by ``pancyte check`` in a process of its own. Allowed are exit 0, 3,
5 and 6; a traceback, a signal, exit 70 or more than 10 s is not.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from damage import damage
from scipy.io import mmwrite
from scipy.sparse import csc_matrix
from stamp import ROOT, commit

import pancyte as pan
from pancyte.cli.main import run
from pancyte.corpus.formats import format_of

# what a check needs, imported before forking rather than a thousand times
for needed in ("pancyte.corpus.cells", "pancyte.pp.inspection", "pyarrow.parquet", "zarr"):
    import_module(needed)

# every 24th cell of the shipped data: four studies, and a file takes some tenths of a second
CELLS, GENES = 24, 1000
LIMIT = 10
# files after which the record is written
STEP = 50
MEMORY = 16 << 30
ALLOWED = {0: "read", 3: "exit 3", 5: "exit 5", 6: "exit 6"}
COLUMNS = ("same data", "other data", "exit 3", "exit 5", "exit 6", "violation")


def real_cells() -> AnnData:
    """Cells of four studies with everything an h5ad may hold."""
    adata = pan.load_dataset("demo-pancreas")[::CELLS, :GENES].copy()
    adata.raw = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X.astype(np.float32)
    adata.X.data = np.log1p(adata.X.data)
    adata.obsm["X_map"] = adata.X[:, :2].toarray()
    adata.uns["colours"] = ["#1b9e77", "#d95f02"]
    return adata


def h5ad(adata: AnnData, folder: Path) -> None:
    adata.write_h5ad(folder / "plain.h5ad")
    adata.write_h5ad(folder / "packed.h5ad", compression="gzip")


def tenx_h5(adata: AnnData, folder: Path) -> None:
    counts = csc_matrix(adata.raw.X.T)
    for root, names in (
        ("matrix", ("features/id", "features/name")),
        ("GRCh38", ("genes", "gene_names")),
    ):
        with h5py.File(folder / f"{root}.h5", "w") as handle:
            group = handle.create_group(root)
            for part in ("data", "indices", "indptr"):
                group.create_dataset(part, data=getattr(counts, part), compression="gzip")
            group["shape"] = counts.shape
            group["barcodes"] = adata.obs_names.to_numpy().astype("S")
            group[names[0]] = adata.var["ensembl_id"].to_numpy().astype("S")
            group[names[1]] = adata.var_names.to_numpy().astype("S")
            if root == "matrix":
                group["features/feature_type"] = np.full(adata.n_vars, b"Gene Expression")


def mex(adata: AnnData, folder: Path) -> None:
    plain, packed = folder / "plain", folder / "packed"
    plain.mkdir()
    mmwrite(plain / "matrix.mtx", csc_matrix(adata.raw.X.T))
    table = pd.DataFrame({"id": adata.var["ensembl_id"], "name": adata.var_names})
    table.to_csv(plain / "genes.tsv", sep="\t", header=False, index=False)
    (plain / "barcodes.tsv").write_text("\n".join(adata.obs_names) + "\n")
    shutil.copytree(plain, packed)
    (packed / "genes.tsv").rename(packed / "features.tsv")
    for file in packed.iterdir():
        subprocess.run(["gzip", "-n", file], check=True)


def csv(adata: AnnData, folder: Path) -> None:
    table = pd.DataFrame(adata.raw.X.toarray(), adata.obs_names, adata.var_names)
    table.to_csv(folder / "cells.csv")
    table.T.to_csv(folder / "genes.tsv.gz", sep="\t")


def parquet(adata: AnnData, folder: Path) -> None:
    table = pd.DataFrame(adata.raw.X.toarray(), adata.obs_names, adata.var_names)
    table.to_parquet(folder / "cells.parquet")


def zarr(adata: AnnData, folder: Path) -> None:
    for number in (2, 3):
        with anndata.settings.override(zarr_write_format=number):
            adata.write_zarr(folder / f"v{number}.zarr")


FORMATS: dict[str, Callable[[AnnData, Path], None]] = {
    "h5ad": h5ad,
    "10x h5": tenx_h5,
    "MEX": mex,
    "csv": csv,
    "Parquet": parquet,
    "zarr": zarr,
}


def alone(task: Callable[[], int], log: Path, limit: float = LIMIT) -> tuple[int, float]:
    """Run in a forked process; return its exit status, negative for a signal, and the seconds."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with log.open("wb") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            status = 99
            with contextlib.suppress(BaseException):
                status = task()
        os._exit(status)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() - start > limit + 2:
            os.killpg(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
            break
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1]), time.monotonic() - start


def check(path: Path) -> int:
    """What ``pancyte check`` ends with."""
    try:
        run(["check", str(path), "--json"])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 99


def digest(path: Path, out: Path) -> int:
    """Write a hash of all that was read of counts, names and tables."""
    form = format_of(path)
    # a process of its own checked it a moment ago, and this one is apart as well
    adata = form.read(path, form.check(path))
    hashed = hashlib.sha256()
    for matrix in (adata.X, *adata.layers.values()):
        hashed.update(np.ascontiguousarray(csc_matrix(matrix).toarray()).tobytes())
    for table in (adata.obs, adata.var):
        hashed.update(table.astype(str).to_csv().encode("utf-8", "surrogateescape"))
    out.write_text(hashed.hexdigest())
    return 0


@dataclass
class Outcomes:
    """What happened to the damaged files of one format, and which versions read them."""

    commits: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    violations: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def recorded(cls, fields: dict[str, Any]) -> Outcomes:
        """Take up what `vars` gave."""
        counters = {name: Counter(fields[name]) for name in ("counts", "kinds")}
        return cls(**{**fields, **counters})


def trial(source: Path, number: str, work: Path, whole: str, outcomes: Outcomes) -> bool:
    """Damage a copy, read it, note what happened; return whether that is allowed."""
    path, log = work / source.name, work / "log"
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, path)
    kind = damage(path, random.Random(number))
    status, seconds = alone(lambda: check(path), log)
    outcomes.slowest = max(outcomes.slowest, seconds)
    said = log.read_text("utf-8", "replace")
    outcome = ALLOWED.get(status, "violation")
    if "Traceback" in said or seconds > LIMIT:
        outcome = "violation"
    if outcome == "read":
        alone(lambda: digest(path, work / "digest"), work / "digest.log", limit=60)
        found = (work / "digest").read_text() if (work / "digest").exists() else ""
        (work / "digest").unlink(missing_ok=True)
        outcome = "same data" if found == whole else "other data"
    if outcome == "violation":
        told = (said.strip().splitlines() or ["nothing was said"])[0][:200]
        outcomes.violations.setdefault(f"status {status}: {told}", []).append(number)
    outcomes.counts[outcome] += 1
    outcomes.kinds[f"{kind}: {outcome}"] += 1
    return outcome != "violation"


def made(name: str, folder: Path) -> list[Path] | None:
    """Write a format's files in a process of its own: zarr's threads would not survive a fork."""

    def write() -> int:
        FORMATS[name](real_cells(), folder)
        return 0

    status, _ = alone(write, folder.parent / "log", limit=60)
    return None if status else sorted(folder.iterdir())


def damaged(
    name: str, numbers: range, seed: int, keep: Path | None, outcomes: Outcomes
) -> Outcomes | None:
    """Try some files of one format; None if this pancyte does not read it."""
    with tempfile.TemporaryDirectory() as folder:
        (originals := Path(folder) / "originals").mkdir()
        if (sources := made(name, originals)) is None:
            return None
        wholes = []
        for source in sources:
            whole, log = Path(folder) / "whole", Path(folder) / "log"
            if alone(lambda: check(source), log, limit=60)[0]:  # noqa: B023
                return None
            alone(lambda: digest(source, whole), log, limit=60)  # noqa: B023
            wholes.append(whole.read_text())
        for number in numbers:
            (work := Path(folder) / "work").mkdir()
            chosen, which = f"{seed} {name} {number}", number % len(sources)
            fine = trial(sources[which], chosen, work, wholes[which], outcomes)
            if keep is not None and not fine:
                shutil.copytree(work, keep / chosen.replace(" ", "-"), dirs_exist_ok=True)
            shutil.rmtree(work)
    return outcomes


def by_kind(found: list[Outcomes]) -> list[str]:
    """A table of outcomes for each kind of damage, all formats together."""
    kinds = sum((outcomes.kinds for outcomes in found), Counter())
    lines = [f"| damage | {' | '.join(COLUMNS)} |", "|---|" + "---:|" * len(COLUMNS)]
    for kind in sorted({entry.split(": ")[0] for entry in kinds}):
        row = " | ".join(f"{kinds[f'{kind}: {column}']:,}" for column in COLUMNS)
        lines.append(f"| {kind} | {row} |")
    return lines


def page(found: dict[str, Outcomes | None], seed: int, command: str) -> str:
    """The results as Markdown."""
    cells = real_cells()
    versions = ", ".join(f"{name} {version(name)}" for name in ("h5py", "anndata", "numpy"))
    head = ["files", *COLUMNS, "slowest", "commit"]
    lines = [
        "# Damaged files\n",
        f"Real files ({cells.n_obs:,} pancreas cells of four studies × {cells.n_vars:,} genes), "
        "each damaged in one way and read by `pancyte check` in a process of its own: bytes "
        "changed, zeroed, swapped, "
        "inserted or cut off; text, attributes, values, lengths and types edited; parts lost. "
        "*Same data* and *other data* were read with exit 0: damage to a value or a name cannot be "
        "told from data. A violation is a traceback, a signal, a bug (exit 70) or more than "
        f"{LIMIT} s.\n",
        f"- made by `{command}`, {datetime.date.today()}",
        f"- machine: {platform.machine()}, {os.cpu_count()} cores, {platform.system()}; Python "
        f"{platform.python_version()}, {versions}",
        f"- seed {seed}; file `n` of a format is drawn from `Random('{seed} FORMAT n')`\n",
        f"| format | {' | '.join(head)} |",
        "|---|" + "---:|" * len(head),
    ]
    for name, outcomes in found.items():
        if outcomes is None:
            lines.append(f"| {name} | not read by this version |" + " |" * (len(head) - 1))
            continue
        numbers = [outcomes.counts.total(), *(outcomes.counts[column] for column in COLUMNS)]
        row = " | ".join(f"{number:,}" for number in numbers)
        lines.append(
            f"| {name} | {row} | {outcomes.slowest:.1f} s | {', '.join(outcomes.commits)} |"
        )
    lines += ["", *by_kind([outcomes for outcomes in found.values() if outcomes])]
    for title, outcomes in found.items():
        if outcomes and outcomes.violations:
            lines += ["", f"## Violations: {title}\n"]
            lines += [
                f"- {len(numbers)} × {told} (first: file {numbers[0].split()[-1]})"
                for told, numbers in outcomes.violations.items()
            ]
    return "\n".join([*lines, ""])


def recorded(record: Path | None) -> dict[str, Outcomes | None]:
    """Take up what was done before."""
    if record is None or not record.exists():
        return {}
    before = json.loads(record.read_text(encoding="utf-8"))
    return {name: fields and Outcomes.recorded(fields) for name, fields in before.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="damaged files of each format")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that violate the rules")
    parser.add_argument("--record", type=Path, help="JSON of what was done before")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "damaged-files.md")
    given = parser.parse_args()
    found = recorded(given.record)
    for name in given.formats:
        outcomes: Outcomes | None = found.get(name) or Outcomes()
        while outcomes is not None and (done := outcomes.counts.total()) < given.files:
            if (source := commit()) not in outcomes.commits:
                outcomes.commits.append(source)
            numbers = range(done, min(done + STEP, given.files))
            found[name] = outcomes = damaged(name, numbers, given.seed, given.keep, outcomes)
            if given.record is not None:
                fields = {key: value and vars(value) for key, value in found.items()}
                given.record.write_text(json.dumps(fields), encoding="utf-8")
        print(name, json.dumps(outcomes and outcomes.counts), flush=True)
    formats = "" if given.formats == list(FORMATS) else f" --formats {' '.join(given.formats)}"
    command = f"python benchmarks/damaged_files.py --files {given.files}{formats}"
    given.out.write_text(
        page({name: found[name] for name in given.formats}, given.seed, command), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
