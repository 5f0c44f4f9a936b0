"""Annotation that says how sure it is, on unseen donors, studies and technologies.

Usage: ``python benchmarks/annotation.py [-m MODEL ...] [--seeds 1] [--work DIR] [--only TITLE]``.
Every fold's answers are kept in DIR, so an interrupted benchmark goes on; the table is made of
what is there. Each type is held out in turn in the first fold of each set.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import annotation_tables as tables
import numpy as np
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.corpus.cells import column, to_cells
from pancyte.corpus.splits import stratified_subsample
from pancyte.deciding.decision import Decider, Decision, Limits, shown
from pancyte.deciding.folds import make_folds
from pancyte.deciding.likeness import alike
from pancyte.deciding.novelty import COMBINED, Strangeness, novelty_p_values
from pancyte.deciding.routes import routes
from pancyte.shapes import Cells

ALPHAS = (0.05, 0.1, 0.2)
FEWEST = 5


@dataclass(frozen=True)
class Setting:
    """A data set, what is held out of it, and what the reference holds out of itself."""

    title: str
    kind: str
    dataset: str
    group: str
    donor_key: str | None
    query: str | None = None


SETTINGS = (
    Setting("kang, donors", "donor", "kang-donors", "donor", None),
    Setting("baron, donors", "donor", "baron-human", "donor", "donor"),
    Setting("pancreas, studies", "study", "pancreas-4studies", "Dataset", "Dataset"),
    Setting("hao, lanes", "donor", "hao-pbmc", "batch", "batch"),
    Setting("pancreas, donors", "donor", "pancreas-4studies", "donor", "donor"),
    Setting("pancreas to baron", "study", "pancreas-4studies", "", "Dataset", "baron-human"),
    Setting("pancreas, technologies", "technology", "pancreas-4studies", "assay", "Dataset"),
)
AUTHORS = "Original_annotation"
"""What those who measured the cells of `pancreas-4studies` called them; ``cell_type`` is from a
later curation of all four studies."""
CALLED = {
    "acinar": "pancreatic acinar cell",
    "duct": "pancreatic ductal cell",
    "alpha": "pancreatic A cell",
    "beta": "type B pancreatic cell",
    "delta": "pancreatic D cell",
    "pp": "pancreatic PP cell",
    "gamma": "pancreatic PP cell",
    "endothelial": "endothelial cell",
    "stellate": "pancreatic stellate cell",
    "activated stellate": "pancreatic stellate cell",
    "quiescent stellate": "pancreatic stellate cell",
    "mesenchymal": "pancreatic stellate cell",
    "macrophage": "macrophage",
}
"""How their names begin."""
NOVEL = ("pancreas, donors", "baron, donors", "hao, lanes", "kang, donors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/annotation"))
    parser.add_argument("--only", help="part of a title; the table is made of all there is")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    models = [pan.load(model) for model in given.model]
    pan.settings.verbosity = 0
    for seed in range(given.seeds):
        for setting in SETTINGS:
            if given.only is None or given.only in setting.title:
                run(setting, models, seed, given.work)
    lines = stamp("python benchmarks/annotation.py", "scikit-learn", "numpy")
    text = tables.page(given.work, lines, [model.name for model in models])
    (RESULTS / "annotation.md").write_text(text, encoding="utf-8")


def run(setting: Setting, models: list[pan.Model], seed: int, work: Path) -> None:
    cells = labelled(setting.dataset)
    for fold, known, asked in outer(setting, cells):
        path = work / f"{setting.title}.{fold}.{seed}.npz"
        if path.exists():
            continue
        started = time.process_time()
        labels = column(known, "cell_type")
        part = known.select(stratified_subsample(labels, 0.8 if seed else 1.0, seed=seed))
        decider = Decider(routes(models), donor_key=setting.donor_key, seed=seed)
        decider.fit(part, "cell_type", query=asked)
        arrays = answers(decider, asked, setting.group if setting.query is None else "")
        arrays["seconds"] = np.array(time.process_time() - started)
        if setting.title in NOVEL and fold == 0:
            arrays |= without_each(decider, part, asked)
        arrays |= {"title": np.array(setting.title), "kind": np.array(setting.kind)}
        np.savez_compressed(path, **arrays)
        print(
            setting.title, fold, seed, f"{arrays['seconds']:.0f} s", decider.choice.why, flush=True
        )


def labelled(name: str) -> Cells:
    adata = pan.load_dataset(name)
    cells = to_cells(adata, name=name)
    return cells.select(column(cells, "cell_type") != "")


def outer(setting: Setting, cells):
    if setting.query is not None:
        yield 0, cells, labelled(setting.query)
        return
    groups = column(cells, setting.group)
    labels = column(cells, "cell_type")
    codes = make_folds(cells, labels, donor_key=setting.group).codes
    for fold in np.unique(codes):
        asked = cells.select(np.flatnonzero(codes == fold))
        assert not set(groups[codes == fold]) & set(groups[codes != fold])
        yield int(fold), cells.select(np.flatnonzero(codes != fold)), asked


def answers(decider: Decider, asked, group: str) -> dict[str, np.ndarray]:
    """All that the tables need of one fold, whose cells are of such groups."""
    names = [route.name for route in decider.routes]
    given = decider.answers(asked, names)
    chosen = decider.choice.chosen
    decision = decider.conclude(asked, given, Limits())
    truth = column(asked, "cell_type")
    known = np.isin(truth, decider.classes)
    code = np.searchsorted(decider.classes, truth[known])
    arrays = {
        "truth": truth[known],
        "authors": by_authors(asked)[known],
        "group": column(asked, group)[known] if group else np.zeros(known.sum()),
        "chosen": decision.best[known],
        "route": np.array(chosen.name),
        "why": np.array(decider.choice.why),
        "wrong": np.array(decider.choice.wrong),
        "probability": decision.probabilities[known].max(axis=1),
        "raw": np.mean([given[name] for name in chosen.members], axis=0)[known].max(axis=1),
        "novelty": decision.novelty[known],
        "reasons": decision.reasons[known].astype(str),
        "trust": decision.trust[known],
        "doubtful": doubtful(decision)[known],
        "routes": np.array(names),
        "baselines": np.array([route.baseline for route in decider.routes]),
        "by_route": np.stack(
            [decider.classes[given[name][known].argmax(axis=1)] for name in names]
        ),
    }
    for alpha in ALPHAS:
        for by_class in (False, True):
            limits = Limits(alpha=alpha, by_class=by_class)
            sets = decider.sets(asked, decision.probabilities, limits)
            left = shown(sets, decision.probabilities, decision.second)[known]
            tag = f"{alpha}{' by type' if by_class else ''}"
            arrays[f"in {tag}"] = sets[known][np.arange(len(code)), code]
            arrays[f"shown {tag}"] = left[np.arange(len(code)), code]
            arrays[f"size {tag}"] = left.sum(axis=1)
    return arrays


def by_authors(cells: Cells) -> np.ndarray:
    """Cell type by the authors' own name, (cells,); empty if there is none that says it."""
    if AUTHORS not in cells.obs:
        return np.full(len(cells), "")
    names = np.char.lower(column(cells, AUTHORS).astype(str))
    types = np.full(len(names), "", dtype=object)
    for begin, label in CALLED.items():
        types[np.char.startswith(names, begin)] = label
    return types.astype(str)


def doubtful(decision: Decision) -> np.ndarray:
    """Find the cells given a label that a second opinion doubts, (cells,) bool."""
    if decision.second is None:
        return np.zeros(len(decision.best), dtype=bool)
    return decision.second.doubted


def without_each(decider: Decider, known, asked) -> dict[str, np.ndarray]:
    """Hold each type out of the reference: is it noticed, and what is still answered right?

    Calibration is by the other types' held-out cells, from the folds of the whole reference.
    """
    truth, labels = column(asked, "cell_type"), column(known, "cell_type")
    chosen = decider.choice.chosen
    whole, near = decider.reference, alike(asked.counts)
    arrays = {}
    for name in np.unique(labels):
        if min((truth == name).sum(), (labels == name).sum()) < FEWEST:
            continue
        decider.reference = known.select(labels != name)
        given = chosen.combine(decider.answers(asked, chosen.members), near)
        fitted = Strangeness(decider.reference, asked).fit(column(decider.reference, "cell_type"))
        scores, others = fitted.scores(), decider.labels != name
        p_values = novelty_p_values(
            decider.strange[others][:, COMBINED],
            scores[:, COMBINED],
            calibration_near=decider.near[others][:, others],
            near=near,
        )
        kept = np.isin(truth, decider.classes)
        arrays[f"novel {name}"] = np.column_stack(
            [
                truth[kept] == name,
                decider.classes[given.argmax(axis=1)][kept] == truth[kept],
                given.max(axis=1)[kept],
                p_values[kept],
                *scores[kept].T,
            ]
        )
    decider.reference = whole
    return arrays


if __name__ == "__main__":
    main()
