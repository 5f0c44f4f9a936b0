"""What features are called, and what their names give away: species, references, mangling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd

Naming = Literal["ensembl", "symbol", "numeric"]

# GENCODE marks the Y copy of genes that X and Y share: ENSG00000182378.14_PAR_Y
_ENSEMBL = r"^ENS(?:[A-Z]{3,4})?G\d{11}(?:\.\d+)?(?:[_-]PAR[_-]Y)?$"
_VERSION = r"^(ENS[A-Z]*G\d{11})(?:\.\d+)?(?:[_-]PAR[_-]Y)?$"
_GENOME = r"^(GRCh3[78]|GRCm3[89]|hg19|hg38|mm10|mm39)_+"
_BARCODE = r"[ACGTN]{10,}"
# 1-Mar and Sep-02 were MARCHF1 and SEPTIN2 before a spreadsheet saw them
_DATE = (
    r"^(?:\d{1,2}-(?:Mar|Sept?|Dec|Oct|Feb)(?:-\d{2,4})?|(?:Mar|Sept?|Dec|Oct|Feb)-\d{1,2}|"
    r"\d{4}-(?:02|03|09|10|12)-\d{2}(?: 00:00:00)?)$"
)
# Genes that nearly every protocol detects, in human and in mouse spelling
_COMMON = (
    r"^(?:MT-[A-Z]|mt-[A-Z]|RP[LS]\d|Rp[ls]\d|EEF1A1$|Eef1a1$|ACTB$|Actb$|GAPDH$|Gapdh$|B2M$|B2m$|"
    r"MALAT1$|Malat1$|TMSB4X$|Tmsb4x$|FTH1$|Fth1$|VIM$|Vim$|CD3[DEG]$|Cd3[deg]$|CD74$|Cd74$)"
)

_PREFIXES = {
    "ENSG": "human",
    "ENSMUSG": "mouse",
    "ENSRNOG": "rat",
    "ENSGALG": "chicken",
    "ENSDARG": "zebrafish",
    "ENSSSCG": "pig",
    "ENSMMUG": "macaque",
    "ENSMFAG": "cynomolgus",
}
_ORGANISMS = {
    "human": ("homo sapiens", "h. sapiens", "ncbitaxon:9606", "hg19", "hg38", "grch37", "grch38"),
    "mouse": ("mus musculus", "m. musculus", "ncbitaxon:10090", "mm10", "mm39", "grcm38", "grcm39"),
    "rat": ("rattus norvegicus", "ncbitaxon:10116"),
    "chicken": ("gallus gallus", "ncbitaxon:9031"),
    "zebrafish": ("danio rerio", "ncbitaxon:7955"),
    "pig": ("sus scrofa", "ncbitaxon:9823"),
    "macaque": ("macaca mulatta", "ncbitaxon:9544"),
    "cynomolgus": ("macaca fascicularis", "ncbitaxon:9541"),
}
_SPECIES_OF = {name: species for species, names in _ORGANISMS.items() for name in (species, *names)}

# Symbols in capitals are shared by most vertebrates, so capitals alone prove nothing: one name
# that only one species has is asked for as well.
_ONLY_HUMAN = r"^(?:HLA-|LINC\d|RP\d+-\d|A[CLP]\d{6}\.\d|C(?:\d+|X)orf\d)"
_ONLY_MOUSE = r"(?:^H2-|^mt-|^Gm\d+$|^[0-9A-Z]+Rik$)"
_ONLY_RAT = r"^(?:RT1-|RGD\d|AABR\d)"
_CAPITALS = r"^(?:[^a-z]+|C(?:\d+|X)orf\d+.*)$"
_TITLE = r"^[A-Z0-9][^a-z]?[a-z0-9][^_]*$"


def _share(names: pd.Series, pattern: str) -> float:
    return float(names.str.contains(pattern, regex=True).mean()) if len(names) else 0.0


def _as_text(names: Iterable[object]) -> pd.Series:
    return pd.Series([str(name).strip() for name in names], dtype="object")


def is_text(column: pd.Series) -> bool:
    """Say whether a column holds text, as categories or not."""
    return isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(
        column.dtype
    )


def clean(names: Iterable[object]) -> pd.Index:
    """Strip blanks, Ensembl versions (``ENSG00000141510.12``) and a reference's prefix.

    Missing names become ``""``. The order is kept; collisions are left for the caller to sum.
    """
    given = np.array(list(names), dtype=object)
    given[pd.isna(given)] = ""
    text = _as_text(given)
    text = text.str.replace(_GENOME, "", regex=True).str.replace(_VERSION, r"\1", regex=True)
    return pd.Index(text)


def naming_of(names: Iterable[object]) -> Naming:
    """Say whether names are Ensembl ids, numbers (Entrez) or symbols, by the majority."""
    text = _as_text(names).str.replace(_GENOME, "", regex=True)
    if _share(text, _ENSEMBL) > 0.5:
        return "ensembl"
    return "numeric" if _share(text, r"^\d+(?:\.0)?$") > 0.5 else "symbol"


def other_names(features: pd.DataFrame) -> dict[str, str]:
    """Find the columns with other names of the features: ``{"ensembl_id": column, …}``.

    A column counts as Ensembl ids if nine in ten values are; as symbols if its name says so.
    """
    found: dict[str, str] = {}
    for column in features.columns:
        values = features[column].dropna()
        if not is_text(values):
            continue
        known = str(column).lower().replace("_", "").replace(" ", "").replace(".", "")
        if "ensembl_id" not in found and len(values) and _share(_as_text(values), _ENSEMBL) >= 0.9:
            found["ensembl_id"] = column
        elif "symbol" not in found and known in {
            "symbol", "symbols", "genesymbol", "genesymbols", "featurename", "genename",
            "genenames", "geneshortname", "hgncsymbol",
        }:  # fmt: skip
            found["symbol"] = column
    if naming_of(features.index) == "ensembl":
        found.pop("ensembl_id", None)
    return found


def genomes_of(names: Iterable[object]) -> list[str]:
    """List the references named in prefixes such as ``mm10_``, as in mixed-species runs."""
    found = _as_text(names).str.extract(_GENOME, expand=False).dropna()
    return sorted(found.unique())


def organism(name: object) -> str:
    """Translate an organism, taxon id or assembly to a common name; else ``"unknown"``."""
    return _SPECIES_OF.get(str(name).strip().lower(), "unknown")


def guess_species(features: pd.DataFrame) -> str:
    """Tell the species from feature names; ``"unknown"`` if they do not show it.

    Ensembl prefixes decide. Symbols must be spelt in a species' manner (TP53 or Trp53) for
    eight in ten names, and include a name only that species has (HLA-, LINC…; H2-, …Rik).

    Returns
    -------
    A common name (``"human"``, ``"mouse"`` …), ``"mixed"`` or ``"unknown"``.
    """
    genomes = {organism(name) for name in genomes_of(features.index)}
    if len(genomes) > 1:
        return "mixed"
    others = other_names(features)
    for names in [features.index, *(features[column] for column in others.values())]:
        prefixes = _as_text(names).str.extract(r"^(ENS[A-Z]*G)\d{11}", expand=False).dropna()
        # symbol lists hold Ensembl ids for unnamed genes: a few of one species say enough
        if len(prefixes) >= 20:
            counts = prefixes.map(_PREFIXES).fillna("unknown").value_counts(normalize=True)
            return str(counts.index[0]) if counts.iloc[0] > 0.9 else "mixed"
    symbols = pd.Series(clean(features[others["symbol"]] if "symbol" in others else features.index))
    symbols = symbols[~symbols.str.contains(_ENSEMBL) & (symbols != "")]
    if _share(symbols, _CAPITALS) >= 0.8 and symbols.str.contains(_ONLY_HUMAN).any():
        return "human"
    if _share(symbols, _TITLE) >= 0.8:
        for pattern, species in ((_ONLY_RAT, "rat"), (_ONLY_MOUSE, "mouse")):
            if symbols.str.contains(pattern).any():
                return species
    return genomes.pop() if genomes else "unknown"


def versions_of(names: Iterable[object]) -> str | None:
    """Return the first Ensembl id with a version, or None."""
    text = _as_text(names)
    versioned = text[text.str.contains(r"^ENS[A-Z]*G\d{11}\.\d+", regex=True)]
    return str(versioned.iloc[0]) if len(versioned) else None


def look_like_genes(names: Iterable[object]) -> bool:
    """Say whether names are those of genes: Ensembl ids, or at least three everyday genes."""
    text = pd.Series(clean(names))
    return bool(_share(text, _ENSEMBL) > 0.5 or text.str.contains(_COMMON).sum() >= 3)


def look_like_barcodes(names: Iterable[object]) -> bool:
    """Say whether most names contain a cell barcode, ten or more of A, C, G, T."""
    return _share(_as_text(names), _BARCODE) > 0.5


def mangled_dates(names: Iterable[object]) -> list[str]:
    """List gene names that a spreadsheet turned into dates."""
    text = _as_text(names)
    return text[text.str.contains(_DATE)].tolist()
