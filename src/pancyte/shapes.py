"""The three shapes a datum takes: Cells (as measured), Tokens (as read), Hidden (as understood).

A cell is a set of (feature, value) tokens, and a count matrix in CSR form already is a packed
batch of such sets: ``indptr`` are the offsets, ``indices`` the ids, ``data`` the values. Packed
arrays travel all the way; padding exists only inside attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

HIDDEN_ID = -1
"""Feature id of a token whose identity is withheld from the model."""

HIDDEN_VALUE = float("nan")
"""Value of a token whose value is withheld from the model."""

COUNT_SCALE = "count scale"
"""Key of `Tokens.context` for what a cell's counts were multiplied by, to normalise its depth.

It is there only where values are log1p(count · scale), so that counts can be had back.
"""


@dataclass(frozen=True)
class Cells:
    """Cells as measured: one CSR row of counts each, with names for rows and columns.

    Attributes
    ----------
    counts
        Raw counts, (cells, features), CSR with sorted indices and no stored zeros; a matrix stored
        otherwise is copied into that form. So the same cells give the same answer however their
        file was stored, and whatever is drawn by chance for each count.
    features
        One row per feature; the index is the feature's name and further columns, such as
        ``ensembl_id`` or ``symbol``, are other names it goes by.
    obs
        One row per cell; the index is the cell's name.
    context
        One row per cell, categorical columns such as ``species``, ``assay``, ``modality``.
    name
        What to call this set of cells in messages and tables.
    """

    counts: csr_matrix
    features: pd.DataFrame
    obs: pd.DataFrame
    context: pd.DataFrame = field(default_factory=pd.DataFrame)
    name: str = "cells"

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.obs), len(self.features)):
            raise ValueError(
                f"counts are {self.counts.shape}, obs has {len(self.obs)} rows and features "
                f"{len(self.features)}."
            )
        if len(self.context.columns) and len(self.context) != len(self.obs):
            raise ValueError(f"context has {len(self.context)} rows for {len(self.obs)} cells.")
        object.__setattr__(self, "counts", ordered(self.counts))

    def __len__(self) -> int:
        return len(self.obs)

    def select(self, rows: np.ndarray) -> "Cells":
        """Return the cells at `rows` (positions or a boolean mask), in that order."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        context = self.context.iloc[rows] if len(self.context.columns) else self.context
        return replace(self, counts=self.counts[rows], obs=self.obs.iloc[rows], context=context)


def ordered(counts: csr_matrix) -> csr_matrix:
    """Return counts with sorted indices, without duplicates or stored zeros; themselves if so."""
    if not counts.has_canonical_format or not counts.data.all():
        counts = counts.copy()
        counts.sum_duplicates()
        counts.eliminate_zeros()
    return counts


@dataclass(frozen=True)
class Tokens:
    """Cells as the network reads them: packed (feature id, value) pairs, no padding.

    Attributes
    ----------
    ids
        Feature ids in a vocabulary, int64, ``HIDDEN_ID`` where withheld.
    values
        What the tokenizer made of the counts, float32, NaN where withheld.
    offsets
        Cell ``i`` owns tokens ``offsets[i]:offsets[i + 1]``; int64, first 0, last the number
        of tokens.
    context
        Per-cell codes, such as species or assay; 0 means unknown. Under `COUNT_SCALE`, float32,
        how counts became values.
    visible
        How many of its cell's first tokens each token may see, besides itself; int64. None if all
        see all. A cell's ``<cls>`` sees what its first token may, and is seen by all.
    """

    ids: Int[Tensor, " tokens"]
    values: Float[Tensor, " tokens"]
    offsets: Int[Tensor, " bounds"]
    context: dict[str, Tensor] = field(default_factory=dict)
    visible: Int[Tensor, " tokens"] | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int[Tensor, " cells"]:
        """Number of tokens of each cell."""
        return self.offsets.diff()

    @property
    def cell_index(self) -> Int[Tensor, " tokens"]:
        """For each token, the row of its cell."""
        return cell_index(self.offsets)

    def select(self, rows: Int[Tensor, " rows"]) -> "Tokens":
        """Return the cells at `rows`, in that order, packed anew."""
        lengths = self.lengths[rows]
        offsets = offsets_of(lengths)
        shift = torch.repeat_interleave(self.offsets[:-1][rows] - offsets[:-1], lengths)
        positions = torch.arange(int(offsets[-1]), device=shift.device) + shift
        return Tokens(
            self.ids[positions],
            self.values[positions],
            offsets,
            {name: codes[rows] for name, codes in self.context.items()},
            None if self.visible is None else self.visible[positions],
        )

    def to(self, device: torch.device | str) -> "Tokens":
        """Return the same tokens on `device`."""
        return Tokens(
            self.ids.to(device),
            self.values.to(device),
            self.offsets.to(device),
            {name: codes.to(device) for name, codes in self.context.items()},
            None if self.visible is None else self.visible.to(device),
        )

    @classmethod
    def join(cls, parts: Sequence["Tokens"]) -> "Tokens":
        """Put several packed sets of cells behind one another."""
        visible = None
        if any(part.visible is not None for part in parts):
            visible = torch.cat([part._seen() for part in parts])
        return cls(
            torch.cat([part.ids for part in parts]),
            torch.cat([part.values for part in parts]),
            offsets_of(torch.cat([part.lengths for part in parts])),
            {name: torch.cat([part.context[name] for part in parts]) for name in parts[0].context},
            visible,
        )

    def _seen(self) -> Tensor:
        return self.lengths[self.cell_index] if self.visible is None else self.visible


@dataclass(frozen=True)
class Hidden:
    """Cells as the network understands them: a vector for each token and each cell.

    Attributes
    ----------
    tokens
        Contextual vectors of the tokens, packed as in `Tokens`.
    cls
        The vector of each cell's ``<cls>`` position.
    offsets
        As in `Tokens`.
    table
        The input embedding of every feature, for heads that share it.
    """

    tokens: Float[Tensor, "tokens width"]
    cls: Float[Tensor, "cells width"]
    offsets: Int[Tensor, " bounds"]
    table: Float[Tensor, "features width"]

    def mean(self) -> Float[Tensor, "cells width"]:
        """Average each cell's token vectors; a cell without tokens gets zeros."""
        lengths = self.offsets.diff()
        total = torch.zeros_like(self.cls).index_add_(0, cell_index(self.offsets), self.tokens)
        return total / lengths.clamp(min=1).unsqueeze(1)

    def part(self, start: int, stop: int) -> "Hidden":
        """Return the cells from `start` to before `stop`."""
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return Hidden(
            self.tokens[first:last],
            self.cls[start:stop],
            self.offsets[start : stop + 1] - first,
            self.table,
        )


def offsets_of(lengths: Int[Tensor, " cells"]) -> Int[Tensor, " bounds"]:
    """Turn lengths into offsets: ``[3, 2] → [0, 3, 5]``."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def cell_index(offsets: Int[Tensor, " bounds"]) -> Int[Tensor, " tokens"]:
    """Turn offsets into the row of each token's cell: ``[0, 3, 5] → [0, 0, 0, 1, 1]``."""
    lengths = offsets.diff()
    return torch.repeat_interleave(torch.arange(len(lengths), device=offsets.device), lengths)
