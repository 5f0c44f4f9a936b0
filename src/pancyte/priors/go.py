"""What the Gene Ontology says of genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pancyte.priors.gene_sets import found, read_annotations, vectors_of_sets
from pancyte.priors.prior import Prior, PriorConfig
from pancyte.priors.table import PriorTable
from pancyte.store.corpus import Corpus

USUAL = "knowledge/goa_human_symbol_go.tsv.gz"


@dataclass(frozen=True, kw_only=True)
class GoConfig(PriorConfig):
    """Which annotations are read.

    Attributes
    ----------
    file
        A GAF file, or a table with the columns ``symbol`` and ``go_id``; by default
        ``knowledge/goa_human_symbol_go.tsv.gz`` in the data folder. None is shipped.
    without
        Evidence codes to leave out; ``ND`` says that nothing is known, ``IEP`` that the gene's
        expression is all that is.
    """

    file: str = ""
    without: tuple[str, ...] = ("ND", "IEP")


class Go(Prior):
    """Genes that are annotated with the same terms have similar vectors.

    The matrix of genes and terms as annotated, without the terms' ancestors, is reduced as
    `vectors_of_sets` tells.
    """

    name = "go"
    Config = GoConfig

    def table(self, corpus: Corpus, rows: Sequence[np.ndarray | None] | None = None) -> PriorTable:
        """Return a vector for each annotated gene, whatever the corpus."""
        path = found(self.config.file, USUAL, "a GAF file of the Gene Ontology")
        pairs = read_annotations(path, self.config.without)
        return vectors_of_sets(pairs, self.config.dims, source=path)
