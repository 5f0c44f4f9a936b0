"""Annotation of a query from another laboratory than the reference, with and without rehearsal.

Usage: ``python benchmarks/laboratories.py [--work FOLDER]``. Needs ``PANCYTE_DATA``. All pairs of a
reference and a query that the data have: each study of pancreas after each other, blood of three
laboratories, blood with and without interferon, cell lines on two protocols. What FOLDER has is
not asked again. Writes ``docs/results/laboratories.md``.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.corpus.cells import column, to_cells
from pancyte.corpus.splits import stratified_subsample
from pancyte.deciding.decision import Decider, Limits
from pancyte.deciding.routes import BASELINES, routes
from pancyte.metrics.classification import ece, macro_f1
from pancyte.shapes import Cells

REFERENCE, QUERY = 2000, 1000
TRANSDUCTIVE = ("self-trained", "shifted-centroid")
OTHERS = tuple(name for name in BASELINES if name not in TRANSDUCTIVE)
BLOOD = {
    "T cells CD4 conv": "CD4 T cells",
    "Tregs": "CD4 T cells",
    "T cells CD8": "CD8 T cells",
    "mDC": "Dendritic cells",
    "Platelet": "Megakaryocytes",
    "CD14+ Monocytes": "Monocytes",
    "FCGR3A+ Monocytes": "Monocytes",
}
"""Names that Hao's and the other blood have in common."""
SHOWN = {
    "macro-F1": "macro_f1",
    "accuracy": "accuracy",
    "ECE": "ece",
    "surest 66 %": "surest",
    "coverage of .90": "coverage",
    "labels in a set": "size",
    "labelled": "labelled",
    "accuracy of these": "labelled_right",
    "novelty p < .01": "novel",
    "p < .1": "novel_tenth",
}
Pair = tuple[str, Cells, Cells]


class Unrehearsed(Decider):
    """Takes held-out cells as they are, however the query was measured."""

    def _rehearse(self) -> float:
        return 0.0


WAYS = {
    "annotate": (Decider, BASELINES),
    "without rehearsal": (Unrehearsed, BASELINES),
    "without shifts and self-training": (Decider, OTHERS),
    "without either": (Unrehearsed, OTHERS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/laboratories"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    pan.settings.verbosity = 0
    rows = []
    for name, reference, query in pairs():
        path = given.work / f"{name}.json"
        if not path.exists():
            found = asked(_few(reference, REFERENCE), _few(query, QUERY))
            path.write_text(json.dumps(found), encoding="utf-8")
            print(name, flush=True)
        rows += [{"pair": name, **row} for row in json.loads(path.read_text(encoding="utf-8"))]
    text = page(pd.DataFrame(rows))
    (RESULTS / "laboratories.md").write_text(text, encoding="utf-8")
    print(text)


def pairs() -> Iterator[Pair]:
    pancreas = labelled("pancreas-4studies")
    studies = {
        str(s).split()[0]: _only(pancreas, "Dataset", s) for s in _values(pancreas, "Dataset")
    }
    yield from _each_after_each({**studies, "Baron": labelled("baron-human")})
    blood = {"pbmc3k": "pbmc3k", "Kang": "kang-control", "Hao": "hao-pbmc"}
    yield from _each_after_each({title: labelled(name) for title, name in blood.items()})
    for name, key in (("kang-pbmc-ifnb", "condition"), ("sc-mixology", "batch")):
        cells = labelled(name)
        yield from _each_after_each({v: _only(cells, key, v) for v in _values(cells, key)[:2]})


def _each_after_each(parts: dict[str, Cells]) -> Iterator[Pair]:
    for known, asked in permutations(parts, 2):
        yield f"{known} to {asked}", parts[known], parts[asked]


@cache
def labelled(name: str) -> Cells:
    cells = to_cells(pan.load_dataset(name), name=name)
    labels = np.array([BLOOD.get(label, label) for label in column(cells, "cell_type")], object)
    cells = replace(cells, obs=cells.obs.assign(cell_type=labels))
    return cells.select(np.flatnonzero(labels != ""))


def asked(reference: Cells, query: Cells) -> list[dict[str, Any]]:
    """Label a query in every way; one row of scores for each, and for each baseline alone."""
    rows, truth = [], column(query, "cell_type")
    for way, (kind, baselines) in WAYS.items():
        decider = kind(routes((), baselines=baselines), seed=0)
        decision = decider.fit(reference, "cell_type", query=query).decide(query, Limits())
        known = np.isin(truth, decider.classes)
        code = np.searchsorted(decider.classes, truth[known])
        probabilities = decision.probabilities[known]
        right = probabilities.argmax(axis=1) == code
        surest = np.argsort(-decision.trust[known], kind="stable")[: round(0.66 * len(code))]
        sets = decider.sets(query, decision.probabilities, Limits())[known]
        labelled, second = decision.reasons[known] == "", decision.second
        agreed = (np.nan, np.nan) if second is None else second.over_all.tolist()
        rows.append({
            "way": way,
            "apart": decider.laboratory.spread,
            "macro_f1": float(macro_f1(truth[known], decision.best[known])),
            "accuracy": float(right.mean()),
            "ece": float(ece(truth[known], decision.best[known], probabilities)),
            "surest": float(right[surest].mean()),
            "coverage": float(sets[np.arange(len(code)), code].mean()),
            "size": float(sets.sum(axis=1).mean()),
            "labelled": float(labelled.mean()),
            "labelled_right": float(right[labelled].mean()) if labelled.any() else np.nan,
            "agreed_before": agreed[0],
            "agreed": agreed[1],
            "novel": float((decision.novelty[known] < 0.01).mean()),
            "novel_tenth": float((decision.novelty[known] < 0.1).mean()),
        })  # fmt: skip
        if way == "annotate":
            given = decider.answers(query, [route.name for route in decider.routes])
            rows += [
                {
                    "way": f"{name} alone",
                    "macro_f1": float(macro_f1(truth[known], decider.classes[best])),
                    "accuracy": float((best == code).mean()),
                }
                for name, answer in given.items()
                for best in [answer[known].argmax(axis=1)]
            ]
    return rows


def page(table: pd.DataFrame) -> str:
    lines = [
        "# Another laboratory\n",
        "Cell types of a query from another study, laboratory, protocol or condition than the",
        "reference. That is of a single one, so no held-out cells show how laboratories differ.",
        "`annotate` makes held-out cells like the query's before it chooses and calibrates",
        "(*rehearsal*), and has shifted profiles and self-training among its ways; here with and",
        "without each.\n",
        *stamp("python benchmarks/laboratories.py", "scikit-learn", "numpy"),
        f"- {table['pair'].nunique()} pairs, one seed; at most {REFERENCE:,} reference and "
        f"{QUERY:,} query cells, drawn alike from every type; no models",
        "- the surest 66 % are those of the highest trust; a second opinion is L1 regression's",
        "- means over pairs; in brackets 95 % intervals by drawing pairs anew; pairs share data",
        "- rehearsal, shifted profiles and self-training were developed on these pairs, averages, "
        "self-training and the second opinion also on the folds of [annotation](annotation.md)\n",
        "## Means\n",
        *_lines(_means(table)),
        "",
        _verdict(table),
        ".90 of the sets should hold the label; .01 and .1 of the cells of known types should have "
        "such p-values.\n",
        "## By pair\n",
        "*Apart*: standard deviation, between genes, of the logarithm of how many times as often a "
        "gene is read as its cell types explain.\n",
        *_lines(_pairs(table)),
        "",
    ]
    return "\n".join(lines)


def _means(table: pd.DataFrame) -> pd.DataFrame:
    rng, made = np.random.default_rng(0), {}
    for title, metric in SHOWN.items():
        values = table.pivot_table(index="pair", columns="way", values=metric, dropna=False)
        draws = rng.integers(len(values), size=(2000, len(values)))
        low, high = np.nanquantile(values.to_numpy()[draws].mean(axis=1), [0.025, 0.975], axis=0)
        made[title] = {
            way: "" if np.isnan(mean) else f"{mean:.3f} [{low[i]:.3f}, {high[i]:.3f}]"
            for i, (way, mean) in enumerate(values.mean().items())
        }
    shown = pd.DataFrame(made)
    alone = [way for way in shown.index if way not in WAYS]
    order = [*WAYS, *sorted(alone, key=lambda way: shown.loc[way, "macro-F1"], reverse=True)]
    return shown.loc[order].rename_axis("way").reset_index()


def _verdict(table: pd.DataFrame) -> str:
    """Hold `annotate` against the single way that is best in mean, known only afterwards."""
    scores = table.pivot_table(index="pair", columns="way", values="macro_f1")
    alone = scores[[way for way in scores if way not in WAYS]]
    best = alone.mean().idxmax()
    gaps = (scores["annotate"] - alone[best]).to_numpy()
    draws = np.random.default_rng(0).integers(len(gaps), size=(2000, len(gaps)))
    low, high = np.quantile(gaps[draws].mean(axis=1), [0.025, 0.975])
    said = f"difference {gaps.mean():+.3f} [{low:+.3f}, {high:+.3f}] in macro-F1"
    if low > 0:
        return f"`annotate` is ahead of {best}: {said}.\n"
    if high < 0:
        return f"**{best} would have been better than the choice**: {said}.\n"
    return f"No difference is shown between `annotate` and {best}, the best single way: {said}.\n"


def _pairs(table: pd.DataFrame) -> pd.DataFrame:
    scores = table.pivot_table(index="pair", columns="way", values="macro_f1")
    covered = table.pivot_table(index="pair", columns="way", values="coverage")
    alone = scores[[way for way in scores if way not in WAYS]]
    ours = table[table["way"] == "annotate"].set_index("pair")
    made = pd.DataFrame({
        "apart": ours["apart"],
        "macro-F1": scores["annotate"],
        "without either": scores["without either"],
        "best baseline alone, with hindsight": alone.max(axis=1),
        "coverage of .90": covered["annotate"],
        "without either: coverage": covered["without either"],
        "second opinion the same, held out": ours["agreed_before"],
        "in the query": ours["agreed"],
    })  # fmt: skip
    text = made.map("{:.2f}".format)
    text.insert(4, "which", alone.idxmax(axis=1).str.removesuffix(" alone"))
    return text.reset_index()


def _lines(table: pd.DataFrame) -> list[str]:
    words = [table.columns, *table.to_numpy()]
    rows = [f"| {' | '.join(str(word).strip() for word in row)} |" for row in words]
    numbers = len(table.columns) - 1
    return [rows[0], "|---|" + "---:|" * numbers, *rows[1:]]


def _few(cells: Cells, most: int) -> Cells:
    labels = column(cells, "cell_type")
    return cells.select(stratified_subsample(labels, min(1.0, most / len(labels)), seed=0))


def _values(cells: Cells, key: str) -> list[str]:
    return np.unique(column(cells, key)).tolist()


def _only(cells: Cells, key: str, value: str) -> Cells:
    return cells.select(np.flatnonzero(column(cells, key) == value))


if __name__ == "__main__":
    main()
