"""The scaling report: run the sweep of recipes/scaling-cpu.yaml, or go on with it; write its page.

python benchmarks/scaling.py [--runs FOLDER] [--write-only]
"""

import argparse
import shutil
from pathlib import Path

from stamp import RESULTS, ROOT, stamp

from pancyte import files
from pancyte.scaling.plan import load_scale
from pancyte.scaling.report import FIGURE, write_report
from pancyte.scaling.sweep import records, sweep

INTRODUCTION = """\
What more training cells, more datasets and more parameters bring, from a sweep of small models with
at most 104,384 parameters. The sweep file is `recipes/scaling-cpu.yaml`; how to run your own, and
what the words mean, is told in [](../scaling.md).

The base run is the default one: masked values with squared error, at the default learning rate of
each width. The loss is the sum of its two terms, from the token and from the cell's vector. Cells
are human blood (kang-pbmc-ifnb, three quarters of them), airway, lung and mixed immune cells;
losses are measured on the pancreas (baron-human), of which no training dataset has any. Each
cell is seen once, so more cells are also more steps. Minutes are those of a shared machine; compare
tokens and FLOPs."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sweep", type=Path, default=ROOT / "recipes" / "scaling-cpu.yaml")
    parser.add_argument("--runs", type=Path, default=Path("scaling-cpu"))
    parser.add_argument("--write-only", action="store_true", help="Report what has been run.")
    given = parser.parse_args()
    scale = load_scale(given.sweep)
    if not given.write_only:
        sweep(scale, given.runs, beside=given.sweep.parent)
    report = write_report(scale, records(given.runs), given.runs)
    shutil.copyfile(given.runs / FIGURE, RESULTS / FIGURE)
    head = ["# Scaling", "", INTRODUCTION, ""]
    head += stamp("python benchmarks/scaling.py", "torch", "numpy", "scikit-learn")
    files.write_text(RESULTS / "scaling.md", "\n".join([*head, "", report.page]))


if __name__ == "__main__":
    main()
