"""The model card: what the model is, what it has seen, and what it is not good for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import jinja2

from pancyte.models.held_out import how_and_scores, limits_of

TEMPLATE = """\
{% if licence -%}
---
library_name: pancyte
license: {{ licence.lower() if licence.lower() in known else "other" }}
{%- if licence.lower() not in known %}
license_name: {{ licence | tojson }}
{%- endif %}
tags: [single-cell, biology]
---
{% endif -%}
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
{% if licence -%}
| licence | {{ licence }} |
{% endif -%}
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
{% if metrics -%}
## How it compares

| dataset | task | metric | this model | best baseline | better by | 95 % interval | wins |
|---|---|---|---:|---|---:|---|---|
{% for item in metrics -%}
| {{ item.dataset }}{{ " (seen in pre-training)" if item.seen }} | {{ item.task }} | \
{{ item.metric }} ({{ item.adaptation }}) | {{ "%.3f" % item.model_value }} | \
{{ item.baseline }} {{ "%.3f" % item.baseline_value }} | {{ "%+.3f" % item.difference }} | \
{{ "%.3f" % item.low }} to {{ "%.3f" % item.high }} | {{ item.winner }} |
{% endfor %}
{% endif -%}
## Known limits

{% for limit in limits -%}
- {{ limit }}
{% endfor %}
A pre-trained embedding is not better than highly variable genes and PCA by default. Compare the two
on your data with `pancyte bench` before you rely on either.
"""


# as the hub's own list of licences spells them
LICENCES = {
    *("agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0"),
    *("cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-4.0", "cc0-1.0"),
    *("gpl-3.0", "lgpl-3.0", "mit", "mpl-2.0", "unlicense"),
}


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
    licence
        Licence of the weights, such as ``"CC-BY-4.0"``; ``""`` if none is given.
    metrics
        Verdicts of a benchmark: this model beside the best baseline.
    limits
        What it is not good for, one sentence each, beside what follows from the training.
    """

    name: str = "model"
    description: str = "A single-cell foundation model."
    species: list[str] = field(default_factory=list)
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, str] = field(default_factory=dict)
    licence: str = ""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``config.json``."""
        return asdict(self)

    def markdown(self, **facts: Any) -> str:
        """Render the card; `facts` are what the model itself knows (sizes, parts, version)."""
        how, scores = how_and_scores(self.training)
        template = jinja2.Environment(autoescape=False, trim_blocks=False).from_string(TEMPLATE)  # noqa: S701 -- Markdown, not HTML
        own = self.as_dict()
        own["limits"] = [*self.limits, *limits_of(self, scores)]
        return template.render(**own, how=how, scores=scores, known=LICENCES, **facts)
