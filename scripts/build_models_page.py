"""Write docs/models.md from the table of published models.

Usage: ``python scripts/build_models_page.py``. A test compares the page with what this makes.
"""

from pathlib import Path

from pancyte.models.published import Published, published

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
HEAD = """\
# Published models

What is known of {number} published models of single cells, as `pancyte models` prints it;
`pancyte models NAME` shows one, `--json` gives all to a program. The facts are kept in
`src/pancyte/models/published.yaml`, one entry a model with a citation; this page is made of them
by `python scripts/build_models_page.py`. *Checked in* says where we read the facts; those after
*not checked* come from memory of the papers, so look them up before you rely on them. A missing
or wrong model is one entry to add or mend.

*Here* is what pancyte itself can say: a `design` is a run file that trains the model's design in
miniature from scratch (see [](runs.md#designs-of-published-models)), not the model; an importer
loads its own checkpoints. Seconds are CPU seconds of one core for one cell.

No model is ranked here. Whether one is better than a simple baseline on your data is what
[benchmarks](benchmark.md) are for, and often it is not.

"""
COLUMNS = ("model", "type", "tokens", "backbone", "pre-training", "corpus", "here")


def page() -> str:
    """Render the page."""
    models = published()
    lines = [HEAD.format(number=len(models)), "## At a glance\n"]
    lines += [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines += [_row(model) for model in models]
    lines += ["", "## One by one\n"]
    lines += [section for model in models for section in _section(model)]
    return "\n".join(lines).rstrip() + "\n"


def _row(model: Published) -> str:
    here = "importer" if model.importer else "design" if model.recipe else ""
    cells = (
        f"[{model.name}](#{model.name})",
        model.type,
        model.tokens,
        model.backbone,
        "; ".join(model.pretraining),
        model.corpus,
        here,
    )
    return f"| {' | '.join(cells)} |"


def _section(model: Published) -> list[str]:
    citation, measured = model.citation, model.measured
    cited = f"[{citation.text}]({citation.link})" if citation.link else citation.text
    checked = ", ".join(model.checked) if model.checked != ["none"] else "nothing yet"
    unsure = f"; not checked: {', '.join(model.unchecked)}" if model.unchecked else ""
    cost = "not measured"
    if measured:
        numbers = []
        if measured.seconds_per_cell:
            numbers.append(f"{measured.seconds_per_cell:g} s a cell")
        if measured.memory_mib:
            numbers.append(f"{measured.memory_mib:,.0f} MiB")
        cost = f"{', '.join(numbers)} ({measured.how})"
    return [
        f"### {model.name}\n",
        f"- species: {', '.join(model.species)}",
        f"- downstream: {'; '.join(model.downstream)}",
        f"- biology: {model.insight}",
        f"- licence: {model.licence}; source: <{model.source}>",
        f"- paper: {cited}",
        f"- checked in: {checked}{unsure}",
        f"- here: {model.verified}",
        f"- cost here: {cost}\n",
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
