"""Genes by the names, or in the species, that are needed, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pancyte.errors import InputError, UsageError
from pancyte.pp.history import history_of, record

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def map_genes(
    adata: AnnData,
    *,
    to: Literal["ensembl", "symbol"],
    species: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Name genes by Ensembl id or by current symbol, from whatever names they have.

    Versions are stripped, earlier symbols and aliases resolved. A symbol in use is never read as
    another gene's alias, and a name that could mean several genes stays as it is, as do unknown
    ones. Features that turn out to be one gene become one, with the sum of their counts.

    Parameters
    ----------
    adata
        Human or mouse cells. Changed in place unless `copy`; ``.raw`` is left as it is.
    to
        The wanted names.
    species
        ``"human"`` or ``"mouse"``; told from the names if not given.
    copy
        Return a changed copy instead.

    Returns
    -------
    None, or the copy. ``.var["original_name"]`` holds the names from before the first mapping,
    joined by ``"|"`` where counts were summed; ``.uns["pancyte"]`` what was done.

    Raises
    ------
    InputError
        If the species is neither human nor mouse, if no name is known, or if features would have to
        be summed and X or a layer does not hold counts.
    UsageError
        If `to` is neither.
    """
    from pancyte.corpus.identity import resolve
    from pancyte.corpus.notices import tell
    from pancyte.corpus.rename import rename

    history_of(adata)
    adata = adata.copy() if copy else adata
    before = adata.n_vars
    species = _species(adata, species)
    found = resolve(adata.var_names, species, to)
    target = found["target"].to_numpy()
    if not target.any():
        raise InputError(
            f"None of the {before:,} names is known as a {species} gene: "
            f"{list(map(str, adata.var_names[:2]))}.",
            fix="Name them by symbol or Ensembl id; Entrez ids are known for human.",
        )
    rename(adata, np.where(target == "", adata.var_names, target))
    how = found["how"].value_counts().sort_index().to_dict()
    record(adata, "map_genes", to=to, species=species, how=how, summed=before - adata.n_vars)
    tell(_summary(found, to, before - adata.n_vars))
    return adata if copy else None


def gene_positions(
    adata: AnnData, *, species: str | None = None, copy: bool = False
) -> AnnData | None:
    """Add where on the genome each gene is, as tools for copy-number changes need it.

    Parameters
    ----------
    adata
        Human or mouse cells, genes named by symbol or Ensembl id. Changed in place unless `copy`.
    species
        ``"human"`` (positions of GRCh38) or ``"mouse"`` (GRCm38, also called mm10); told from the
        names if not given.
    copy
        Return a changed copy instead.

    Returns
    -------
    None, or the copy, with ``.var["chromosome"]`` (``"chr1"`` …, missing if not known), and
    ``.var["start"]`` and ``.var["end"]`` in bases, missing likewise.

    Raises
    ------
    InputError
        If the species is neither human nor mouse.
    """
    from pancyte.corpus.identity import positions
    from pancyte.corpus.notices import tell

    adata = adata.copy() if copy else adata
    species = _species(adata, species)
    found = positions(adata.var_names, species)
    known = (found["chromosome"] != "").to_numpy()
    adata.var["chromosome"] = found["chromosome"].where(known).astype("category").array
    for column in ("start", "end"):
        adata.var[column] = found[column].array
    tell(f"{known.mean():.1%} of {len(known):,} genes have a position.")
    return adata if copy else None


def to_species(
    adata: AnnData, species: Literal["human", "mouse"], *, copy: bool = False
) -> AnnData | None:
    """Turn mouse genes into their human one-to-one orthologs, or human ones into mouse ones.

    Genes without a one-to-one ortholog (Ensembl) are dropped: what is left is comparable between
    the species, not complete. Ensembl ids stay Ensembl ids, and symbols symbols.

    Parameters
    ----------
    adata
        Human or mouse cells with raw counts. Changed in place unless `copy`.
    species
        The wanted species.
    copy
        Return a changed copy instead.

    Returns
    -------
    None, or the copy, with ``.var["original_name"]`` as from `map_genes`.

    Raises
    ------
    InputError
        If the cells are of neither species or of the wanted one already, if X or a layer does
        not hold counts, or if no gene has an ortholog.
    UsageError
        If `species` is neither.
    """
    from pancyte.corpus.identity import SPECIES, orthologs, resolve
    from pancyte.corpus.naming import naming_of, other_names
    from pancyte.corpus.notices import tell
    from pancyte.corpus.rename import ORIGINAL, rename, require_counts

    history_of(adata)
    if species not in SPECIES:
        raise UsageError(f"There are no orthologs for {species!r}.", fix="Use human or mouse.")
    source = _species(adata, None)
    if source == species:
        raise InputError(f"The genes are {species} already.", fix="Leave this step out.")
    require_counts(adata, "Orthologs are for counts")
    ids = resolve(adata.var_names, source, "ensembl")["target"]
    pairs = orthologs().set_index(f"{source}_id").reindex(ids)
    kept = pairs[f"{species}_id"].notna().to_numpy()
    if not kept.any():
        raise InputError(
            f"None of the genes has a one-to-one {species} ortholog: {list(adata.var_names[:2])}.",
            fix="Name the genes by symbol or Ensembl id.",
        )
    symbols = naming_of(adata.var_names) != "ensembl"
    adata = adata.copy() if copy else adata
    adata._inplace_subset_var(kept)
    rename(adata, pairs.loc[kept, f"{species}_id"].to_numpy())
    others = other_names(adata.var.drop(columns=ORIGINAL).reset_index(drop=True)).values()
    adata.var = adata.var.drop(columns=[*others, "ensembl_id"], errors="ignore")
    if symbols:
        partners = pairs[kept].set_index(f"{species}_id")[f"{species}_symbol"]
        partners = partners[~partners.index.duplicated()]
        # Ahead of the original names, which may be ids of the other species
        adata.var.insert(0, "ensembl_id", adata.var_names.to_numpy())
        adata.var_names = np.where(partners == "", partners.index, partners)
    dropped = int((~kept).sum())
    record(adata, "to_species", source=source, species=species, dropped=dropped)
    tell(
        f"{kept.sum():,} of {len(kept):,} {source} genes have a one-to-one {species} ortholog; "
        f"the other {dropped:,} are dropped."
    )
    return adata if copy else None


def _species(adata: AnnData, given: str | None) -> str:
    from pancyte.corpus.checks import species_of
    from pancyte.corpus.identity import SPECIES
    from pancyte.corpus.naming import organism

    species = organism(given) if given is not None else species_of(adata, adata.var)
    if species not in SPECIES:
        said = "is unknown" if species == "unknown" else f"is {species}"
        raise InputError(
            f"The species {f'{given!r} ' if given else ''}{said}; the gene tables are of "
            f"{' and '.join(SPECIES)}. First names: {list(map(str, adata.var_names[:2]))}.",
            fix="Declare it, adata.uns['organism'] = 'human', or choose the genes of one species.",
        )
    return species


def _summary(found: pd.DataFrame, to: str, summed: int) -> str:
    how = found["how"].value_counts()
    matched = (found["target"] != "").mean()
    parts = [f"{int(how.get(key, 0)):,} {key}" for key in ("previous", "alias")]
    line = f"{matched:.1%} of {len(found):,} genes have {_SAID[to]} ({' and '.join(parts)} names)"
    if unclear := found[found["how"] == "ambiguous"].iloc[:3]["candidates"].to_dict():
        shown = ", ".join(f"{name} ({key.replace('|', ' or ')})" for name, key in unclear.items())
        line += f"; {how['ambiguous']:,} ambiguous and left: {shown}"
    return line + (f"; {summed:,} summed into another." if summed else ".")


_SAID = {"ensembl": "an Ensembl id", "symbol": "a current symbol"}
