"""What a few labelled cells are worth: the suite ``few-shot`` for baselines and adapted models.

Usage: ``python benchmarks/few_shot.py [-m MODEL ...] [--adapt KIND ...] [--seeds N] [--work
FOLDER]``. Needs ``PANCYTE_DATA``. Writes ``docs/results/few-shot.md`` and its figure; what FOLDER
has already is not asked again.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
from pathlib import Path

import pandas as pd
from kept import answers
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.benchmark.results import Results
from pancyte.benchmark.suite import load_suite
from pancyte.pl.few_shot import few_shot, shots
from pancyte.tasks.adapted import Adapted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--adapt", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/few-shot"))
    given = parser.parse_args()
    pan.settings.verbosity = 0
    models, suite = [pan.load(name) for name in given.model], load_suite("few-shot")
    methods = [*models, *(Adapted(model, kind) for model in models for kind in given.adapt)]
    results = answers(suite, methods, seeds=given.seeds, folder=given.work)
    few_shot(results, save=RESULTS / "few-shot.png")
    text = page(results, suite.description, given)
    (RESULTS / "few-shot.md").write_text(text, encoding="utf-8")
    print(text)


def page(results: Results, description: str, given: argparse.Namespace) -> str:
    """Return the page: a table of macro-F1 for each dataset, and the means over datasets."""
    table = shots(results)
    table = table[table["metric"] == "macro_f1"]
    options = [f"-m {name}" for name in given.model] + [f"--adapt {kind}" for kind in given.adapt]
    lines = [
        "# Few-shot\n",
        description,
        "What is asked is told in [](../benchmark.md).\n",
        *stamp(f"python benchmarks/few_shot.py {' '.join(options)}", "scikit-learn", "torch"),
        f"- {results.table['seed'].nunique()} seeds; at most 1,000 query cells\n",
        "Macro-F1, and its standard error over seeds.\n",
        "![Curves](few-shot.png)\n",
    ]
    means = table.groupby(["way", "shots"], sort=False)["value"].mean().unstack()
    lines += ["## Mean over datasets\n", *_table(means.map("{:.3f}".format), means), ""]
    for dataset, own in table.groupby("dataset", sort=False):
        text = own["value"].map("{:.3f}".format) + own["error"].map(" ± {:.3f}".format)
        texts = own.assign(text=text).pivot(index="way", columns="shots", values="text")
        values = own.pivot(index="way", columns="shots", values="value")
        lines += [f"## {dataset}\n", *_table(texts, values), ""]
    if results.failed:
        lines += ["## Failed\n", *(f"- {row['method']}: {row['error']}" for row in results.errors)]
    return "\n".join(lines)


def _table(texts: pd.DataFrame, values: pd.DataFrame) -> list[str]:
    order = values.mean(axis=1).sort_values(ascending=False).index
    names = [f"{n} cell{'s' * (n > 1)}" for n in texts.columns]
    lines = [f"| way | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    return [*lines, *(f"| {way} | {' | '.join(texts.loc[way])} |" for way in order)]


if __name__ == "__main__":
    main()
