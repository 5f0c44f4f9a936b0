"""Several objectives at once, each by its weight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pancyte import registry
from pancyte.errors import UsageError
from pancyte.objectives.objective import Objective, Target
from pancyte.shapes import Hidden, Tokens


@dataclass(frozen=True)
class CombinedConfig:
    """What is combined.

    Attributes
    ----------
    parts
        For each a mapping with the ``name`` of a registered objective, its ``weight`` (1 unless
        given), and its settings beside them or under ``config``.
    """

    parts: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"name": "masked_value", "weight": 1.0},
            {"name": "contrastive", "weight": 0.5},
        ]
    )


class Combined(Objective):
    """Ask several kinds of question about the same cells, and add up the weighted losses.

    Each part withholds in its own way from its own copy of the minibatch, and the network reads all
    copies at once; so a step costs what the parts together cost, and no part sees what another
    one hides. Terms are named ``<part>_<term>``, and so are those of each part's trivial predictor.
    """

    name = "combined"
    Config = CombinedConfig

    def __init__(self, config: CombinedConfig, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.parts: dict[str, Objective] = {}
        self.weights: dict[str, float] = {}
        for number, given in enumerate(config.parts, start=1):
            part, weight = _built(given, width, features)
            label = part.name if part.name not in self.parts else f"{part.name}_{number}"
            self.parts[label], self.weights[label] = part, weight
        self.heads = nn.ModuleDict(self.parts)
        if not self.parts:
            raise UsageError(
                "A combined objective has no parts.",
                fix="Give parts: [{name: masked_value, weight: 1}, …].",
            )
        kinds = {part.value_kind for part in self.parts.values()} - {"any"}
        if len(kinds) > 1:
            raise UsageError(
                f"The parts {', '.join(self.parts)} work on {' and '.join(sorted(kinds))} values.",
                fix="Combine objectives on values of one kind.",
            )
        self.value_kind = kinds.pop() if kinds else "any"

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Let every part withhold from a copy of its own; the copies stand behind one another."""
        views, questions = [], []
        target: Target = {}
        for label, part in self.parts.items():
            seen, asked = part.corrupt(tokens, generator)
            views.append(seen)
            questions.append(asked["positions"])
            target |= {f"{label}.{name}": value for name, value in asked.items()}
        target["positions"] = torch.cat(questions)
        target["cells"] = torch.tensor([len(seen) for seen in views])
        return Tokens.join(views), target

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Every part's weighted terms, each from its own copy of the cells."""
        terms: dict[str, Tensor] = {}
        start = 0
        for (label, part), cells in zip(self.parts.items(), target["cells"].tolist(), strict=True):
            scored = part.loss(hidden.part(start, start + cells), _own(target, label))
            terms |= self._weighted(label, scored)
            start += cells
        return terms

    def fit_trivial(self, tokens: Tokens) -> None:
        """Let every part learn its trivial predictor."""
        for part in self.parts.values():
            part.fit_trivial(tokens)

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Every part's trivial predictor, with the part's weight."""
        terms: dict[str, Tensor] = {}
        for label, part in self.parts.items():
            terms |= self._weighted(label, part.trivial_loss(_own(target, label)))
        return terms

    def rivals(self, seen: Tokens, target: Target) -> dict[str, Tensor]:
        """Every part's further predictors, with the part's weight."""
        terms: dict[str, Tensor] = {}
        rows = torch.arange(len(seen), device=seen.ids.device)
        copies = rows.split(target["cells"].tolist())
        for (label, part), own in zip(self.parts.items(), copies, strict=True):
            rivals = part.rivals(seen.select(own), _own(target, label))
            terms |= self._weighted(label, rivals)
        return terms

    def initialise(self, seed: int) -> None:
        """Draw every part's weights anew; equal parts differ."""
        for number, part in enumerate(self.parts.values()):
            part.initialise(seed + number)

    def tell_detection(self, detection: Tensor) -> None:
        """Tell every part."""
        for part in self.parts.values():
            part.tell_detection(detection)

    def _weighted(self, label: str, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        weight = self.weights[label]
        return {f"{label}_{name}": weight * value for name, value in terms.items()}


def _built(given: dict[str, Any], width: int, features: int) -> tuple[Objective, float]:
    """Make one part from its name, weight and settings."""
    settings = {key: value for key, value in given.items() if key not in ("name", "weight")}
    if "name" not in given:
        raise UsageError(f"A part of a combined objective has no name: {given}.", fix="Give one.")
    weight = given.get("weight", 1.0)
    if not isinstance(weight, int | float) or not weight > 0:
        raise UsageError(f"The part {given['name']!r} has the weight {weight!r}.", fix="Give > 0.")
    kind = registry.get("objectives", given["name"])
    config = registry.settings_of(kind, settings.pop("config", {}) | settings)
    return kind(config, width=width, features=features), float(weight)


def _own(target: Target, label: str) -> Target:
    prefix = f"{label}."
    return {
        name.removeprefix(prefix): value
        for name, value in target.items()
        if name.startswith(prefix)
    }
