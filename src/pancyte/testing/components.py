"""Checks of tokenizers, priors, backbones and objectives, on real cells."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from pancyte import registry
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.models.model import build, build_objective
from pancyte.shapes import Cells, Hidden, Tokens
from pancyte.store.corpus import Corpus
from pancyte.tokenizers.tokenizer import Tokenizer
from pancyte.tokenizers.vocabulary import Vocabulary

WIDTH = 32
WITHHELD = {"embedding.value.hidden", "embedding.hidden"}
"""Vectors that stand for what is withheld: they learn only where something is."""


@cache
def some_cells(cells: int = 120) -> Cells:
    """Return a few of the shipped pancreas cells, spread over its studies."""
    whole = to_cells(load_dataset("demo-pancreas"), name="cells")
    chosen = whole.select(np.linspace(0, len(whole) - 1, cells).astype(int))
    detected = np.asarray(chosen.counts.getnnz(axis=0)).ravel() >= 3
    return Cells(chosen.counts[:, detected], chosen.features[detected], chosen.obs, chosen.context)


def check_tokenizer(name: str) -> None:
    """Demand that a tokenizer packs well, ignores the order of genes and cells, and round-trips.

    Raises
    ------
    AssertionError
        With what was found.
    """
    cells = some_cells()
    tokenizer = _fitted(name)
    tokens = tokenizer(cells)
    _packed(tokens, len(cells), len(tokenizer.vocabulary), tokenizer.config.max_length)
    rng = np.random.default_rng(0)
    genes, rows = rng.permutation(len(cells.features)), rng.permutation(len(cells))
    reordered = Cells(cells.counts[:, genes], cells.features.iloc[genes], cells.obs, cells.context)
    _same(tokens, tokenizer(reordered), "the order of genes")
    _same(
        tokens.select(torch.from_numpy(rows)), tokenizer(cells.select(rows)), "the order of cells"
    )
    settings = tokenizer.as_dict()
    assert settings["name"] == name, f"it is registered as {name!r} but named {settings['name']!r}"
    kind = registry.get("tokenizers", name)
    again = kind(
        registry.settings_of(kind, settings["config"]), Vocabulary(tokenizer.vocabulary.table)
    )
    _same(tokens, again(cells), "saving and loading")


def check_backbone(name: str, *, tokenizer: str = "") -> None:
    """Demand that a backbone reads each cell alone and that every weight matters.

    It is tried on the tokens of `tokenizer`; if that is not given, on ``rank`` where the backbone's
    `value_kind` says so, else on ``continuous``.

    Raises
    ------
    AssertionError
        With what was found.
    """
    wanted = getattr(registry.get("backbones", name), "value_kind", "continuous")
    fitted, network = _network(name, tokenizer or wanted)
    tokens = fitted(some_cells()).select(torch.arange(12))
    network.eval()
    with torch.inference_mode():
        together = network(tokens)
        assert together.tokens.shape == (len(tokens.ids), network.width)
        assert together.cls.shape == (len(tokens), network.width)
        for row in range(len(tokens)):
            alone = network(tokens.select(torch.tensor([row])))
            start, stop = tokens.offsets[row], tokens.offsets[row + 1]
            gap = (together.tokens[start:stop] - alone.tokens).abs().max()
            assert gap < 1e-5, f"cell {row} depends on the other cells by {gap:.1e}"
        _blind(network, tokens)
        if network.partial:
            _asked(network, tokens, together)
    hidden = network(tokens)
    noise = torch.Generator().manual_seed(0)
    weights = torch.randn(hidden.tokens.shape, generator=noise)
    ((hidden.tokens * weights).sum() + hidden.cls.sin().sum()).backward()
    dead = [
        key
        for key, parameter in network.named_parameters()
        if key not in WITHHELD and (parameter.grad is None or not parameter.grad.any())
    ]
    assert not dead, f"these weights get no gradient: {dead}"


def check_prior(name: str, **settings: Any) -> None:
    """Demand that a prior knows genes of the shipped cells, the same each time, at unit length.

    Parameters
    ----------
    name
        As it is registered.
    settings
        What it cannot do without, such as a file.

    Raises
    ------
    AssertionError
        With what was found.
    """
    corpus = Corpus.of(some_cells())
    kind = registry.get("priors", name)
    prior = kind(registry.settings_of(kind, settings))
    assert prior.name == name, f"it is registered as {name!r} but named {prior.name!r}"
    table, again = prior.table(corpus), prior.table(corpus)
    assert table.genes.index.is_unique, "a gene has two vectors"
    length = np.linalg.norm(table.vectors, axis=1)
    if not prior.unit:
        length = np.sqrt(np.mean(length**2, keepdims=True))
    assert np.allclose(length, 1, atol=0.01), f"a vector has length {length.min()}"
    assert (table.vectors == again.vectors).all(), "it is not the same each time"
    covered = table.coverage(corpus.features)
    assert covered > 0, "it knows none of the genes"
    one = table.vectors_of(corpus.features)[table.rows(corpus.features) >= 0]
    assert len(np.unique(one, axis=0)) > 1, "all genes have the same vector"


def check_objective(name: str) -> None:
    """Demand that an objective hides what it asks, scores only that, and trains everything.

    Raises
    ------
    AssertionError
        With what was found.
    """
    kind = registry.get("objectives", name)
    tokenizer = "rank" if getattr(kind, "value_kind", "any") == "rank" else "continuous"
    fitted, network = _network("transformer", tokenizer)
    objective = build_objective({"name": name}, fitted, network)
    tokens = _told(fitted)
    seen, target = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    again, _ = objective.corrupt(tokens, torch.Generator().manual_seed(0))
    _same(seen, again, "the same seed")
    assert "positions" in target, "the target does not tell where the questions are"
    objective.fit_trivial(tokens)
    terms, trivial = objective.loss(network(seen), target), objective.trivial_loss(target)
    assert terms.keys() == trivial.keys(), "the trivial predictor is scored on other terms"
    if (read := objective.reads(target)) is not None:
        some = objective.loss(network(seen, only=read), target)
        gap = max(float((some[key] - terms[key]).abs().detach()) for key in terms)
        assert gap < 1e-4, f"the loss reads other tokens than it says: it differs by {gap:.1e}"
    rivals = objective.rivals(seen, target)
    assert not rivals.keys() & terms.keys(), "a rival has the name of a term"
    for key, value in [*terms.items(), *trivial.items(), *rivals.items()]:
        assert value.shape == () and value.isfinite(), f"{key} is {value}"  # noqa: PT018
    torch.stack(list(terms.values())).sum().backward()
    modules = (*network.named_parameters(), *objective.named_parameters())
    withheld = seen.values.isnan().any() or (seen.ids < 0).any()
    spared = set() if withheld else WITHHELD
    dead = [k for k, p in modules if k not in spared and (p.grad is None or not p.grad.any())]
    assert not dead, f"these weights get no gradient: {dead}"


def _asked(network: Any, tokens: Tokens, whole: Hidden) -> None:
    """Demand that vectors are the same if no others are wanted, also where not all is visible."""
    only = torch.arange(0, len(tokens.ids), 3)
    places = torch.arange(len(tokens.ids)) - tokens.offsets[:-1][tokens.cell_index]
    blind = replace(tokens, visible=places)
    for seen, full in ((tokens, whole), (blind, network(blind))):
        for wanted in (only, only[:0]):
            some = network(seen, only=wanted)
            gap = (some.cls - full.cls).abs().max()
            if len(wanted):
                gap = max(gap, (some.tokens[wanted] - full.tokens[wanted]).abs().max())
            assert gap < 1e-5, f"a vector asked for by itself differs by {gap:.1e}"


def _blind(network: Any, tokens: Tokens) -> None:
    """Demand that no vector depends on a token that it may not see."""
    last = tokens.offsets[1:] - 1
    places = torch.arange(len(tokens.ids)) - tokens.offsets[:-1][tokens.cell_index]
    values = tokens.values.clone()
    # less, because a rank beyond the longest cell's last would be no rank
    values[last] -= 1
    before = network(replace(tokens, visible=places))
    after = network(replace(tokens, visible=places, values=values))
    changed = (before.tokens - after.tokens).abs().amax(dim=1)
    assert changed[last].min() > 0, "a token does not depend on its own value"
    changed[last] = 0.0
    leaked = max(changed.max(), (before.cls - after.cls).abs().max())
    assert leaked == 0, f"a vector depends by {leaked:.1e} on a token that it may not see"


def _fitted(name: str) -> Tokenizer:
    kind = registry.get("tokenizers", name)
    return kind(registry.settings_of(kind, {"max_length": 64})).fit(some_cells())


def _network(name: str, tokenizer: str) -> tuple[Tokenizer, Any]:
    fitted = _fitted(tokenizer)
    network = build(
        "backbones",
        {"name": name, "config": {"depth": 2, "width": WIDTH}},
        features=len(fitted.vocabulary),
        value_kind=fitted.value_kind,
        places=fitted.config.max_length,
        context={},
    )
    return fitted, network


def _told(tokenizer: Tokenizer) -> Tokens:
    """Tokenise, and say of each cell which dataset it is from."""
    cells = some_cells()
    tokens = tokenizer(cells)
    studies = cells.obs["study"].astype("category").cat.codes.to_numpy(np.int64)
    context = {**tokens.context, "dataset": torch.from_numpy(studies + 1)}
    return replace(tokens, context=context)


def _packed(tokens: Tokens, cells: int, features: int, max_length: int) -> None:
    assert len(tokens) == cells, f"{len(tokens)} rows for {cells} cells"
    assert int(tokens.offsets[-1]) == len(tokens.ids) == len(tokens.values), "offsets do not fit"
    assert int(tokens.lengths.max()) <= max_length, "a cell is longer than max_length"
    assert int(tokens.ids.min()) >= 0, "an id is negative"
    assert int(tokens.ids.max()) < features, "an id is outside the vocabulary"
    assert tokens.values.isfinite().all(), "a value is not finite"


def _same(one: Tokens, two: Tokens, what: str) -> None:
    equal = torch.equal(one.ids, two.ids) and torch.equal(one.offsets, two.offsets)
    close = equal and torch.allclose(one.values, two.values, rtol=1e-5, equal_nan=True)
    assert close, f"{what} changes the tokens"
