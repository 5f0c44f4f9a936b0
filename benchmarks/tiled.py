"""As many realistic cells as are asked for: real ones, thinned so that no two are alike."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from scipy.sparse import csr_matrix

SLAB = 4096


def slabs(cells: csr_matrix, number: int, *, low: float, high: float) -> Iterator[csr_matrix]:
    """Draw cells with replacement and keep each molecule with a cell's own probability.

    Parameters
    ----------
    cells
        Real counts, (cells, features).
    number
        How many to draw; the same ones come first whatever the number.
    low, high
        Between which the probability is drawn.
    """
    for start in range(0, number, SLAB):
        rng = np.random.default_rng([0, start])
        drawn = cells[rng.integers(cells.shape[0], size=min(SLAB, number - start))]
        keep = np.repeat(rng.uniform(low, high, drawn.shape[0]), np.diff(drawn.indptr))
        drawn.data = rng.binomial(drawn.data.astype(np.int64), keep).astype(np.float32)
        drawn.eliminate_zeros()
        yield drawn


def write_h5ad(path: Path, rows: Iterator[csr_matrix], names: np.ndarray, **storage: object) -> int:
    """Write slabs of cells as an h5ad without holding them all; return the non-zeros."""
    from anndata.io import write_elem
    from pandas import DataFrame

    cells = nonzeros = 0
    offsets = [np.zeros(1, np.int64)]
    with h5py.File(path, "w") as handle:
        handle.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        group = handle.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        for name, kind in (("data", np.float32), ("indices", np.int32)):
            group.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(1 << 16,), **storage)
        for counts in rows:
            for name, values in (("data", counts.data), ("indices", counts.indices)):
                group[name].resize(nonzeros + counts.nnz, axis=0)
                group[name][nonzeros:] = values
            offsets.append(nonzeros + counts.indptr[1:].astype(np.int64))
            nonzeros += counts.nnz
            cells += counts.shape[0]
        group["indptr"] = np.concatenate(offsets)
        group.attrs["shape"] = np.array([cells, len(names)])
        index = np.char.add("cell", np.arange(cells).astype(str)).astype(object)
        write_elem(handle, "obs", DataFrame(index=index))
        write_elem(handle, "var", DataFrame(index=names))
    return nonzeros
