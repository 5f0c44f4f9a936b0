"""The model card: what the model is, what it has seen, and what it is not good for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import jinja2

TEMPLATE = """\
# {{ name }}

{{ description }}

| | |
|---|---|
| parameters | {{ "{:,}".format(parameters) }} |
| vocabulary | {{ "{:,}".format(features) }} features |
| tokenizer | {{ tokenizer }} |
| backbone | {{ backbone }} |
| objective | {{ objective }} |
| species | {{ species | join(", ") }} |
| made with | pancyte {{ version }} |

## What it has seen in pre-training

{% if trained_on -%}
| dataset | cells | content hash |
|---|---|---|
{% for item in trained_on -%}
| {{ item.name }} | {{ "{:,}".format(item.cells) }} | `{{ item.content_hash[:16] }}` |
{% endfor %}
No label entered the training. A benchmark on one of these datasets is marked as seen.
{%- else -%}
Nothing: its weights are random.
{%- endif %}

## How it was trained

{% if training -%}
{% for key, value in training.items() -%}
- {{ key }}: {{ value }}
{% endfor -%}
{%- else -%}
It was not.
{%- endif %}

## Known limits

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
        For each pre-training dataset its ``name``, number of ``cells`` and ``content_hash``.
    training
        Steps, tokens, seconds, held-out losses beside those of the trivial predictor, seed.
    """

    name: str = "model"
    description: str = "A single-cell foundation model."
    species: list[str] = field(default_factory=list)
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``config.json``."""
        return asdict(self)

    def markdown(self, **facts: Any) -> str:
        """Render the card; `facts` are what the model itself knows (sizes, parts, version)."""
        template = jinja2.Environment(autoescape=False, trim_blocks=False).from_string(TEMPLATE)  # noqa: S701 -- Markdown, not HTML
        return template.render(**self.as_dict(), **facts)
