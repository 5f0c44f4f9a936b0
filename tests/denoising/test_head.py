import numpy as np
import pytest

from pancyte.denoising.head import ModelHead
from pancyte.errors import UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tokenizers.continuous import ContinuousTokenizer


def model_with(cells, **objective):
    return Model.create(
        ContinuousTokenizer().fit(cells),
        backbone={"name": "set", "config": {"depth": 1, "width": 32}},
        objective=objective,
        card=Card("tiny"),
    )


@pytest.mark.parametrize("likelihood", ["mse", "nb"])
def test_a_head_gives_shares_of_the_genes_it_knows(cells, likelihood):
    half = cells.counts.shape[1] // 2
    from dataclasses import replace

    known = replace(cells, counts=cells.counts[:, :half], features=cells.features.iloc[:half])
    model = model_with(known, name="masked_value", config={"likelihood": likelihood})
    shares = ModelHead(model).denoise(cells, seed=0)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    read = np.asarray(cells.counts[:, :half].sum(axis=1)).ravel()
    read = read / np.asarray(cells.counts.sum(axis=1)).ravel()
    np.testing.assert_allclose(shares[:, :half].sum(axis=1), read, atol=0.02)


def test_the_head_answers_as_in_training(cells):
    """The same numbers as the loss's own term, asked about one gene of one cell."""
    import torch

    model = model_with(cells, name="masked_value", config={"likelihood": "mse"})
    levels = ModelHead(model)._levels(cells)
    tokens = model.tokenizer(cells)
    with torch.no_grad():
        hidden = model.backbone.eval()(tokens)
        target = {
            "positions": torch.zeros(0, dtype=torch.int64),
            "cells": torch.tensor([3]),
            "ids": torch.tensor([17]),
            "values": torch.tensor([0.0]),
        }
        vector = model.objective.cell_vectors(hidden, target)[target["cells"]]
        gene = hidden.table[target["ids"]]
        said = (model.objective.question(gene) * vector).sum() + model.objective.usual(gene)[0, 0]
    assert levels[3, 17] == pytest.approx(float(said.expm1()), rel=1e-4, abs=1e-6)


def test_a_model_without_such_a_head_is_refused(cells):
    with pytest.raises(UsageError, match="contrastive"):
        ModelHead(model_with(cells, name="contrastive"))
