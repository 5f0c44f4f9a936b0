"""Build the pancreas data that pancyte ships, from the full file of the benchmark data.

Usage: ``python scripts/build_demo_data.py PANCREAS_4STUDIES.h5ad [OUTPUT.h5ad]``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem
from scipy.sparse import csr_matrix

from pancyte.files import atomic_path, sha256

MIN_CELLS = 3
COLUMNS = {
    "cell_type": "cell_type",
    "cell_type_ontology_term_id": "cell_type_ontology_term_id",
    "Dataset": "study",
    "donor_id": "donor",
    "assay": "assay",
    "suspension_type": "suspension_type",
    "tissue": "tissue",
    "sex": "sex",
    "development_stage": "development_stage",
}
OUTPUT = Path(__file__).parents[1] / "src/pancyte/corpus/demo/pancreas.h5ad"


def reduce(full: ad.AnnData) -> ad.AnnData:
    """Keep all cells, genes seen in at least three, whole counts and the useful columns."""
    whole = full.X.astype(np.int32)
    if (whole != full.X).nnz:
        raise SystemExit("The counts are not whole numbers.")
    detected = whole.getnnz(axis=0)
    # The most detected gene first: neighbouring indices then differ little and compress better.
    order = np.argsort(-detected, kind="stable")
    order = order[detected[order] >= MIN_CELLS]
    counts = csr_matrix(whole[:, order])
    counts.sort_indices()
    if counts.data.max() <= np.iinfo(np.int16).max:
        counts = counts.astype(np.int16)
    obs = full.obs[list(COLUMNS)].rename(columns=COLUMNS)
    obs["study"] = obs["study"].cat.rename_categories(lambda name: name.replace(" et al.", ""))
    obs.insert(len(obs.columns), "organism", pd.Categorical(["Homo sapiens"] * len(obs)))
    provenance = {
        "from": json.loads(full.uns["provenance"]),
        "change": f"genes in at least {MIN_CELLS} cells, most detected first; columns renamed",
        "licence": "CC BY 4.0; see NOTICE for the four studies",
    }
    small = ad.AnnData(counts, obs=obs, var=full.var[["ensembl_id"]].iloc[order])
    small.uns["provenance"] = json.dumps(provenance)
    return small


def repack(source: h5py.File, target: h5py.File) -> None:
    """Copy an h5ad into a third less space: chunks of a million, names of fixed width."""

    def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group):
            copied = target.require_group(name)
        elif not item.shape:
            return source.copy(item, target, name)
        else:
            values = item.asstr()[:].astype("S") if h5py.check_string_dtype(item.dtype) else item[:]
            chunks = (min(len(values), 1 << 20),)
            copied = target.create_dataset(
                name, data=values, chunks=chunks, compression=9, shuffle=True
            )
        return copied.attrs.update(item.attrs)

    target.attrs.update(source.attrs)
    source.visititems(copy)


def main(source: Path, output: Path = OUTPUT) -> None:
    """Write the reduced file and say how large it is."""
    small = reduce(ad.read_h5ad(source))
    with (
        h5py.File("unpacked", "w", driver="core", backing_store=False) as unpacked,
        atomic_path(output) as partial,
        h5py.File(partial, "w") as packed,
    ):
        write_elem(unpacked, "/", small)
        repack(unpacked, packed)
    print(f"{output}: {small.shape}, {output.stat().st_size / 1e6:.2f} MB, {sha256(output)}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
