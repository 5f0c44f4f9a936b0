"""One reference's genes out of a run on several, such as human and mouse cells mixed on purpose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pancyte.corpus.naming import genomes_of, is_text
from pancyte.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def of_genome(adata: AnnData, genome: str) -> tuple[AnnData, str]:
    """Keep the genes of one reference genome, without its prefix.

    Parameters
    ----------
    adata
        Cells whose genes are called ``hg19_TP53``, ``mm10___Trp53`` and so on, or have their
        reference in ``.var["genome"]``. Not changed.
    genome
        The reference, as the names spell it.

    Returns
    -------
    All cells with that reference's genes, without ``raw``; and what was done, in one sentence.

    Raises
    ------
    InputError
        If no gene is of that reference; those there are get named.
    """
    names = adata.var_names.astype(str)
    kept = names.str.startswith(f"{genome}_")
    if "genome" in adata.var:
        kept |= (adata.var["genome"].astype(str) == genome).to_numpy()
    if not kept.any():
        found = ", ".join(genomes_of(names))
        raise InputError(
            f"No gene is of the reference {genome!r}, the first is {names[0]!r}.",
            fix=f"The references are {found}." if found else "Read it without genome (--genome).",
        )
    result = adata[:, kept].copy()
    if result.raw is not None:
        del result.raw
    prefix = re.compile(rf"^{re.escape(genome)}_+")
    result.var_names = result.var_names.astype(str).str.replace(prefix, "", regex=True)
    for column in result.var:
        if is_text(result.var[column]):
            texts = result.var[column].astype(str)
            result.var[column] = texts.str.replace(prefix, "", regex=True)
    left = adata.n_vars - result.n_vars
    return result, f"Kept {result.n_vars:,} genes of {genome}; left out {left:,} others."
