"""scFoundation: ``models.ckpt``, of which the cell encoder is read, and its list of genes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pancyte.errors import IntegrityError, MissingError
from pancyte.importers.convert import safe_weights
from pancyte.importers.importer import Blueprint, Importer, card_of, stored_shapes
from pancyte.importers.plan import Weight, encoder_layer, pair

SOURCE = "scFoundation (Hao et al., Nature Methods 2024)"
FILE, GENES = "models.ckpt", "*gene_index*19264.tsv"
PART = "cell"
KIND = "mae_autobin"
DECODER = "the decoder over all genes; the cell embedding does not use it"
IGNORED = {
    "gene.*": "another of the three models in the file: for gene embeddings",
    "rde.*": "another of the three models in the file: for read-depth enhancement",
    "decoder.*": DECODER,
    "decoder_embed.*": DECODER,
    "norm.*": DECODER,
    "to_final.*": DECODER,
    "token_emb.emb_pad.weight": "fills short cells up; nothing sees it",
}
PLACES = "pos_emb.weight"


class ScFoundation(Importer):
    """Loads the encoder of scFoundation: expressed genes with learned bins, and read depth."""

    name = "scfoundation"

    def recognises(self, folder: Path) -> bool:
        """Tell by ``models.ckpt``."""
        return (folder / FILE).is_file()

    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read sizes, which the checkpoint tells, and the list of genes."""
        weights = safe_weights(folder / FILE)
        shapes = stored_shapes(weights, _usual)
        told = _settings(weights.settings, folder)
        genes, file = _genes(vocabulary or folder)
        # behind the genes the wanted depth, the measured depth, and padding
        rows = shapes.get(PLACES, (0, 0))
        if rows[0] != len(genes) + 3:
            raise IntegrityError(
                f"{folder} has {rows[0]:,} rows for {len(genes):,} genes and 3 more.",
                fix="Use the list of genes that came with these weights.",
            )
        encoder = told["encoder"]
        backbone = {
            "features": len(genes),
            "value_kind": "continuous",
            "places": len(genes),
            "depth": encoder["depth"],
            "width": encoder["hidden_dim"],
            "heads": encoder["heads"],
            "inner": 4 * encoder["hidden_dim"],
            "bins": told["bin_num"],
            "alpha": float(told["bin_alpha"]),
        }
        return Blueprint(
            title="scFoundation, encoder of the model for cells",
            weights=weights,
            tokenizer={"name": "scfoundation", "config": {"max_length": len(genes)}},
            backbone={"name": "scfoundation", "config": backbone},
            objective={"name": "masked_value", "config": {}},
            vocabulary=pd.DataFrame({"median": 1.0}, pd.Index(genes, name="feature")),
            wanted=_wanted(encoder["depth"], len(genes)),
            ignored=IGNORED,
            usual=_usual,
            embedding={"pooling": "own"},
            card=card_of(
                folder,
                self.name,
                SOURCE,
                species=["human"],
                corpus="public single-cell data",
                cells=50_000_000,
            ),
            facts={
                "vocabulary": f"{file.name}: {len(genes):,} symbols",
                "head": "a new one for masked values; the published decoder has no place here",
            },
        )


def _settings(told: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Find the sizes of the model for cells."""
    config = told.get(PART, {})
    try:
        if config["model"] != KIND:
            raise IntegrityError(
                f"{folder} is a {config['model']}.", fix=f"Only {KIND} can be loaded."
            )
        found = config["model_config"][KIND]
        merged = found | config.get("dataset_config", {}).get("rnaseq", {})
        sizes = [found["encoder"][name] for name in ("depth", "hidden_dim", "heads")]
        fits = all(isinstance(size, int) for size in [*sizes, merged["bin_num"]])
        if not fits or found["encoder"].get("module_type", "transformer") != "transformer":
            raise TypeError("a size is no number, or the encoder no transformer")
        return dict(merged)
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{folder / FILE} does not tell the sizes of its model '{PART}' ({error}).",
            fix="Use the models.ckpt that the authors publish.",
        ) from error


def _genes(place: Path) -> tuple[list[str], Path]:
    found = sorted(place.glob(GENES))
    if not found:
        raise MissingError(
            f"{place} has no list of genes ({GENES}).",
            fix="Put OS_scRNA_gene_index.19264.tsv of the scFoundation repository beside the "
            "weights, or name its folder: vocabulary=… (--vocabulary).",
        )
    try:
        table = pd.read_csv(found[0], sep="\t", dtype=str, keep_default_na=False)
        genes = table["gene_name"].tolist()
    except (ValueError, KeyError, OSError) as error:
        raise IntegrityError(f"{found[0]} is damaged ({error}).", fix="Fetch it again.") from error
    if len(set(genes)) < len(genes):
        raise IntegrityError(f"{found[0]} names a gene twice.", fix="Fetch it again.")
    return genes, found[0]


def _usual(name: str) -> str:
    """Give a key of the model for cells its name there; those of the others keep their prefix."""
    if name.startswith(("gene.", "rde.")):
        return name
    return name.removeprefix(f"{PART}.").removeprefix("module.").removeprefix("model.")


def _wanted(depth: int, genes: int) -> list[Weight]:
    """List the network's weights, and the keys of scFoundation that they are made of."""
    wanted = [
        Weight("backbone.embedding.feature.weight", (PLACES,), np.arange(genes)),
        Weight("backbone.embedding.wanted", (PLACES,), genes),
        Weight("backbone.embedding.measured", (PLACES,), genes + 1),
        *pair("backbone.embedding.value.spread", "token_emb.mlp"),
        *pair("backbone.embedding.value.mix", "token_emb.mlp2"),
        Weight("backbone.embedding.value.bin.weight", ("token_emb.emb.weight",)),
        Weight("backbone.embedding.value.hidden", ("token_emb.emb_mask.weight",), 0),
        *pair("backbone.norm", "encoder.norm"),
    ]
    for layer in range(depth):
        ours, theirs = f"backbone.layers.{layer}", f"encoder.transformer_encoder.{layer}"
        wanted += encoder_layer(ours, theirs)
    return wanted
