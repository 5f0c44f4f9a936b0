"""Preparation: find out what an AnnData holds before anything is computed from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.corpus.checks import Findings


def check(adata: AnnData) -> Findings:
    """Say what cells hold: species, gene names, where the counts are, labels and batches.

    Returns
    -------
    What was found; ``.line()`` and ``.report()`` are for people, ``.as_dict()`` for machines.
    """
    from pancyte.corpus.checks import inspect

    return inspect(adata)
