"""What a training log's last scores say about a model, for its card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pancyte.models.card import Card


def how_and_scores(training: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Divide what is known of a training into how it was done, and a table of losses by term."""
    prefixes = ("held out ", "trivial ", "rival ")
    how = {key: value for key, value in training.items() if not key.startswith(prefixes)}
    terms = [key.removeprefix("held out ") for key in training if key.startswith("held out ")]
    return how, [_row(term, training) for term in terms if f"trivial {term}" in training]


def _row(term: str, training: dict[str, Any]) -> dict[str, Any]:
    model, trivial, start = training[f"held out {term}"], training[f"trivial {term}"], len(term) + 7
    rivals = {
        name[start:]: value for name, value in training.items() if name.startswith(f"rival {term} ")
    }
    name = min(rivals, key=lambda rival: rivals[rival]) if rivals else ""
    everyone = {"the model": model, "trivial": trivial, **rivals}
    return {
        "term": term,
        "model": model,
        "trivial": trivial,
        "rival": f"{rivals[name]} ({name})" if rivals else "",
        "best": min(everyone, key=lambda one: everyone[one]),
    }


def limits_of(card: Card, scores: list[dict[str, Any]]) -> list[str]:
    """Say what follows from the training itself about where a model can be trusted."""
    found = []
    if card.species:
        found.append(f"It knows the genes of {' and '.join(card.species)} only.")
    if len(card.trained_on) == 1:
        found.append("It has seen one dataset: other tissues and technologies are new to it.")
    beaten = ", ".join(row["term"] for row in scores if row["best"] != "the model")
    if beaten:
        found.append(f"A simple predictor guesses held-out cells better than it: {beaten}.")
    unlicensed = ", ".join(
        item["name"] for item in card.trained_on if item.get("licence", "unknown") == "unknown"
    )
    if unlicensed:
        found.append(f"The licence is not known of {unlicensed}.")
    return found
