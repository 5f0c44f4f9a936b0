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
What more training cells, more datasets and more parameters bring, from a sweep of small models. The
sweep file is `recipes/scaling-cpu.yaml`; how to run your own is told in [](../scaling.md)."""


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
