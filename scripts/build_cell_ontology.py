"""Build the table of cell types that pancyte ships, from the Cell Ontology.

Usage: ``python scripts/build_cell_ontology.py CL-ontology-v2026-03-26.json.gz``, a file of CZI's
Python package cellxgene-ontology-guide (MIT), which holds the Cell Ontology (CC BY 4.0). The same
file gives the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
from pathlib import Path

from pancyte.deciding.ontology import SHIPPED, load_ontology


def main(source: Path) -> None:
    """Write the terms that are in use, sorted by id."""
    ontology = load_ontology(source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    lines = [
        f"# {source.name} of cellxgene-ontology-guide, SHA-256 {digest}",
        "# The Cell Ontology, https://obofoundry.org/ontology/cl.html, CC BY 4.0",
        "id\tlabel\tparents\tsynonyms",
    ]
    for term in sorted(ontology.labels):
        fields = ontology.parents[term], ontology.synonyms[term]
        lines.append("\t".join([term, ontology.labels[term], *map("|".join, fields)]))
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as packed:
        packed.write("\n".join([*lines, ""]).encode())
    SHIPPED.parent.mkdir(exist_ok=True)
    SHIPPED.write_bytes(buffer.getvalue())


main(Path(sys.argv[1]))
