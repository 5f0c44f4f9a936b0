"""Nicheformer's ranks: genes against their technology's mean, and what is known of the cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from pancyte.tokenizers.geneformer import GeneformerTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig

SPATIAL = {"merfish", "cosmx", "xenium", "iss", "visium"}


@dataclass(frozen=True)
class NicheformerTokenizerConfig(TokenizerConfig):
    """How genes are ranked; further settings as in `TokenizerConfig`.

    Attributes
    ----------
    technology
        Whose means the medians of the vocabulary are: ``"dissociated"``, ``"merfish"``,
        ``"cosmx"``, ``"xenium"`` or ``"iss"``. It says the modality of all cells, and the assay of
        those of which it is not known.
    """

    technology: str = "dissociated"


class NicheformerTokenizer(GeneformerTokenizer):
    """Each cell becomes its genes in falling order of count / total · 10⁴ / technology's mean.

    As published (Schaar, Tejada-Lapuerta et al., 2024), in double precision; ties go to the lower
    feature id. What is known of species, assay and modality comes along; the network reads it.
    """

    name = "nicheformer"
    Config = NicheformerTokenizerConfig
    config: NicheformerTokenizerConfig

    def codes(self, context: pd.DataFrame, cells: int) -> dict[str, torch.Tensor]:
        """Turn what is known of each cell into codes; the technology tells its modality."""
        technology = self.config.technology
        told = context.astype(object) if len(context.columns) else pd.DataFrame(index=range(cells))
        modality = "spatial" if technology in SPATIAL else "dissociated"
        told = told.assign(modality=modality)
        levels = self.config.context.get("assay", [])
        if technology in levels:
            given = told["assay"] if "assay" in told else pd.Series(index=told.index, dtype=object)
            told = told.assign(assay=np.where(given.isin(levels), given, technology))
        return super().codes(told, cells)
