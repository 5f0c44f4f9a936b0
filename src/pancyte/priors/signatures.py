"""Genes that mark the same cell types elsewhere get similar vectors, as far as the cells agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import eigh
from scipy.sparse import csr_matrix

from pancyte.corpus.canonical import canonical
from pancyte.errors import InputError
from pancyte.priors.expression import Centred, evenly
from pancyte.priors.gene_sets import found, read_gmt
from pancyte.priors.prior import Prior, PriorConfig
from pancyte.priors.table import PriorTable
from pancyte.store.corpus import Corpus

USUAL = "knowledge/msigdb_c8.v2026.1.gmt.gz"
RIDGE = 1e-3
"""Added to each score's variance, in mean variances, as some sets tell exactly the same."""


@dataclass(frozen=True, kw_only=True)
class SignaturesConfig(PriorConfig):
    """Which signatures are read, and how the training cells weigh them.

    Attributes
    ----------
    file
        A GMT file; by default MSigDB's signatures of human cell types (its collection C8) in the
        data folder. None is shipped.
    without
        Leave out sets whose names begin so: those of studies that a model is to be tested on.
    smallest, largest
        Leave out sets of fewer or of more genes, counting the genes that the cells have.
    power
        Components of equal variance are scaled by this power of their reliability: 0 leaves them
        equally wide, 1 shrinks each by what is noise in it.
    cells, target_sum, detected
        As in ``coexpression``.
    """

    file: str = ""
    without: tuple[str, ...] = ()
    smallest: int = 5
    largest: int = 400
    power: float = 0.5
    cells: int = 50_000
    target_sum: float = 1e4
    detected: int = 10


class Signatures(Prior):
    """What many annotated studies found to mark cell types, turned to where unlabelled cells vary.

    A cell's score for a signature is the sum of its genes' log1p-normalised counts, each in
    units of the noise of its gene (as ``coexpression`` with ``per="noise"`` has it), over
    the root of the signature's size. Signatures overlap, and many tell the same. Every training
    cell's reads are dealt into two halves, and the combinations of scores that agree best between
    the halves, within datasets, are the components: reliability is the share of a component's
    variance that both halves have. A gene's vector is what it adds to them. Labels of the training
    cells are not used. Symbols are human; mouse genes take part through orthologs.
    """

    name = "signatures"
    Config = SignaturesConfig

    @property
    def unit(self) -> bool:
        """False: a gene that says more is longer."""
        return False

    def table(self, corpus: Corpus, rows: Sequence[np.ndarray | None] | None = None) -> PriorTable:
        """Return vectors of the genes that are in a signature and in enough of the cells."""
        config = self.config
        path = found(config.file, USUAL, "a GMT file")
        view = Centred.of(
            corpus,
            evenly(corpus, rows, config.cells),
            target_sum=config.target_sum,
            detected=config.detected,
            per="noise",
        )
        names = corpus.features.index[view.genes]
        told = [pair for pair in read_gmt(path) if not pair[1].startswith(config.without)]
        sets = _members(told, names)
        sizes = np.bincount(sets.indices, minlength=sets.shape[1])
        kept = np.flatnonzero((sizes >= config.smallest) & (sizes <= config.largest))
        if len(kept) < 2:
            raise InputError(
                f"Fewer than two sets of {path} have {config.smallest} to {config.largest} of the "
                f"{len(names):,} genes that enough cells express.",
                fix="Give human gene sets under symbols or Ensembl ids, or lower smallest: or "
                "detected:.",
            )
        scores = (sets[:, kept] / np.sqrt(sizes[kept])).toarray().astype(np.float32)
        shared, own = view.repeated(scores)
        own += RIDGE * np.trace(own) / len(own) * np.eye(len(own))
        # eigh lists the least reliable first
        reliability, turned = eigh(shared, own)
        wanted = min(config.dims, len(kept))
        reliability, turned = reliability[::-1][:wanted], turned[:, ::-1][:, :wanted]
        scaled = turned * reliability.clip(min=1e-6) ** config.power
        inside = np.flatnonzero(scores.any(axis=1))
        vectors = scores[inside] @ scaled / view.spread[inside, None]
        return PriorTable.scaled(corpus.features[["symbol"]].iloc[view.genes[inside]], vectors)


def _members(pairs: Sequence[tuple[str, str]], names: pd.Index) -> csr_matrix:
    """Mark which of the genes are in which set. (genes, sets) of ones."""
    if not pairs:
        return csr_matrix((len(names), 0))
    table = pd.DataFrame(pairs, columns=["gene", "set"])
    symbols = pd.Categorical(table["gene"])
    known, columns = canonical(pd.DataFrame(index=symbols.categories), "human")
    gene = names.get_indexer(known.index[columns])[symbols.codes]
    number = pd.Categorical(table["set"])
    inside = gene >= 0
    shape = (len(names), len(number.categories))
    place = (gene[inside], number.codes[inside].astype(np.int64))
    sets = csr_matrix((np.ones(inside.sum()), place), shape=shape)
    sets.data[:] = 1
    return sets
