"""Which pathways genes belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from pancyte.priors.gene_sets import found, read_gmt, vectors_of_sets
from pancyte.priors.prior import Prior, PriorConfig
from pancyte.priors.table import PriorTable
from pancyte.store.corpus import Corpus

USUAL = ("knowledge/msigdb_h.v2026.1.gmt.gz", "knowledge/msigdb_c2.cp.v7.5.1.gmt.gz")


@dataclass(frozen=True, kw_only=True)
class PathwaysConfig(PriorConfig):
    """Which gene sets are read.

    Attributes
    ----------
    file
        A GMT file; by default MSigDB's hallmarks and canonical pathways
        (``knowledge/msigdb_h.v2026.1.gmt.gz``, ``knowledge/msigdb_c2.cp.v7.5.1.gmt.gz``) in the
        data folder. None is shipped.
    """

    file: str = ""


class Pathways(Prior):
    """Genes of the same pathways have similar vectors, made as `vectors_of_sets` tells."""

    name = "pathways"
    Config = PathwaysConfig

    def table(self, corpus: Corpus, rows: Sequence[np.ndarray | None] | None = None) -> PriorTable:
        """Return a vector for each gene of a pathway, whatever the corpus."""
        given = self.config.file
        paths = [found(given, usual, "a GMT file") for usual in (("",) if given else USUAL)]
        pairs = chain.from_iterable(map(read_gmt, paths))
        return vectors_of_sets(pairs, self.config.dims, source=paths[0])
