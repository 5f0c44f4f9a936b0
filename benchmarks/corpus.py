"""Build the corpus of ``recipes/corpus.yaml``, stream it, and print its manifest.

Usage: ``python benchmarks/corpus.py [--work FOLDER]``. What FOLDER has already is kept.
"""

import argparse
import time
from pathlib import Path

from stamp import RESULTS, ROOT, stamp

from pancyte.store.build import build, entries
from pancyte.store.corpus import Corpus, verify
from pancyte.store.statistics import statistics
from pancyte.store.stream import Stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/corpus"))
    given = parser.parse_args()
    began = time.monotonic()
    corpus = build(given.work, entries([str(ROOT / "recipes" / "corpus.yaml")]))
    built = time.monotonic() - began
    if bad := verify(given.work):
        raise SystemExit(f"These parts changed on disk: {bad}")
    rates = []
    for epoch in range(3):
        began, seen = time.process_time(), set()
        for tokens in Stream(corpus).epoch(epoch):
            seen.update(zip(tokens.parts.tolist(), tokens.rows.tolist(), strict=True))
        rates.append(len(corpus) / (time.process_time() - began))
        if len(seen) != len(corpus):
            raise SystemExit(f"An epoch had {len(seen)} of {len(corpus)} cells.")
    (RESULTS / "corpus.md").write_text(table(corpus, built, rates), encoding="utf-8")
    print((RESULTS / "corpus.md").read_text(encoding="utf-8"))


def table(corpus: Corpus, built: float, rates: list[float]) -> str:
    """Return the page."""
    depth = statistics(corpus).depth()
    species = corpus.features["species"].value_counts()
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in species.items())
    joined = Corpus(corpus.parts, orthologs=True).features["species"].value_counts()
    together = ", ".join(f"{number:,} {kind}" for kind, number in joined.items())
    cells = len(corpus)
    dropped = sum(sum(part.about["dropped_duplicates"].values()) for part in corpus.parts)
    nonzeros = sum(part.about["nonzeros"] for part in corpus.parts)
    size = sum(part.about["bytes"] for part in corpus.parts) / 1e6
    lines = [
        "# The corpus\n",
        "What `recipes/corpus.yaml` makes of all human and mouse data sets of counts among the",
        "benchmark data. An epoch of the stream has each cell once (checked three times).\n",
        *stamp("python benchmarks/corpus.py", "anndata", "h5py", "numpy"),
        f"- {len(corpus.parts)} data sets, {cells:,} cells, {dropped:,} further cells left out as "
        f"copies; {nonzeros:,} non-zeros, {size:,.0f} MB",
        f"- genes: {kinds}; with mouse genes named by their human orthologs: {together}",
        "- total counts of a cell, 5 %, 25 %, 50 %, 75 %, 95 %: "
        + ", ".join(f"{value:,}" for value in depth.values()),
        f"- streamed in shuffled minibatches of 256 at {sorted(rates)[1]:,.0f} cells per CPU-s "
        f"({min(rates):,.0f}–{max(rates):,.0f}), with one look-up of every gene id; built or found "
        f"in {built:,.0f} s",
        "",
        "| data set | species | tissue | cells | copies left out | genes | non-zeros | stored as | "
        "licence | content |",
        "|---|---|---|---:|---|---:|---:|---|---|---|",
    ]
    for part in corpus.parts:
        about = part.about
        copies = ", ".join(
            f"{number:,} of {name}" for name, number in about["dropped_duplicates"].items()
        )
        tissues = about["tissues"]
        tissue = ", ".join(tissues[:2]) + (" …" if len(tissues) > 2 else "")
        lines.append(
            f"| {about['name']} | {about['species']} | {tissue} | {about['cells']:,} | {copies} | "
            f"{about['features']:,} | {about['nonzeros']:,} | {', '.join(about['stored_as'])} | "
            f"{about['licence']} | `{about['content_hash'][:12]}` |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
