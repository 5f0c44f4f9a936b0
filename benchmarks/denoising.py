"""Denoising: do denoised cells predict withheld reads, and do they cluster better?

Usage: ``python benchmarks/denoising.py [--seeds 5] [--work DIR] [--table]``. Real counts are
thinned to 50, 25 and 10 %; every method sees the kept reads alone. Answers are kept in DIR, so an
interrupted benchmark goes on; with ``--table`` only the table is made.
"""

import argparse
import json
import time
import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte import registry
from pancyte.corpus.cells import column, to_cells
from pancyte.denoising.withheld import deviance, log_likelihood
from pancyte.metrics.clustering import ari, nmi
from pancyte.metrics.neighbours import leiden
from pancyte.pl.colours import PALETTE
from pancyte.pl.sheet import panels, save_as
from pancyte.shapes import Cells
from pancyte.tasks.expression import log_normalised, variable
from pancyte.tasks.thinning import thin

METHODS = ("no-op", "gene-mean", "pca-denoise", "magic-like", "scvi-denoise")
KEPT = (0.5, 0.25, 0.1)
DATASETS = {"pbmc3k": None, "baron-human": None, "sc-mixology": None}
CELLS, GENES, TRAININGS = 1000, 1500, 1
"""scVI is trained for the first seed only: a training costs more than all else together."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs/denoising"))
    parser.add_argument("--table", action="store_true", help="run nothing, only make the table")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    pan.settings.verbosity = 0
    warnings.simplefilter("ignore")
    for seed in range(0 if given.table else given.seeds):
        for dataset in DATASETS:
            cells = some(dataset, seed)
            for kept in KEPT:
                ask(dataset, cells, kept, seed, given.work)
    lines = stamp("python benchmarks/denoising.py", "scikit-learn", "scanpy")
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in given.work.glob("*.json")]
    (RESULTS / "denoising.md").write_text(page(rows, lines), encoding="utf-8")
    draw(rows)


def some(dataset: str, seed: int) -> Cells:
    """Draw labelled cells, and take the genes that vary most in them at full depth."""
    cells = to_cells(pan.load_dataset(dataset), name=dataset)
    rows = np.flatnonzero(~np.isin(column(cells, "cell_type"), ["", "unassigned"]))
    rng = np.random.default_rng(seed)
    cells = cells.select(np.sort(rng.permutation(rows)[:CELLS]))
    totals = np.asarray(cells.counts.sum(axis=1)).ravel()
    genes = variable(log_normalised(cells.counts, totals), GENES)
    part = cells.counts[:, genes]
    kept = replace(cells, counts=part, features=cells.features.iloc[genes])
    return kept.select(np.flatnonzero(np.asarray(part.sum(axis=1)).ravel() >= 20))


def ask(dataset: str, cells: Cells, kept: float, seed: int, work: Path) -> None:
    seen, withheld = thin(cells.counts, kept, np.random.default_rng([seed, round(100 * kept)]))
    labels = column(cells, "cell_type")
    for name in METHODS:
        path = work / f"{dataset}.{kept}.{seed}.{name}.json"
        if path.exists() or (name == "scvi-denoise" and seed >= TRAININGS):
            continue
        started = time.process_time()
        shares = registry.get("methods", name)().denoise(replace(cells, counts=seen), seed=seed)
        seconds = time.process_time() - started
        scores = {
            "deviance": deviance(shares, withheld),
            "likelihood": log_likelihood(shares, withheld),
            "pearson": pearson(shares, withheld),
            "seconds": seconds,
            **clustering(shares, labels, seed),
        }
        told = {"dataset": dataset, "kept": kept, "seed": seed, "method": name}
        path.write_text(json.dumps({**told, **scores}), encoding="utf-8")
    print(dataset, kept, seed, flush=True)


def pearson(shares: np.ndarray, withheld) -> float:
    """Mean over genes of the correlation, over cells, of denoised with withheld levels.

    Across genes within a cell nearly anything correlates (.9 for the average cell), so that is
    not asked. Depth is divided out of the withheld reads, as shares do not know it.
    """
    depth = np.maximum(np.asarray(withheld.sum(axis=1)).ravel(), 1)
    levels = withheld.toarray() / depth[:, None]
    X, Y = shares - shares.mean(axis=0), levels - levels.mean(axis=0)
    spread = np.sqrt((X**2).sum(axis=0) * (Y**2).sum(axis=0))
    asked = (Y**2).sum(axis=0) > 0
    each = np.where(spread > 0, (X * Y).sum(axis=0) / np.where(spread > 0, spread, 1), 0.0)
    return float(each[asked].mean())


def clustering(shares: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, float]:
    """How well the usual clusters of denoised cells agree with the labels."""
    from sklearn.decomposition import PCA

    X = np.log1p(1e4 * shares)
    if np.ptp(X, axis=0).max() < 1e-9:
        return {"ari": 0.0, "nmi": 0.0}
    Z = PCA(30, svd_solver="arpack", random_state=seed).fit_transform(X)
    clusters = leiden(Z)
    return {"ari": ari(Z, labels, clusters=clusters), "nmi": nmi(Z, labels, clusters=clusters)}


def page(rows: list[dict], lines: list[str]) -> str:
    seeds = sorted({row["seed"] for row in rows})
    trained = any(row["method"] == "scvi-denoise" for row in rows)
    scvi = f"scVI: {TRAININGS} of them" if trained else "scVI was not run"
    head = [
        "# Denoising\n",
        "Real counts are thinned; every method sees the kept reads, and is asked about the "
        "withheld ones, which are independent of them given what the cell holds (Batson, Royer & "
        "Webber 2019). "
        f"{CELLS:,} labelled cells, {GENES:,} variable genes; all methods get 2 % of the average "
        "cell, so that none calls a gene impossible.\n",
        *lines,
        f"- seeds {seeds[0]} to {seeds[-1]} ({scvi}); means with 95 % "
        "intervals of the difference to the counts as they are, by drawing seeds anew\n",
    ]
    titles = {
        "deviance": "Poisson deviance of withheld reads, per read (lower is better)",
        "likelihood": "Poisson log-likelihood of withheld reads, nats per read (higher is better)",
        "pearson": "Pearson with withheld reads, over cells, mean over genes",
        "ari": "Clusters after denoising: ARI with the labels",
        "nmi": "Clusters after denoising: NMI with the labels",
        "seconds": "CPU-seconds",
    }
    return "\n".join([*head, *(table(rows, key, title) for key, title in titles.items())])


def draw(rows: list[dict]) -> None:
    """Deviance of withheld reads by method and share of reads kept, one panel for each data set."""
    axes = panels(len(DATASETS), width=3.4, height=3.0)
    for ax, dataset in zip(axes, DATASETS, strict=True):
        for colour, method in zip(PALETTE, METHODS, strict=False):
            own = [r for r in rows if r["dataset"] == dataset and r["method"] == method]
            if own:
                means = [np.mean([r["deviance"] for r in own if r["kept"] == k]) for k in KEPT]
                ax.plot([100 * k for k in KEPT], means, "o-", color=colour, label=method)
        ax.set(title=dataset, xlabel="reads kept, %", ylim=(0, None))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("deviance per withheld read")
    axes[-1].legend(frameon=False, fontsize=7)
    save_as(axes[0], RESULTS / "denoising.png")


def table(rows: list[dict], key: str, title: str) -> str:
    values = defaultdict(dict)
    for row in rows:
        values[row["dataset"], row["kept"], row["method"]][row["seed"]] = row[key]
    methods = [m for m in METHODS if any(r["method"] == m for r in rows)]
    lines = [f"| data, reads kept | {' | '.join(methods)} |",
             "| --- |" + " ---: |" * len(methods)]  # fmt: skip
    for dataset in DATASETS:
        for kept in KEPT:
            plain = values[dataset, kept, "no-op"]
            told = [
                cell(values[dataset, kept, m], plain, m != "no-op" and key != "seconds")
                for m in methods
            ]
            lines.append(f"| {dataset}, {100 * kept:.0f} % | {' | '.join(told)} |")
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def cell(own: dict[int, float], plain: dict[int, float], compared: bool) -> str:
    if not own:
        return ""
    mean = np.mean(list(own.values()))
    if not compared:
        return f"{mean:.3f}"
    gaps = np.array([own[seed] - plain[seed] for seed in own])
    if len(gaps) == 1:
        return f"{mean:.3f} ({gaps[0]:+.3f})"
    drawn = np.random.default_rng(0).integers(0, len(gaps), (1000, len(gaps)))
    low, high = np.quantile(gaps[drawn].mean(axis=1), [0.025, 0.975])
    return f"{mean:.3f} ({low:+.3f}, {high:+.3f})"


if __name__ == "__main__":
    main()
