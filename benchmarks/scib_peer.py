"""scib-metrics' side of ``scib_parity.py``; runs in its own environment, without pancyte.

Usage: ``python benchmarks/scib_peer.py FOLDER`` with an ``.npz`` for each embedding; writes
``peer.json`` beside them: every score and the CPU seconds, with its own neighbours and with those
given.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import pandas as pd
from anndata import AnnData
from scib_metrics.benchmark import BatchCorrection, Benchmarker, BioConservation
from scib_metrics.nearest_neighbors import NeighborsResults


def scored(sets: dict[str, dict[str, np.ndarray]], *, given: bool) -> tuple[pd.DataFrame, float]:
    """Return every score of embeddings of the same cells, and the CPU seconds of it all."""
    first = next(iter(sets.values()))
    obs = pd.DataFrame({"labels": first["labels"], "batches": first["batches"]})
    obs.index = obs.index.astype(str)
    adata = AnnData(first["before"], obs=obs)
    adata.obsm["before"] = first["before"]
    for name, arrays in sets.items():
        adata.obsm[name] = arrays["embedding"]
    near = iter([NeighborsResults(indices=s["indices"], distances=s["distances"])
                 for s in sets.values()])  # fmt: skip
    start = time.process_time()
    run = Benchmarker(
        adata,
        batch_key="batches",
        label_key="labels",
        embedding_obsm_keys=list(sets),
        bio_conservation_metrics=BioConservation(nmi_ari_cluster_labels_leiden=given),
        batch_correction_metrics=BatchCorrection(),
        pre_integrated_embedding_obsm_key="before",
        progress_bar=False,
    )
    run.prepare((lambda X, k: next(near)) if given else None)
    run.benchmark()
    table = run.get_results(min_max_scale=False, clean_names=False)
    return table, time.process_time() - start


def main() -> None:
    folder = Path(sys.argv[1])
    titles: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for path in sorted(folder.glob("*.npz")):
        titles.setdefault(path.stem.split(", ")[0], {})[path.stem] = dict(np.load(path))
    scores: dict[str, dict[str, dict[str, float]]] = {}
    seconds: dict[str, dict[str, float]] = {}
    for title, sets in titles.items():
        seconds[title] = {}
        # cold, a first call, compiles; warm repeats it; same is given the exact neighbours
        for kind in ("cold", "warm", "same"):
            table, seconds[title][kind] = scored(sets, given=kind == "same")
            print(title, kind, f"{seconds[title][kind]:.1f} CPU-s", flush=True)
            for name in sets:
                row = {key: float(value) for key, value in table.loc[name].items()}
                scores.setdefault(name, {})[kind] = row
    packages = {name: version(name) for name in ("scib-metrics", "jax", "pynndescent", "igraph")}
    content = {"scores": scores, "seconds": seconds, "versions": packages}
    (folder / "peer.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
