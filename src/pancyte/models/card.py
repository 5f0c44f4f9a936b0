"""The model card: what the model is, what it has seen, and what it is not good for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import jinja2

from pancyte.models.held_out import how_and_scores, limits_of

TEMPLATE = """\
# {{ name }}

{{ description }}

| | |
|---|---|
| parameters | {{ "{:,}".format(parameters) }} |
| vocabulary | {{ "{:,}".format(features) }} features |
| tokenizer | {{ tokenizer }} |
| backbone | {{ backbone }} |
| objective | {{ objective }}{% if settings %}: {{ settings }}{% endif %} |
| species | {{ species | join(", ") }} |
| made with | pancyte {{ version }} |

## What it has seen in pre-training

{% if trained_on -%}
| dataset | cells | licence | content hash |
|---|---|---|---|
{% for item in trained_on -%}
| {{ item.name }} | {{ "{:,}".format(item.cells) }} | {{ item.licence or "not known" }} | \
`{{ item.content_hash[:16] }}` |
{% endfor %}
No label entered the training. A benchmark on one of these datasets is marked as seen.
{%- else -%}
Nothing: its weights are random.
{%- endif %}

## How it was trained

{% if training -%}
{% for key, value in how.items() -%}
- {{ key }}: {{ value }}
{% endfor -%}
{%- else -%}
It was not.
{%- endif %}
{% if scores %}
## How well it guesses held-out cells

Losses, the lower the better, of this model, of a trivial predictor that ignores the cell, and of
the best other simple predictor, on the same questions. A model that does not beat them has learned
little.

| what | model | trivial | best simple rival | who is best |
|---|---|---|---|---|
{% for row in scores -%}
| {{ row.term }} | {{ row.model }} | {{ row.trivial }} | {{ row.rival }} | {{ row.best }} |
{% endfor %}
{%- endif %}
{%- if cost %}
## What it cost

{% for key, value in cost.items() -%}
- {{ key }}: {{ value }}
{% endfor %}
{%- endif %}
## Known limits

{% for limit in limits -%}
- {{ limit }}
{% endfor %}
A pre-trained embedding is not better than highly variable genes and PCA by default. Compare the two
on your data with `pancyte bench` before you rely on either.
"""


@dataclass(frozen=True)
class Card:
    """What a model folder's ``README.md`` and ``config.json`` say about the model.

    Attributes
    ----------
    name
        Short name; embeddings are stored as ``X_<name>``.
    description
        One sentence.
    species
        Species whose gene names are in the vocabulary.
    trained_on
        For each pre-training dataset its ``name``, number of ``cells`` and ``content_hash``; its
        ``licence`` and ``citation`` where they are known.
    training
        Steps, tokens, seconds, seed; losses on held-out cells under ``held out …`` beside those of
        the trivial predictor (``trivial …``) and of other simple ones (``rival …``).
    cost
        Time, device, operations, energy, as text.
    limits
        What it is not good for, one sentence each, beside what follows from the training.
    """

    name: str = "model"
    description: str = "A single-cell foundation model."
    species: list[str] = field(default_factory=list)
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, str] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``config.json``."""
        return asdict(self)

    def markdown(self, **facts: Any) -> str:
        """Render the card; `facts` are what the model itself knows (sizes, parts, version)."""
        how, scores = how_and_scores(self.training)
        template = jinja2.Environment(autoescape=False, trim_blocks=False).from_string(TEMPLATE)  # noqa: S701 -- Markdown, not HTML
        told = {**self.as_dict(), "limits": [*self.limits, *limits_of(self, scores)]}
        return template.render(**told, how=how, scores=scores, **facts)
