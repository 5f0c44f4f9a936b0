"""What accidents do to labels: the suite ``stress`` for baselines, models and `annotate`.

Usage: ``python benchmarks/stress.py [-m MODEL ...] [--seeds N] [--work FOLDER]``. Needs
``PANCYTE_DATA``. Writes ``docs/results/stress.md`` and its figure; a dataset that FOLDER has
already is not asked again.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
from pathlib import Path

import pandas as pd
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.benchmark.results import Results, together
from pancyte.benchmark.suite import Suite, load_suite, run_suite
from pancyte.pl.stress import severities, stress
from pancyte.tasks.stress import NONE

SHOWN = ("macro_f1", "worst_f1", "ece", "accuracy", "answered", "accuracy_answered")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/stress"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    pan.settings.verbosity = 0
    models, suite = [pan.load(name) for name in given.model], load_suite("stress")
    found = []
    for run in suite.runs:
        path = given.work / f"{run.name.replace(' ', '_').replace(',', '')}.json"
        if not path.exists():
            alone = Suite(name=suite.name, seeds=given.seeds, runs=[run])
            run_suite(alone, models).to_json(path)
            print(run.name, flush=True)
        found.append(Results.from_json(path))
    results = together(found)
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
        "Means over datasets, kinds and severities (each kind weighs alike), and in brackets the "
        "same cells before anything happened.\n",
        *_table(_means(table)),
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


def _means(table: pd.DataFrame) -> pd.DataFrame:
    struck = table[table["stress"] != NONE]
    kinds = struck.groupby(["way", "metric", "stress"], sort=False)["value"].mean()
    after = kinds.groupby(["way", "metric"], sort=False).mean().unstack()
    whole = table[table["stress"] == NONE]
    before = whole.groupby(["way", "metric"], sort=False)["value"].mean().unstack()
    order = after["macro_f1"].sort_values(ascending=False).index
    shown = [name for name in SHOWN if name in after]
    made = {
        name: [f"{after.loc[way, name]:.3f} ({before.loc[way, name]:.3f})" for way in order]
        for name in shown
    }
    return pd.DataFrame(made, index=order)


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
