"""Nicheformer: a Lightning checkpoint, its genes in ``model.h5ad``, and a technology's means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pancyte.errors import IntegrityError, MissingError
from pancyte.importers.convert import safe_weights
from pancyte.importers.importer import Blueprint, Importer, card_of, genes_of, stored_shapes
from pancyte.importers.plan import Weight, encoder_layer

SOURCE = "Nicheformer (Schaar, Tejada-Lapuerta et al., bioRxiv 2024)"
GENES, MEANS = "model.h5ad", "_mean_script.npy"
RESERVED = 30
"""Numbers below this are special tokens; gene 0 has this one."""
HIDDEN, PAD = 0, 1
# in the order in which they stand before the genes
PROPERTIES: dict[str, dict[str, int]] = {
    "species": {"human": 5, "mouse": 6},
    "assay": {
        "merfish": 7,
        "MERFISH": 7,
        "cosmx": 8,
        "NanoString digital spatial profiling": 8,
        "visium": 9,
        "10x 5' v2": 10,
        "10x 3' v3": 11,
        "10x 3' v2": 12,
        "10x 5' v1": 13,
        "10x 3' v1": 14,
        "10x 3' transcription profiling": 15,
        "10x transcription profiling": 15,
        "10x 5' transcription profiling": 16,
        "CITE-seq": 17,
        "Smart-seq v4": 18,
    },
    "modality": {"dissociated": 3, "spatial": 4},
}
IGNORED = {
    "encoder_layer.*": "the pattern of which the layers were copied; never run",
    "pooler_head.*": "serves classification; never run by the published code",
    "cls_head.*": "serves classification; never run by the published code",
}
EMBEDDING = "embeddings.weight"


class Nicheformer(Importer):
    """Loads Nicheformer: a transformer over ranked genes of dissociated and spatial cells."""

    name = "nicheformer"

    def recognises(self, folder: Path) -> bool:
        """Tell by one ``.ckpt`` with its genes or means beside it, or with its name."""
        found = _weights(folder)
        if len(found) != 1:
            return False
        beside = (folder / GENES).is_file() or any(folder.glob(f"*{MEANS}"))
        return beside or "nicheformer" in found[0].name.lower()

    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read sizes, which the checkpoint tells, and whose means the genes are ranked by."""
        weights = safe_weights(_weights(folder)[0])
        shapes = stored_shapes(weights, _usual)
        told = weights.settings
        heads = told.get("nheads")
        _check(told, shapes, folder)
        table, technology = _table(vocabulary or folder, shapes[EMBEDDING][0])
        places, width = shapes["positional_embedding.weight"]
        depth = len({name.split(".")[2] for name in shapes if name.startswith("encoder.layers.")})
        asked = [name for name in PROPERTIES if told.get(_setting(name), True)]
        backbone = {
            "features": len(table),
            "value_kind": "rank",
            "places": places - len(asked),
            "context": {name: len(PROPERTIES[name]) for name in asked},
            "depth": depth,
            "width": width,
            "heads": heads,
            "inner": shapes["encoder.layers.0.linear1.bias"][0],
            "dropout": float(told.get("dropout", 0.0)),
        }
        tokenizer = {
            "max_length": backbone["places"],
            "context": {name: list(PROPERTIES[name]) for name in asked},
            "technology": technology,
        }
        return Blueprint(
            title="Nicheformer",
            weights=weights,
            tokenizer={"name": "nicheformer", "config": tokenizer},
            backbone={"name": "nicheformer", "config": backbone},
            objective={"name": "linear_gene", "config": {}},
            vocabulary=table,
            wanted=_wanted(depth, asked, len(table)),
            ignored=IGNORED,
            usual=_usual,
            embedding={"pooling": "own"},
            card=card_of(
                folder,
                self.name,
                SOURCE,
                species=["human", "mouse"],
                corpus="SpatialCorpus-110M",
                cells=110_000_000,
            ),
            facts={
                "vocabulary": f"{GENES}: {len(table):,} genes, ranked by {technology}{MEANS}",
                "properties": ", ".join(asked) or "none",
            },
        )


def _setting(name: str) -> str:
    return "specie" if name == "species" else name


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ckpt"))


def _check(told: dict[str, Any], shapes: dict[str, tuple[int, ...]], folder: Path) -> None:
    if not isinstance(told.get("nheads"), int):
        raise IntegrityError(
            f"{folder} does not say how many attention heads there are (hyper_parameters, nheads).",
            fix="Use the checkpoint as Lightning wrote it.",
        )
    needed = (EMBEDDING, "positional_embedding.weight", "encoder.layers.0.linear1.bias")
    if lacking := [name for name in needed if name not in shapes]:
        raise IntegrityError(
            f"{folder} has no {lacking[0]}: it is no Nicheformer with learned places.",
            fix="Only the published architecture can be loaded.",
        )
    if told.get("autoregressive"):
        raise IntegrityError(
            f"{folder} is autoregressive, which the published Nicheformer is not.",
            fix="Only models that see the whole cell can be loaded.",
        )


def _table(place: Path, rows: int) -> tuple[pd.DataFrame, str]:
    """Make the vocabulary, with a technology's means where Geneformer has medians."""
    if not (place / GENES).is_file():
        raise MissingError(
            f"{place} has no {GENES}, which names the genes.",
            fix="Put data/model_means of the nicheformer repository beside the weights, or name "
            "its folder: vocabulary=… (--vocabulary).",
        )
    found = {file.name.removesuffix(MEANS): file for file in sorted(place.glob(f"*{MEANS}"))}
    if not found:
        raise MissingError(
            f"{place} has no means by which genes are ranked (*{MEANS}).",
            fix=f"Put that of your technology there, such as dissociated{MEANS}.",
        )
    technology = "dissociated" if "dissociated" in found else next(iter(found))
    genes = genes_of(place / GENES)
    try:
        means = np.load(found[technology], allow_pickle=False).astype(np.float64).ravel()
    except (ValueError, OSError, EOFError) as error:
        raise IntegrityError(
            f"{found[technology]} is damaged ({error}).", fix="Fetch it again."
        ) from error
    if not len(genes) == len(means) <= rows - RESERVED or not genes.is_unique:
        raise IntegrityError(
            f"{place} has {len(genes):,} genes and {len(means):,} means, the checkpoint "
            f"{rows - RESERVED:,} rows for genes: they do not belong together.",
            fix="Use the files of the same release.",
        )
    means = np.nan_to_num(means)
    medians = np.where(means > 0, means, 1.0)
    return pd.DataFrame({"median": medians}, pd.Index(genes, name="feature")), technology


def _usual(name: str) -> str:
    return name.removeprefix("module.").removeprefix("model.")


def _wanted(depth: int, asked: list[str], genes: int) -> list[Weight]:
    """List the network's weights, and the keys of Nicheformer that they are made of."""
    rows = np.arange(RESERVED, RESERVED + genes)
    wanted = [
        Weight("backbone.embedding.feature.weight", (EMBEDDING,), rows),
        Weight("backbone.embedding.hidden", (EMBEDDING,), HIDDEN),
        Weight("backbone.embedding.pad", (EMBEDDING,), PAD),
        Weight("backbone.embedding.place.weight", ("positional_embedding.weight",)),
        Weight("objective.answer.weight", ("classifier_head.weight",), rows),
        Weight("objective.bias", ("classifier_head.bias",), rows),
    ]
    for name in asked:
        tokens = np.array(list(PROPERTIES[name].values()))
        wanted.append(Weight(f"backbone.embedding.level.{name}.weight", (EMBEDDING,), tokens))
    for layer in range(depth):
        wanted += encoder_layer(f"backbone.layers.{layer}", f"encoder.layers.{layer}")
    return wanted
