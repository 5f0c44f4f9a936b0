"""The tables of `annotation.py`, from the answers it kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from pancyte.deciding.novelty import VIEWS
from pancyte.metrics.classification import ece, macro_f1

REPLICATES = 1000
ALPHAS = ("0.05", "0.1", "0.2")


def page(work: Path, lines: list[str], models: list[str]) -> str:
    """All tables as one Markdown page."""
    folds = [load(path) for path in sorted(work.glob("*.npz"))]
    titles = list(dict.fromkeys(str(fold["title"]) for fold in folds))
    groups = {title: [f for f in folds if str(f["title"]) == title] for title in titles}
    seconds = sum(float(fold["seconds"]) for fold in folds)
    head = [
        "# Annotation that says how sure it is\n",
        "Each group in turn is labelled after the others by `pan.tl.annotate`, which chooses its "
        "way to label by cross-validation inside the reference. Cells of a type that the "
        "reference lacks are not scored, except in the last table.\n",
        *lines,
        f"- {len(folds)} answers, {len(by_seed(folds))} seeds for each fold: the first learns from "
        "the whole reference, each other one from four fifths of it, drawn anew; "
        f"{seconds:.0f} CPU-s for choosing, labelling and all single routes; models tried: "
        f"{', '.join(models) or 'none'}",
        "- numbers are means over seeds, ± their standard deviation over seeds; intervals: 95 %, "
        "by drawing cells anew within each fold; ECE with 15 bins, of all folds of a seed together",
        "- when a second opinion counts as a doubt, and what trust is, was chosen on these folds "
        "and on the pairs of [laboratories](laboratories.md), like the ways that learn from the "
        "query and what temperatures weigh; which cells are alike, and that their labels and "
        "strangeness count, was chosen on these folds alone; so what these are worth is a little "
        "too good; on damaged cells ([stress](stress.md)) only the likeness to profiles was\n",
    ]
    parts = [goals(groups), labels(groups), confidence(groups), authors(groups)]
    parts += [sets(groups), novelty(groups)]
    return "\n".join([*head, *parts])


def load(path: Path) -> dict[str, np.ndarray]:
    """What is kept of one fold, and of which seed it is."""
    return {**np.load(path), "seed": np.array(path.stem.rsplit(".", 1)[1])}


def by_seed(folds) -> list[list[dict[str, np.ndarray]]]:
    """Folds that were answered with the same seed."""
    seeds = dict.fromkeys(str(fold["seed"]) for fold in folds)
    return [[fold for fold in folds if str(fold["seed"]) == seed] for seed in seeds]


def over_seeds(folds, value: Callable[..., float]) -> np.ndarray:
    """What all folds of a seed give, for each seed."""
    return np.array([value(part) for part in by_seed(folds)])


def table(header: list[str], rows: list[list[str]]) -> str:
    align = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, align, *rows]) + "\n"


def interval(values: np.ndarray) -> str:
    return f"[{np.quantile(values, 0.025):.3f}, {np.quantile(values, 0.975):.3f}]"


def goals(groups) -> str:
    """What was asked for, kept or missed, by setting."""
    rows, every = [], []
    for title, folds in groups.items():
        chosen, scores, best = single_routes(folds)
        gaps = over_seeds(folds, lambda part, best=best: gap(part, best))
        errors = over_seeds(folds, lambda part: calibration_error(*chosen_right(part)))
        sure = over_seeds(folds, by_trust)
        covered = [
            over_seeds(folds, lambda part, key=f"in {alpha}": whole(part, key).mean())
            for alpha in ALPHAS
        ]
        off = [
            abs(each.mean() - (1 - float(alpha)))
            for each, alpha in zip(covered, ALPHAS, strict=True)
        ]
        every += (areas := [area(each) for _, each in held_out(folds)])
        rows.append(
            [
                title,
                kept(gaps, "{:+.3f}", chosen - scores[best] >= -0.01),
                kept(errors, "{:.3f}", errors.mean() <= 0.03),
                ", ".join(spread(each, "{:.3f}") for each in covered) + missed(max(off) <= 0.02),
                f"{np.mean(areas):.3f}" if areas else "",
                kept(sure, "{:.3f}", sure.mean() >= 0.97),
            ]
        )
    mean = np.mean(every)
    held = f"{mean:.3f}{missed(mean >= 0.85)}"
    rows.append([f"mean of {len(every)} missing types", "", "", "", held, ""])
    head = ["setting", "macro-F1, chosen − best single baseline ≥ −.01", "ECE ≤ .03"]
    head += [
        "coverage of .95, .90, .80 within .02",
        "novelty AUROC ≥ .85 in mean",
        "surest 66 % ≥ .97",
    ]
    return (
        "## Against the goals\n\nCalibration and coverage are promised for unseen donors of the "
        "same study (donors, lanes); what is left of them under another study or technology is in "
        "the other rows. Kang's reference is a single donor under two conditions, which are "
        "further apart than the two donors: its cells are held out by chance and made like the "
        "query's.\n\n" + table(head, rows)
    )


def whole(folds, key: str) -> np.ndarray:
    """One array of all folds' cells."""
    return np.concatenate([fold[key] for fold in folds])


def kept(values: np.ndarray, shape: str, well: bool) -> str:
    return spread(values, shape) + missed(well)


def missed(well: bool) -> str:
    """Mark a goal that is not kept."""
    return "" if well else ", **missed**"


def spread(values: np.ndarray, shape: str) -> str:
    """Mean over seeds ± standard deviation."""
    error = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return shape.format(values.mean()) + error


def gap(folds, best: int) -> float:
    """By how much the answer's mean macro-F1 is above that of a single route."""
    return float(np.mean([score(f, f["chosen"]) - score(f, f["by_route"][best]) for f in folds]))


def area(seeds: list[np.ndarray]) -> float:
    """AUROC of the novelty p-value for a missing type's cells, mean over seeds."""
    return float(np.mean([roc_auc_score(found[:, 0] == 1, -found[:, 3]) for found in seeds]))


def single_routes(folds) -> tuple[float, np.ndarray, int]:
    """Mean macro-F1 of the answer and of every single route, and which simple one is best."""
    scores = np.array([[score(f, row) for row in f["by_route"]] for f in folds]).mean(axis=0)
    chosen = float(np.mean([score(f, f["chosen"]) for f in folds]))
    simple = np.flatnonzero(folds[0]["baselines"])
    return chosen, scores, simple[scores[simple].argmax()]


def chosen_right(folds) -> tuple[np.ndarray, np.ndarray]:
    """Whether each label is right, and how probable it is said to be."""
    right = whole(folds, "truth") == whole(folds, "chosen")
    return right, whole(folds, "probability")


def surest(right: np.ndarray, trust: np.ndarray) -> float:
    """Accuracy of the two thirds that are trusted most."""
    first = np.argsort(-trust, kind="stable")[: round(0.66 * len(trust))]
    return float(right[first].mean())


def by_trust(folds) -> float:
    """Accuracy of the two thirds with the highest trust."""
    return surest(chosen_right(folds)[0], whole(folds, "trust"))


def held_out(folds) -> list[tuple[str, list[np.ndarray]]]:
    """Types taken out of the reference, and what was then said of each cell, for each seed."""
    names = sorted({key for fold in folds for key in fold if key.startswith("novel ")})
    return [(name[6:], [fold[name] for fold in folds if name in fold]) for name in names]


def labels(groups) -> str:
    rows, names = [], None
    for title, folds in groups.items():
        names = folds[0]["routes"].tolist()
        chosen, scores, best = single_routes(folds)
        gap = np.mean([redrawn(f, best) for f in folds], axis=0)
        said = "**" if chosen - scores[best] < -0.01 else ""
        rows.append(
            [
                title,
                str(len(folds)),
                *[f"{value:.3f}" for value in (chosen, *scores)],
                f"{said}{chosen - scores[best]:+.3f}{said} {interval(gap)}",
            ]
        )
    head = ["setting", "folds", "chosen", *names, "chosen − best single baseline"]
    return (
        "## Macro-F1: no regret\n\nMeans over folds. The best single baseline is the one with the "
        "best mean in that row, known only afterwards.\n\n" + table(head, rows)
    )


def score(fold, answer) -> float:
    return macro_f1(fold["truth"], answer)


def redrawn(fold, best: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    cells = len(fold["truth"])
    weights = [rng.multinomial(cells, np.full(cells, 1 / cells), size=REPLICATES).astype(float)]
    arrays = [
        {"y_true": fold["truth"], "y_pred": a} for a in (fold["chosen"], fold["by_route"][best])
    ]
    ours, theirs = (macro_f1.resampled(given, weights) for given in arrays)
    return ours - theirs


def confidence(groups) -> str:
    rows = []
    for title, folds in groups.items():
        right, given = chosen_right(folds)
        novelty = whole(folds, "novelty")
        labelled = whole(folds, "reasons") == ""
        doubtful = whole(folds, "doubtful")
        rows.append(
            [
                title,
                f"{right.mean():.3f}",
                f"{given.mean():.3f}",
                calibration(folds, "raw"),
                calibration(folds, "probability"),
                f"{over_seeds(folds, lambda part: surest(*chosen_right(part))).mean():.3f}",
                f"{over_seeds(folds, by_trust).mean():.3f}",
                f"{labelled.mean():.3f}",
                f"{right[labelled].mean():.3f}",
                f"{doubtful.mean():.3f}",
                f"{right[doubtful].mean():.3f}" if doubtful.any() else "",
                f"{np.mean(novelty < 0.01):.3f}",
                f"{np.mean(novelty < 0.1):.3f}",
                f"{np.mean([fold['wrong'] for fold in folds]):.3f}",
            ]
        )
    head = [
        "setting",
        "accuracy",
        "mean probability",
        "ECE raw",
        "ECE",
        "accuracy of the surest 66 % by probability",
        "by trust",
    ]
    head += ["labelled at alpha .1", "accuracy of these", "given a doubtful label"]
    head += ["accuracy of these", "novelty p < .01", "p < .1", "labels said to be wrong"]
    return (
        "## Confidence\n\nAll folds together. *Doubtful*: a second opinion, L1 logistic "
        "regression, gives this label less often than it did on held-out cells; *trust* is then "
        "the second opinion's probability of the label if that is lower. Novelty p < .01 and < .1 "
        "should be .01 and .1: all these cells are of known types. The last column is the share of "
        "the reference's labels, mean over folds.\n\n" + table(head, rows)
    )


def authors(groups) -> str:
    """What is left of errors where the labels that are scored are those of the cells' authors."""
    rows = []
    for title, folds in groups.items():
        if not (whole(folds, "authors") != "").any():
            continue
        agreed = [{**fold, **where(fold, fold["authors"] == fold["truth"])} for fold in folds]
        other = (whole(folds, "authors") != whole(folds, "truth")) & (whole(folds, "authors") != "")
        given = whole(folds, "chosen")[other]
        errors = over_seeds(agreed, lambda part: calibration_error(*chosen_right(part)))
        covered = [whole(agreed, f"in {alpha}").mean() for alpha in ALPHAS]
        rows.append(
            [
                title,
                f"{len(whole(agreed, 'truth')) / len(whole(folds, 'truth')):.3f}",
                f"{chosen_right(agreed)[0].mean():.3f}",
                spread(errors, "{:.3f}"),
                spread(over_seeds(agreed, by_trust), "{:.3f}"),
                ", ".join(f"{share:.3f}" for share in covered),
                f"{other.mean():.3f}",
                f"{(given == whole(folds, 'authors')[other]).mean():.3f}",
                f"{(given == whole(folds, 'truth')[other]).mean():.3f}",
            ]
        )
    head = ["setting", "authors agree", "accuracy of these", "ECE", "surest 66 %"]
    head += ["coverage of .95, .90, .80", "authors say another type"]
    head += ["given the authors' type", "given the scored one"]
    return (
        "## Are the labels that are scored right?\n\nTypes of the four pancreas studies are from "
        "one curation of all of them; each study's authors had named its cells themselves. Where "
        "the two part, neither is always right. 24 cells of Muraro's and 39 of Fasolino's that "
        "their authors call acinar are ductal cells by the curation: they have the acinar *CPA1* "
        "(2.9 and 5.1 in the mean, log-normalised; ductal cells .2 and 1.3) and little of the "
        "ductal *KRT19* (.4 and .4; ductal cells 2.0 and 1.4). 42 that Fasolino's call "
        "endothelial are stellate cells by the curation: they have no *PECAM1* and as much "
        "*PDGFRB* as those. Such labels are learned from, too. Here is what is left where both "
        "say the same, and which of the two `annotate` gives where they part.\n\n"
        + table(head, rows)
    )


def where(fold, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of some of a fold's cells."""
    cells = len(rows)
    return {
        key: value[rows]
        for key, value in fold.items()
        if value.ndim and len(value) == cells and not key.startswith("novel ")
    }


def calibration(folds, key: str) -> str:
    """ECE, and its interval with the same cells drawn for every seed that has all of them yet."""
    rng = np.random.default_rng(0)
    parts = [(chosen_right(part)[0], whole(part, key)) for part in by_seed(folds)]
    cells = max(len(right) for right, _ in parts)
    parts = [part for part in parts if len(part[0]) == cells]
    weights = [rng.multinomial(cells, np.full(cells, 1 / cells), size=200).astype(float)]
    redone = np.mean([ece.resampled(binned(*part), weights) for part in parts], axis=0)
    return f"{np.mean([calibration_error(*part) for part in parts]):.3f} {interval(redone)}"


def calibration_error(right: np.ndarray, given: np.ndarray) -> float:
    return ece.score(binned(right, given))


def binned(right: np.ndarray, given: np.ndarray) -> dict[str, np.ndarray]:
    answer = right.astype(float)
    return {"y_true": np.ones(len(right)), "y_pred": answer, "probabilities": given[:, None]}


def sets(groups) -> str:
    rows = []
    for title, folds in groups.items():
        for alpha in ALPHAS:

            def mean(key: str, folds=folds) -> float:
                return float(whole(folds, key).mean())

            rows.append(
                [
                    title,
                    alpha,
                    f"{mean(f'in {alpha}'):.3f}",
                    by_group(folds, f"in {alpha}"),
                    f"{mean(f'shown {alpha}'):.3f}",
                    f"{mean(f'size {alpha}'):.2f}",
                    f"{mean(f'shown {alpha} by type'):.3f}",
                    worst(folds, f"shown {alpha}"),
                    worst(folds, f"shown {alpha} by type"),
                    f"{mean(f'size {alpha} by type'):.2f}",
                ]
            )
    head = ["setting", "alpha", "coverage", "mean of groups", "as shown"]
    head += [
        "labels in it",
        "by type",
        "worst type, as shown",
        "worst type, by type",
        "labels in it, by type",
    ]
    return (
        "## Label sets\n\nHow often the set holds the true label; nominal is 1 − alpha. The first "
        "two columns are the sets as calibrated, which may be empty: over all cells, and the mean "
        "of each donor's (lane's, study's), ± its standard error; *as shown*, the best label "
        "always stays, and so does a second opinion on a doubtful one. *By type* is "
        "class-conditional. A type needs 20 cells to be a worst one.\n\n" + table(head, rows)
    )


def by_group(folds, key: str) -> str:
    group, held = (whole(folds, name) for name in ("group", key))
    rates = np.array([held[group == name].mean() for name in np.unique(group)])
    error = rates.std(ddof=1) / len(rates) ** 0.5 if len(rates) > 1 else 0.0
    return f"{rates.mean():.3f}" + f" ± {error:.3f}" * (len(rates) > 1)


def worst(folds, key: str) -> str:
    truth, held = (whole(folds, name) for name in ("truth", key))
    names, counts = np.unique(truth, return_counts=True)
    enough = names[counts >= 20 * len(by_seed(folds))]
    rates = [held[truth == name].mean() for name in enough]
    return f"{min(rates):.3f}"


def novel(found: np.ndarray) -> list[float]:
    """How well a missing type is noticed, and what is still labelled rightly, by one seed."""
    new, right, given, p = found[:, 0] == 1, found[:, 1] == 1, found[:, 2], found[:, 3]
    views = [roc_auc_score(new, found[:, 4 + view]) for view in range(len(VIEWS))]
    flagged = [(p[new] < level).mean() for level in (0.01, 0.1)]
    trust = np.log(given) + np.log(p)
    return [roc_auc_score(new, -p), *views, *flagged, right.mean(), surest(right, trust)]


def novelty(groups) -> str:
    rows, everything = [], []
    for title, folds in groups.items():
        for name, seeds in held_out(folds):
            means = np.mean([novel(found) for found in seeds], axis=0)
            everything.append([title, *means])
            cells = str(int(seeds[0][:, 0].sum()))
            rows.append([f"{title}: {name}", cells, *[f"{n:.3f}" for n in means]])
    head = ["held-out type", "cells", "AUROC", *VIEWS, "flagged at .01", "flagged at .1"]
    head += ["accuracy", "accuracy of the surest 66 %"]
    for title in groups:
        means = [row[1:] for row in everything if row[0] == title]
        if means:
            rows.append([f"**mean, {title}**", "", *[f"{n:.3f}" for n in np.mean(means, axis=0)]])
    if everything:
        rows.append(
            [
                "**mean of all**",
                "",
                *[f"{n:.3f}" for n in np.mean([r[1:] for r in everything], axis=0)],
            ]
        )
    return (
        "## A type the reference does not have\n\nEach type of at least 5 cells on both sides is "
        "taken out of the reference, in the first fold of each set. AUROC: its cells against those "
        "of known types, by the novelty p-value and by each view alone. A cell of the missing type "
        "counts as wrong; the surest are those with the largest product of probability and p.\n\n"
        + table(head, rows)
    )
