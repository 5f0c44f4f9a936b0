"""UCE: a ``.torch`` checkpoint, and for each species the genes that have a protein's vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pancyte.errors import IntegrityError, MissingError
from pancyte.importers.convert import read_dictionary, read_names, safe_weights
from pancyte.importers.importer import Blueprint, Importer, card_of, stored_shapes
from pancyte.importers.plan import Weight, encoder_layer, pair
from pancyte.tokenizers.uce import CHROMOSOME, START, with_marks

SOURCE = "UCE (Rosen et al., bioRxiv 2023)"
OFFSETS, POSITIONS, PROTEINS = "species_offsets.pkl", "species_chrom.csv", "protein_embeddings"
NAMES = {"human": "Homo_sapiens", "mouse": "Mus_musculus"}
CLOSED, CLS, FIRST_CHROMOSOME = 2, 3, 143_574
"""Rows of the checkpoint's table: the mark behind a chromosome, ``<cls>``, the first chromosome."""
HEADS, DRAWS = 20, 1024
ASKS = "asks whether a gene is expressed; the cell embedding does not use it"
IGNORED = {
    "binary_decoder.*": ASKS,
    "gene_embedding_layer.*": ASKS,
}
TABLE = "pe_embedding.weight"


class UCE(Importer):
    """Loads UCE for one species: a transformer over genes in the language of proteins."""

    name = "uce"

    def recognises(self, folder: Path) -> bool:
        """Tell by a ``*layer_model.torch``."""
        return len(_weights(folder)) == 1

    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read sizes, which the checkpoint tells, and one species' genes."""
        weights = safe_weights(_weights(folder)[0])
        shapes = stored_shapes(weights, _usual)
        needed = (TABLE, "encoder.0.weight", "pos_encoder.pe", "decoder.0.0.weight")
        if lacking := [name for name in needed if name not in shapes]:
            raise IntegrityError(f"{folder} has no {lacking[0]}.", fix="Fetch it again.")
        width, proteins = shapes["encoder.0.weight"]
        if shapes["decoder.3.weight"] != (width, width):
            raise IntegrityError(
                f"{folder} gives vectors of another length than its layers have.",
                fix="Only the published sizes, where both are 1,280, can be loaded.",
            )
        layers = {n.split(".")[2] for n in shapes if n.startswith("transformer_encoder.layers.")}
        table, rows, species = _genes(vocabulary or folder, shapes[TABLE][0])
        places = shapes["pos_encoder.pe"][0]
        backbone = {
            "features": len(table),
            "value_kind": "rank",
            "places": places - 1,
            "depth": len(layers),
            "width": width,
            "heads": min(HEADS, width // 64) or 1,
            "inner": shapes["transformer_encoder.layers.0.linear1.weight"][0],
            "proteins": proteins,
            "reading": shapes["decoder.0.0.weight"][0],
        }
        return Blueprint(
            title=f"UCE, {len(layers)} layers, {species}",
            weights=weights,
            tokenizer={"name": "uce", "config": {"draws": DRAWS, "max_length": places - 1}},
            backbone={"name": "uce", "config": backbone},
            objective={"name": "contrastive", "config": {}},
            vocabulary=table,
            wanted=_wanted(len(layers), rows),
            ignored=IGNORED,
            usual=_usual,
            embedding={"pooling": "cls", "normalise": True},
            card=card_of(
                folder,
                self.name,
                SOURCE,
                species=[species],
                corpus="36 million cells of eight species",
                cells=36_000_000,
            ),
            facts={
                "vocabulary": f"{PROTEINS} of {species}: {len(table):,} rows, chromosomes included",
                "head": "a new one (contrastive); the published one has no place here",
            },
        )


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*layer_model.torch"))


def _genes(place: Path, rows: int) -> tuple[pd.DataFrame, np.ndarray, str]:
    """Make the vocabulary of the one species whose proteins are there, and its rows."""
    found = {
        species: file
        for species, name in NAMES.items()
        for file in sorted((place / PROTEINS).glob(f"{name}.*.pt"))
    }
    lacking = [name for name in (OFFSETS, POSITIONS) if not (place / name).is_file()]
    if lacking or not found:
        wanted = lacking[0] if lacking else f"{PROTEINS}/{NAMES['human']}.*.pt"
        raise MissingError(
            f"{place} has no {wanted}.",
            fix="Put UCE's model_files there, with the protein vectors of human or mouse, or name "
            "their folder: vocabulary=… (--vocabulary).",
        )
    species = next(iter(found))
    genes = pd.Index([name.upper() for name in read_names(found[species])])
    offset = int(read_dictionary(place / OFFSETS)[species])
    whole, codes = _positions(place / POSITIONS)
    here = whole[whole["species"] == species].drop_duplicates("gene_symbol")
    told = here.set_index("gene_symbol").reindex(genes)
    # genes without a position have no place in a sentence
    kept = told["chromosome"].notna().to_numpy() & ~genes.duplicated()
    numbers = offset + np.arange(len(genes))
    names = (f"{species}_" + told["chromosome"][kept]).to_numpy(str)
    order, chromosomes = pd.factorize(names, sort=True)
    table = pd.DataFrame({"median": 1.0}, pd.Index(genes[kept], name="feature"))
    table[CHROMOSOME] = order.astype(np.float64)
    table[START] = told["start"][kept].to_numpy(np.float64)
    marks = FIRST_CHROMOSOME + codes.get_indexer(pd.Index(chromosomes))
    taken = np.concatenate([numbers[kept], marks, [CLOSED]])
    if taken.max() >= rows:
        raise IntegrityError(
            f"{place} numbers {taken.max() + 1:,} rows, the checkpoint has {rows:,}.",
            fix="Use the model_files that came with these weights.",
        )
    return with_marks(table, [str(name) for name in chromosomes]), taken, species


def _positions(path: Path) -> tuple[pd.DataFrame, pd.Index]:
    """Read where genes are, and the chromosomes of all species in the order of their rows."""
    try:
        whole = pd.read_csv(path, dtype={"chromosome": str, "gene_symbol": str, "species": str})
        names = whole["species"] + "_" + whole["chromosome"]
        whole["gene_symbol"], _ = whole["gene_symbol"].str.upper(), whole["start"]
    except (ValueError, KeyError, OSError) as error:
        raise IntegrityError(f"{path} is damaged ({error}).", fix="Fetch it again.") from error
    return whole, pd.Index(sorted(names.dropna().unique()))


def _usual(name: str) -> str:
    return name.removeprefix("module.")


def _wanted(depth: int, rows: np.ndarray) -> list[Weight]:
    """List the network's weights, and the keys of UCE that they are made of."""
    embedding = "backbone.embedding"
    wanted = [
        Weight(f"{embedding}.protein", (TABLE,), rows),
        Weight(f"{embedding}.cls", (TABLE,), CLS),
        # no gene is withheld in use; what fills up stands for it
        Weight(f"{embedding}.hidden", (TABLE,), 0),
        Weight(f"{embedding}.place", ("pos_encoder.pe",)),
        *pair(f"{embedding}.project", "encoder.0"),
        *pair(f"{embedding}.norm", "encoder.2"),
    ]
    for layer in range(depth):
        ours, theirs = f"backbone.layers.{layer}", f"transformer_encoder.layers.{layer}"
        wanted += encoder_layer(ours, theirs)
    for place in range(3):
        for part in (0, 1):
            name = f"{place}.{part}"
            wanted += pair(f"backbone.reading.{name}", f"decoder.{name}")
    return wanted + pair("backbone.reading.3", "decoder.3")
