"""`pancyte embed`: a vector for each cell of one file or of many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pancyte.cli.options import (
    AsJson,
    Cluster,
    Device,
    DryRun,
    Force,
    Genome,
    Transpose,
    output,
    use_device,
)
from pancyte.cli.terminal import emit, say, tell_changed


@dataclass(frozen=True)
class Work:
    """One file to embed, with all that a process on another machine must know."""

    file: Path
    out: Path
    model: str
    pooling: Any
    transpose: bool
    genome: str | None
    device: str


def embed(
    files: Annotated[list[Path], typer.Argument(help="Cells: any files or folders.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Model folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="h5ad to write; a folder for many files.")
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(help="mean, cls, or own where a model has one; what suits it if not given."),
    ] = None,
    dask: Cluster = None,
    transpose: Transpose = False,
    genome: Genome = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Represent each cell by a model; writes copies of the files with the embedding in .obsm.

    Of many files, those whose result is there already are passed over, so that a run that was
    killed goes on.
    """
    from pancyte.errors import UsageError
    from pancyte.models.load import load

    use_device(device)
    if pooling not in (None, "mean", "cls", "own"):
        raise UsageError(f"There is no pooling {pooling!r}.", fix="Use mean, cls or own.")
    loaded = load(model)
    chosen: Any = pooling or loaded.pooling
    width = loaded.backbone.pooled_width(chosen)
    key = f"X_{loaded.name.replace('-', '_')}"
    works = [
        Work(file, path, model, pooling, transpose, genome, device)
        for file, path in _places(files, out, force=force)
    ]
    content: dict[str, Any] = {"width": width, "key": key}
    if dry_run:
        content["files"] = [{"file": str(work.file), "out": str(work.out)} for work in works]
        emit(
            content, [f"would write {work.out}: .obsm[{key!r}]" for work in works], as_json=as_json
        )
        return
    done = _all(works, dask)
    lines = [
        f"wrote {item['out']}: .obsm[{key!r}], {item['cells']:,} × {loaded.backbone.width}"
        for item in done
    ]
    content |= done[0] if len(files) == 1 else {"files": done}
    emit(content, lines, as_json=as_json)


def _places(files: list[Path], out: Path | None, *, force: bool) -> list[tuple[Path, Path]]:
    """Settle where each file's result goes, leaving out those that are done."""
    from pancyte.errors import UsageError

    def result(file: Path) -> str:
        return f"{file.name.removesuffix('.h5ad')}.embedded.h5ad"

    if len(files) == 1:
        return [(files[0], output(out, files[0].with_name(result(files[0])), force=force))]
    if out is None or out.is_file():
        raise UsageError(
            "Many files need a folder for their results.", fix="Give one with -o FOLDER."
        )
    names = [result(file) for file in files]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UsageError(
            f"Two files would both become {sorted(repeated)[0]}.", fix="Give them other names."
        )
    wanted = [(file, out / result(file)) for file in files]
    left = [(file, path) for file, path in wanted if force or not path.exists()]
    if len(left) < len(wanted):
        say(f"{len(wanted) - len(left)} of {len(wanted)} are done already.")
    return left


def _all(works: list[Work], dask: str | None) -> list[dict[str, Any]]:
    """Embed every file; what goes wrong with some is said after the others are written."""
    from pancyte.cluster import workers
    from pancyte.errors import PancyteError

    done, failed = [], []
    with workers(dask) as spread:
        for found in spread(_one, works):
            if isinstance(found, PancyteError):
                failed.append(found)
                continue
            done.append(found)
            if len(works) > 1:
                say(f"  {len(done) + len(failed)}/{len(works)} {found['out']}")
    if failed and len(works) > 1:
        reasons = " ".join(error.what for error in failed)
        raise type(failed[0])(
            f"{len(failed)} of {len(works)} files were not embedded. {reasons}",
            fix="The others are. Put these right and run the same command again.",
        )
    if failed:
        raise failed[0]
    return done


def _one(work: Work) -> Any:
    """Embed one file and write the result in one step; an error is returned, not raised."""
    import pancyte as pan
    from pancyte.corpus.write import prepare_obs, write_h5ad
    from pancyte.errors import PancyteError
    from pancyte.models.load import load

    try:
        use_device(work.device)
        adata = pan.read(work.file, transpose=work.transpose, genome=work.genome)
        tell_changed(prepare_obs(adata))
        pan.tl.embed(adata, load(work.model), pooling=work.pooling)
        write_h5ad(adata, work.out)
    except PancyteError as error:
        return error
    return {"cells": adata.n_obs, "out": str(work.out)}
