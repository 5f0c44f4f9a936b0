"""Pre-train the recipe's model, run shipped suites, and write their tables.

Usage: ``python benchmarks/suites.py pancreas pbmc [--work FOLDER]``. What is in FOLDER already (the
model, a suite's results) is used as it is, so an interrupted benchmark goes on.
"""

import argparse
import datetime
import os
from pathlib import Path

import pandas as pd
from stamp import ROOT, commit, processor

import pancyte as pan
from pancyte.benchmark.results import Results
from pancyte.benchmark.suite import load_suite, run_suite

RECIPE = ROOT / "recipes" / "tissues-cpu.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="+")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    folder = given.work / "tissues-small"
    model = pan.load(folder) if folder.exists() else pan.pretrain(RECIPE, folder)
    for name in given.suites:
        path = given.work / f"{name}.json"
        suite = load_suite(name)
        if not path.exists():
            run_suite(suite, [model]).to_json(path)
        results = Results.from_json(path)
        title = f"Suite {name}"
        text = [f"# {title}\n", suite.description, "", *circumstances(model, results), ""]
        text += [spread(results), results.to_markdown()]
        (ROOT / "docs" / "results" / f"{name}.md").write_text("\n".join(text), encoding="utf-8")
        print("\n".join(results.sentences()))


def circumstances(model: pan.Model, results: Results) -> list[str]:
    """Under which circumstances the table was made."""
    trained = model.card.training
    names = ", ".join(item["name"] for item in model.card.trained_on)
    return [
        f"- made by `python benchmarks/suites.py`, {datetime.date.today()}, commit {commit()}",
        f"- machine: {processor()}, {os.cpu_count()} cores, no GPU",
        f"- seeds: {sorted(results.table['seed'].unique().tolist())}; each takes another 80 % of "
        "the reference",
        f"- model: {model.name} ({sum(p.numel() for p in model.backbone.parameters()):,} "
        f"parameters), pre-trained on {names} for {trained['steps']} steps "
        f"({trained['seconds']:.0f} s)",
        f"- held-out loss of its pre-training: value {trained['held out value']}, gene mean "
        f"{trained['trivial value']}; from the cell's vector {trained['held out cell']}",
        "- numbers are means over folds and seeds; a verdict gives the difference to the best "
        "baseline with its 95 % interval",
    ]


def spread(results: Results) -> str:
    """Mean and range over runs of the headline metric, by method."""
    table = results.table
    headline = {(v["dataset"], v["task"]): v["metric"] for v in results.verdicts if v["headline"]}
    chosen = pd.Series(list(zip(table["dataset"], table["task"], strict=True))).map(headline)
    rows = table[(table["metric"] == chosen.to_numpy())]
    keys = ["dataset", "task", "method", "adaptation"]
    found = rows.groupby(keys, sort=False)["value"].agg(["mean", "std", "min", "max", "count"])
    lines = ["## Headline metric over folds and seeds\n"]
    lines += ["| dataset | task | method | adaptation | metric | mean | sd | range | runs |"]
    lines += ["|---|---|---|---|---|---:|---:|---:|---:|"]
    for (dataset, task, method, adaptation), row in found.iterrows():
        lines.append(
            f"| {dataset} | {task} | {method} | {adaptation} | {headline[dataset, task]} | "
            f"{row['mean']:.3f} | {row['std']:.3f} | {row['min']:.3f}–{row['max']:.3f} | "
            f"{int(row['count'])} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
