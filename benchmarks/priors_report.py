"""Turn what ``priors.py`` measured into a page: means over seeds, paired differences, verdicts."""

import numpy as np
import pandas as pd
from scipy.stats import t

PRIORS = ("coexpression", "go", "pathways", "gene2vec")
SETS = ("baron-human", "hao-pbmc")
INTRO = """# Prior vectors of genes

What it brings to start gene embeddings from what is known of genes: `coexpression` of the
training cells themselves, `go` and `pathways` (gene sets), and `gene2vec` (Du et al., BMC Genomics
2019) as a file of the user's; each of 64 numbers. Beside them `random` vectors, and each prior
*shuffled*: its vectors dealt out to other genes. Only what beats its shuffled self comes from
knowing genes.
"""
SETTING = """
- training: 3,000 cells of kang-pbmc-ifnb, 2,365 of covid-balf, 1,786 of lung-delorey, 559 of
  celltypist-sample; held out whole: 500 labelled cells each of baron-human and hao-pbmc, in types
  of at least 15 cells
- 2,500 variable genes, of which 20 %, drawn by the seed, are kept from every model; width 64, depth
  2, {steps} steps of 2,048 tokens: about the smallest models that can be trained, so read the
  tables as a comparison of starts, not of finished models
- {seeds} seeds, each with other weights, other order and other genes kept away. Differences are
  paired by seed; ± is half of a 95 % t interval{few}. {cpu:.0f} minutes of one core, without
  reading the data.
"""


def report(rows: pd.DataFrame, head: list[str], conditions: tuple[str, ...]) -> str:
    """Write the page; conditions that not all seeds have are named and left out."""
    counts = rows.groupby("condition")["seed"].nunique()
    seeds = int(counts.max())
    left_out = [name for name in conditions if counts.get(name, 0) < seeds]
    table = rows[~rows["condition"].isin(left_out)].set_index(["condition", "seed"])
    steps = sorted(int(name[5:]) for name in table if name.startswith("loss_"))
    said = SETTING.format(
        steps=steps[-1], seeds=seeds, cpu=rows["cpu"].sum() / 60,
        few=", wide with so few" if seeds < 5 else "",
    )  # fmt: skip
    lines = [INTRO, *head, said.strip()]
    if left_out:
        told = "; ".join(left_out)
        lines.append(f"- **not yet measured with every seed, so nothing is said of**: {told}")
    sections = (losses(table, steps), transfers(table), unseen(table), verdicts(table, steps))
    return "\n".join([*lines, *(f"\n{section}" for section in sections)]) + "\n"


def losses(table: pd.DataFrame, steps: list[int]) -> str:
    marks = [f"loss_{step}" for step in steps]
    usual, ridge = (table[name].mean() for name in ("trivial", "ridge"))
    return f"""## Learning: held-out loss

Squared error of masked values of known genes in both held-out datasets, lower is better; in
brackets the difference to `none`. The gene's mean has {usual:.3f}, ridge regression {ridge:.3f}.

{grid(table, marks, [f"{step} steps" for step in steps])}"""


def transfers(table: pd.DataFrame) -> str:
    marks = [f"f1_{stage}{name}" for stage in ("untrained_", "") for name in SETS]
    titles = [f"{name}, {stage}" for stage in ("untrained", "trained") for name in SETS]
    return f"""## Zero-shot cell vectors

Macro-F1 of labels from nearest neighbours in other donors or lanes, higher is better; in brackets
the difference to `none`. Untrained are random weights with the prior kept, the control
`random-weights`.

{grid(table, marks, titles)}"""


def unseen(table: pd.DataFrame) -> str:
    table = table.drop(index="none", level="condition", errors="ignore").copy()
    for name in SETS:
        table[f"gain_{name}"] = table[f"f1_more_{name}"] - table[f"f1_{name}"]
    constant = table["constant"].mean()
    marks = ["known_dropped", "unseen", *(f"gain_{name}" for name in SETS)]
    titles = [
        "have a vector",
        "error",
        "above the best constant",
        *(f"F1 gained, {n}" for n in SETS),
    ]
    rows = ["| condition | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(titles)]
    for condition, own in in_order(table):
        over = own["unseen"] - own["constant"]
        cells = [f"{own[marks[0]].mean():.0%}", f"{own['unseen'].mean():.3f}", spread(over)]
        rows.append(f"| {condition} | " + " | ".join([*cells, *(spread(own[m]) for m in marks[2:])])
                    + " |")  # fmt: skip
    return f"""## Genes that were never trained on

`Model.extended` gives the genes kept from training their projected prior. Their values are masked,
among others that are off, and asked for: squared error, lower is better, beside the best constant
there is ({constant:.3f}), which knows the answers' mean. The last columns say what reading these
genes too adds to macro-F1 of the same model that leaves them out. `coexpression` has met these
genes in the training cells, although the network has not; the others know them from elsewhere.

""" + "\n".join(rows)


def verdicts(table: pd.DataFrame, steps: list[int]) -> str:
    asked = {
        f"loss at {steps[0]} steps": (f"loss_{steps[0]}", -1),
        f"loss at {steps[-1]} steps": (f"loss_{steps[-1]}", -1),
        **{f"F1 {name}": (f"f1_{name}", 1) for name in SETS},
        "unseen genes": ("unseen", -1),
    }
    have = set(table.index.get_level_values("condition"))
    rows = ["| prior | against | " + " | ".join(asked) + " |", "|---|---|" + "---|" * len(asked)]
    for prior in PRIORS:
        for control in (f"{prior}, shuffled", "random"):
            if {prior, control} <= have:
                found = [
                    judged((table.loc[prior, mark] - table.loc[control, mark]) * sign, sign)
                    for mark, sign in asked.values()
                ]
                rows.append(f"| {prior} | {control.split(', ')[-1]} | " + " | ".join(found) + " |")
    cold = "coexpression, never cold"
    if cold in have:
        found = [
            judged((table.loc["coexpression", mark] - table.loc[cold, mark]) * sign, sign)
            for mark, sign in asked.values()
        ]
        rows.append("| coexpression | never cold | " + " | ".join(found) + " |")
    if len(rows) == 2:
        rows = ["No prior and its control have both been measured with every seed."]
    return """## Does the prior know anything?

Each prior against vectors that say nothing of genes, and (`never cold`) against itself without
leaving out genes' own parts in training. Better or worse where the interval of the paired
difference leaves out 0.

""" + "\n".join(rows)


def grid(table: pd.DataFrame, marks: list[str], titles: list[str]) -> str:
    rows = ["| condition | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(titles)]
    for condition, own in in_order(table):
        cells = []
        for mark in marks:
            mean = f"{own[mark].mean():.3f}"
            gap = own[mark] - table.loc["none", mark]
            cells.append(mean if condition == "none" else f"{mean} ({spread(gap)})")
        rows.append(f"| {condition} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def in_order(table: pd.DataFrame):
    conditions = list(dict.fromkeys(table.index.get_level_values("condition")))
    order = {name: place for place, name in enumerate(("none", "random", *PRIORS))}
    conditions.sort(key=lambda name: (order[name.split(",")[0]], name))
    return [(name, table.loc[name]) for name in conditions]


def half_width(gap: pd.Series) -> float:
    if len(gap) < 2:
        return np.inf
    return float(t.ppf(0.975, len(gap) - 1) * gap.std() / len(gap) ** 0.5)


def spread(gap: pd.Series) -> str:
    return f"{gap.mean():+.3f} ± {half_width(gap):.3f}"


def judged(better: pd.Series, sign: int) -> str:
    told = spread(better * sign)
    if abs(better.mean()) <= half_width(better):
        return f"no difference ({told})"
    return f"**{'better' if better.mean() > 0 else 'worse'}** ({told})"
