"""Teach a model genes that it never saw, from its prior vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn

from pancyte.corpus.genes import match
from pancyte.corpus.naming import naming_of
from pancyte.errors import UsageError
from pancyte.priors.table import PriorTable

if TYPE_CHECKING:
    from pancyte.models.model import Model


def unseen_genes(model: Model, features: pd.DataFrame) -> pd.DataFrame:
    """List the genes among some features that the model does not know but has a prior of.

    Parameters
    ----------
    model
        A model with priors.
    features
        One row per feature; a column ``median``, over the cells that express it and of counts
        scaled as the tokenizer scales them, is used where there is one.

    Returns
    -------
    Rows to append to the vocabulary, each gene once. A gene whose median is not given gets the
    median of the vocabulary's medians: it is the same whatever cells are asked about, so a
    cell's vector does not depend on the cells beside it.

    Raises
    ------
    UsageError
        If the model has no priors.
    """
    priors, known = _priors(model), model.tokenizer.vocabulary.table
    rows = priors.rows(features)
    fresh = (match(features, known).columns < 0) & (rows >= 0)
    # the vocabulary may know a gene by another name than these features do
    fresh &= ~np.isin(rows, priors.rows(known))
    fresh &= ~pd.Series(rows).duplicated().to_numpy()
    genes = priors.genes.iloc[rows[fresh]]
    by_id = naming_of(known.index) == "ensembl"
    table = pd.DataFrame(index=pd.Index(genes.index if by_id else genes["symbol"], name="feature"))
    for column in known.columns:
        if column in ("symbol", "ensembl_id"):
            names = genes["symbol"] if column == "symbol" else genes.index
            table[column] = names.to_numpy(object)
        else:
            table[column] = float(known[column].median()) if column == "median" else 0.0
    if "median" in features:
        given = features["median"].to_numpy(np.float64)[fresh]
        table["median"] = np.where(given > 0, given, table["median"])
    return table[~table.index.isin(known.index)]


def vectors_of(model: Model, table: pd.DataFrame) -> torch.Tensor:
    """Return the prior vectors of features, zeros where there is none, (features, dims)."""
    return torch.from_numpy(_priors(model).vectors_of(table))


def grown(part: nn.Module, smaller: nn.Module) -> None:
    """Copy weights into a module for more features; what is new among them is zero.

    Parameters
    ----------
    part
        Its tensors are those of `smaller`, or longer along their first axis.
    smaller
        Where the weights come from.
    """
    weights = {}
    for name, value in smaller.state_dict().items():
        more = len(part.state_dict()[name]) - len(value) if value.ndim else 0
        weights[name] = (
            torch.cat([value, value.new_zeros(more, *value.shape[1:])]) if more else value
        )
    part.load_state_dict(weights)


def _priors(model: Model) -> PriorTable:
    if model.priors is None:
        raise UsageError(
            f"The model {model.name!r} has no priors, so it cannot know an unseen gene.",
            fix="Pre-train one with priors: [{name: coexpression}] in the run file.",
        )
    return model.priors
