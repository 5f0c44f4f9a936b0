"""What accidents do to labels: the suite ``stress`` for baselines, models and `annotate`.

Usage: ``python benchmarks/stress.py [-m MODEL ...] [--seeds N] [--work FOLDER]``. Needs
``PANCYTE_DATA``. Writes ``docs/results/stress.md`` and its figure; what FOLDER has already is not
asked again.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from kept import answers
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.benchmark.results import Results
from pancyte.benchmark.suite import load_suite
from pancyte.pl.stress import severities, stress
from pancyte.tasks.stress import NONE

SHOWN = ("macro_f1", "worst_f1", "ece", "accuracy", "answered", "accuracy_answered")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/stress"))
    given = parser.parse_args()
    pan.settings.verbosity = 0
    models, suite = [pan.load(name) for name in given.model], load_suite("stress")
    results = answers(suite, models, seeds=given.seeds, folder=given.work)
    stress(results, save=RESULTS / "stress.png")
    text = page(results, suite.description)
    (RESULTS / "stress.md").write_text(text, encoding="utf-8")
    print(text)


def page(results: Results, description: str) -> str:
    """Return the page: means over stresses, and each kind at its worst."""
    table = severities(results)
    seeds = results.table["seed"].nunique()
    lines = [
        "# Stress\n",
        description,
        "What happens, and how hard, is told in [](../benchmark.md).\n",
        *stamp("python benchmarks/stress.py -m pancyte-mini", "scikit-learn", "numpy"),
        f"- {seeds} seed{'s' * (seeds > 1)}; at most 2,000 reference and 1,000 query cells",
        f"- datasets: {', '.join(table['dataset'].unique())}\n",
        "## Over all kinds and severities\n",
        "Means over datasets, kinds and severities (each kind weighs alike) ± the standard error "
        "over seeds, and in brackets the same cells before anything happened.\n",
        *_table(_means(results.table)),
        "",
        "![Curves of severity](stress.png)\n",
        "## Each kind at its worst\n",
        "Macro-F1, mean over datasets, at the highest severity; ECE of the same in brackets.\n",
        *_table(_worst(table)),
        "",
    ]
    if results.failed:
        lines += ["## Failed\n", *(f"- {row['method']}: {row['error']}" for row in results.errors)]
    return "\n".join([*lines, ""])


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    parts = {seed: severities(part) for seed, part in rows.groupby("seed")}
    table = pd.concat(parts, names=["seed"]).reset_index("seed")
    keys = ["way", "metric", "seed"]
    struck = table[table["stress"] != NONE]
    kinds = struck.groupby([*keys, "stress"], sort=False)["value"].mean()
    after = kinds.groupby(keys, sort=False).mean().groupby(["way", "metric"], sort=False)
    mean, error = after.mean().unstack(), after.sem().unstack()
    whole = table[table["stress"] == NONE]
    before = whole.groupby(["way", "metric"], sort=False)["value"].mean().unstack()
    order = mean["macro_f1"].sort_values(ascending=False).index
    made = {
        name: [
            f"{mean.loc[way, name]:.3f}{_error(error.loc[way, name])} ({before.loc[way, name]:.3f})"
            for way in order
        ]
        for name in SHOWN
        if name in mean
    }
    return pd.DataFrame(made, index=order)


def _error(value: float) -> str:
    return "" if np.isnan(value) else f" ± {value:.3f}"


def _worst(table: pd.DataFrame) -> pd.DataFrame:
    struck = table[table["stress"] != NONE]
    most = struck.groupby("stress")["severity"].transform("max")
    last = struck[struck["severity"] == most]
    means = last.groupby(["way", "stress", "metric"], sort=False)["value"].mean().unstack()
    shown = means["macro_f1"].map("{:.3f}".format) + means["ece"].map(" ({:.3f})".format)
    order = means["macro_f1"].groupby("way").mean().sort_values(ascending=False).index
    return shown.unstack().loc[order]


def _table(table: pd.DataFrame) -> list[str]:
    names = [name.replace("_", " ") for name in table.columns]
    lines = [f"| way | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    return [*lines, *(f"| {way} | {' | '.join(row)} |" for way, row in table.iterrows())]


if __name__ == "__main__":
    main()
