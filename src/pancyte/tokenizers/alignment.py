"""Tokenise many minibatches of one source: names are matched once, arrays go in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pancyte.errors import InputError
from pancyte.shapes import COUNT_SCALE, Tokens
from pancyte.tokenizers.packing import Rows, project, totals_of

if TYPE_CHECKING:
    from pancyte.tokenizers.tokenizer import Tokenizer


class AlignedTokenizer:
    """A fitted tokenizer that knows which column of a source is which feature.

    Made by `Tokenizer.aligned`; may be called from several threads.

    Parameters
    ----------
    tokenizer
        Fitted tokenizer.
    columns
        Vocabulary id of each column of the source, or -1, (features,). Columns may share an id:
        their counts are added up.
    """

    def __init__(self, tokenizer: Tokenizer, columns: np.ndarray) -> None:
        self.tokenizer = tokenizer
        self.columns = np.ascontiguousarray(columns, np.int64)
        self._same = np.array_equal(self.columns, np.arange(len(columns)))

    def __call__(
        self,
        indptr: np.ndarray,
        indices: np.ndarray,
        data: np.ndarray,
        *,
        totals: np.ndarray | None = None,
        context: dict[str, torch.Tensor] | None = None,
    ) -> Tokens:
        """Tokenise the rows of a CSR matrix of raw counts, in their order.

        Parameters
        ----------
        indptr, indices, data
            CSR arrays, indices sorted within each row, no stored zeros.
        totals
            Each cell's total over all measured features, (cells,); the sum of its row if not
            given.
        context
            Codes of each cell, as `Tokenizer.codes` makes them; "unknown" where not given.

        Raises
        ------
        InputError
            If the arrays do not describe rows of this source.
        """
        indptr = np.asarray(indptr, np.int64)
        self._check(indptr, indices, data)
        starts = indptr[:-1]
        if totals is None:
            totals = totals_of(starts, indptr[1:], data)
        totals = np.asarray(totals, np.float64)
        if self._same:
            rows = Rows(indices, data, starts, indptr[1:], self._scale(totals))
        else:
            ids, counts, stops = project(indptr, indices, data, self.columns)
            rows = Rows(ids, counts, starts, stops, self._scale(totals))
        if self.tokenizer.known_total:
            known = totals_of(rows.starts, rows.stops, rows.counts)
            rows = replace(rows, scale=self._scale(known))
        ids, values, offsets = self.tokenizer.pack(rows)
        told: dict[str, torch.Tensor] = {
            name: torch.zeros(len(starts), dtype=torch.int64)
            for name in self.tokenizer.config.context
        }
        if self.tokenizer.keeps_counts:
            told[COUNT_SCALE] = torch.from_numpy(rows.scale.astype(np.float32))
        return Tokens(
            torch.from_numpy(ids.astype(np.int32, copy=False)),
            torch.from_numpy(values.astype(np.float32, copy=False)),
            torch.from_numpy(offsets),
            {**told, **(context or {})},
        )

    def _scale(self, totals: np.ndarray) -> np.ndarray:
        return self.tokenizer.config.target_sum / np.where(totals > 0, totals, 1.0)

    def _check(self, indptr: np.ndarray, indices: np.ndarray, data: np.ndarray) -> None:
        stored = int(indptr[-1]) if len(indptr) else -1
        if not stored == len(indices) == len(data) or indptr[0] != 0:
            raise InputError(
                f"indptr ends at {stored} for {len(indices)} indices and {len(data)} counts.",
                fix="Give the three arrays of one CSR matrix, with indptr beginning at 0.",
            )
        # The kernels trust the indices: one outside would read foreign memory
        if stored and not 0 <= indices.min() <= indices.max() < len(self.columns):
            raise InputError(
                f"There is a column {indices.max()} where the source has {len(self.columns)}.",
                fix="Give rows of the source whose features this tokenizer was aligned to.",
            )
