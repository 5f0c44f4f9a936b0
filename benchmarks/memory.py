"""Peak memory of building and streaming a corpus, for more and more cells.

Usage: ``python benchmarks/memory.py [--cells 50000 200000 1000000] [--work FOLDER]``. A
million cells take about 25 GB of disk for some minutes. Linux only: memory is read from ``/proc``.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stamp import RESULTS, stamp

LOW, HIGH = 0.3, 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--work", type=Path, default=Path("runs/memory"))
    parser.add_argument("--child", nargs=2)
    given = parser.parse_args()
    if given.child:
        work, source = map(Path, given.child)
        print(json.dumps(child(work, source)))
        return
    given.work.mkdir(parents=True, exist_ok=True)
    found = {}
    for number in given.cells:
        source = tiled(given.work, number)
        folder = given.work / f"corpus-{number}"
        done = subprocess.run(
            [sys.executable, __file__, "--child", str(folder), str(source)],
            check=True,
            capture_output=True,
        )
        found[number] = json.loads(done.stdout.splitlines()[-1])
        source.unlink()
        print(number, found[number], flush=True)
    (RESULTS / "memory.md").write_text(table(found), encoding="utf-8")
    print((RESULTS / "memory.md").read_text(encoding="utf-8"))


def tiled(work: Path, number: int) -> Path:
    """Write so many cells."""
    from tiled import slabs, write_h5ad

    from pancyte.corpus.datasets import load_dataset

    path = work / f"tiled-{number}.h5ad"
    if not path.exists():
        real = load_dataset("demo-pancreas")
        drawn = slabs(real.X.tocsr(), number, low=LOW, high=HIGH)
        write_h5ad(path, drawn, real.var_names.to_numpy(object))
    return path


def child(folder: Path, source: Path) -> dict[str, dict[str, float]]:
    """Build a corpus of a file and stream an epoch of it; return peaks and times."""
    from pancyte.store.build import build
    from pancyte.store.corpus import Corpus
    from pancyte.store.order import by_tokens
    from pancyte.store.statistics import statistics
    from pancyte.store.stream import Stream

    found = {}
    for step in ("build", "stream", "statistics"):
        with watched() as seen:
            if step == "build":
                corpus = build(folder, [str(source)])
            elif step == "stream":
                corpus = Corpus.open(folder)
                cut = by_tokens(1 << 18, 2048)
                seen["cells"] = sum(map(len, Stream(corpus, cut=cut).epoch(0)))
            else:
                statistics(corpus)
        found[step] = seen
    found["build"]["cells"] = len(corpus)
    found["build"]["nonzeros"] = corpus.parts[0].about["nonzeros"]
    found["build"]["bytes"] = corpus.parts[0].about["bytes"]
    return found


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Record the largest amount of memory of this process that is not the page cache's."""
    seen = {"peak": 0.0}
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            seen["peak"] = max(seen["peak"], anonymous())

    thread = threading.Thread(target=look)
    began = time.monotonic()
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        seen["seconds"] = time.monotonic() - began


def anonymous() -> float:
    """Return the process's memory in MiB without pages of files, which cost nothing to drop."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("There is no RssAnon in /proc/self/status.")


def table(found: dict[int, dict[str, dict[str, float]]]) -> str:
    """Return the page."""
    lines = [
        "# Memory\n",
        "Peak memory of one process that builds a corpus from one h5ad, streams an epoch of it and",
        "takes its statistics. Pages of mapped files are left out: the system drops them when it",
        "needs room.\n",
        *stamp("python benchmarks/memory.py", "anndata", "h5py", "numpy"),
        f"- data: the demo's cells, drawn with seed 0, thinned binomially to {LOW:.0%}–{HIGH:.0%}",
        "",
        "| cells | non-zeros | on disk | build | cells per s | stream | statistics |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for steps in found.values():
        build = steps["build"]
        lines.append(
            f"| {build['cells']:,} | {build['nonzeros']:,} | {build['bytes'] / 1e9:.2f} GB | "
            f"{build['peak']:,.0f} MiB | {build['cells'] / build['seconds']:,.0f} | "
            f"{steps['stream']['peak']:,.0f} MiB | {steps['statistics']['peak']:,.0f} MiB |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
