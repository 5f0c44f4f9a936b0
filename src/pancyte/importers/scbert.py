"""scBERT: a ``.pth`` checkpoint of a Performer, and the AnnData file that names its genes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pancyte.errors import IntegrityError, MissingError
from pancyte.importers.convert import safe_weights
from pancyte.importers.importer import Blueprint, Importer, card_of, genes_of, stored_shapes
from pancyte.importers.plan import Weight, pair

SOURCE = "scBERT (Yang et al., Nature Machine Intelligence 2022)"
WEIGHTS, GENES = "panglao_pretrain*.pth", "panglao*.h5ad"
IGNORED = {
    "to_out.weight": "answers which bin is withheld; the embedding does not use it",
    "to_out.bias": "answers which bin is withheld; the embedding does not use it",
    "performer.calls_since_last_redraw": "counts steps of training",
}
TABLE = "pos_emb.emb.weight"
ATTENTION = "performer.net.layers.0.0.fn"


class ScBERT(Importer):
    """Loads scBERT: a Performer over 16,906 genes, expressed or not."""

    name = "scbert"

    def recognises(self, folder: Path) -> bool:
        """Tell by ``panglao_pretrain.pth``, or a ``.pth`` beside ``panglao_….h5ad``."""
        return len(_weights(folder)) == 1

    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read sizes, which the checkpoint tells, and the order of the genes."""
        weights = safe_weights(_weights(folder)[0])
        shapes = stored_shapes(weights, _usual)
        projection = f"{ATTENTION}.fast_attention.projection_matrix"
        needed = (TABLE, "token_emb.weight", projection, f"{ATTENTION}.to_q.weight")
        if lacking := [name for name in needed if name not in shapes]:
            raise IntegrityError(
                f"{folder} has no {lacking[0]}: it is no scBERT with gene2vec.",
                fix="Only the published architecture can be loaded.",
            )
        place = vocabulary or folder
        found = sorted(place.glob(GENES))
        if not found:
            raise MissingError(
                f"{place} has no {GENES}, which names the genes in the order of the checkpoint.",
                fix="Put panglao_10000.h5ad of the scBERT repository beside the weights, or name "
                "its folder: vocabulary=… (--vocabulary).",
            )
        genes = genes_of(found[0])
        rows, width = shapes[TABLE]
        if len(genes) != rows - 1 or not genes.is_unique:
            raise IntegrityError(
                f"{found[0]} has {len(genes):,} genes, the checkpoint {rows - 1:,}.",
                fix="Use the file that came with these weights.",
            )
        random, head_width = shapes[projection]
        depth = len({n.split(".")[3] for n in shapes if n.startswith("performer.net.layers.")})
        backbone: dict[str, Any] = {
            "features": len(genes),
            "value_kind": "continuous",
            "places": len(genes),
            "depth": depth,
            "width": width,
            "heads": shapes[f"{ATTENTION}.to_q.weight"][0] // head_width,
            "head_width": head_width,
            "random": random,
            "inner": shapes["performer.net.layers.0.1.fn.fn.w1.weight"][0],
            "bins": shapes["token_emb.weight"][0],
        }
        return Blueprint(
            title="scBERT",
            weights=weights,
            tokenizer={
                "name": "scbert",
                "config": {"max_length": len(genes), "highest": backbone["bins"] - 2},
            },
            backbone={"name": "scbert", "config": backbone},
            objective={"name": "masked_class", "config": {}},
            vocabulary=pd.DataFrame({"median": 1.0}, pd.Index(genes, name="feature")),
            wanted=_wanted(depth),
            ignored=IGNORED,
            usual=_usual,
            embedding={"pooling": "mean"},
            card=card_of(
                folder,
                self.name,
                SOURCE,
                species=["human"],
                corpus="PanglaoDB",
                cells=1_100_000,
            ),
            facts={
                "vocabulary": f"{found[0].name}: {len(genes):,} symbols",
                "head": "a new one for masked classes; the published one has no place here",
            },
        )


def _weights(folder: Path) -> list[Path]:
    if named := sorted(folder.glob(WEIGHTS)):
        return named
    return sorted(folder.glob("*.pth")) if any(folder.glob(GENES)) else []


def _usual(name: str) -> str:
    return name.removeprefix("module.")


def _wanted(depth: int) -> list[Weight]:
    """List the network's weights, and the keys of scBERT that they are made of."""
    wanted = [
        Weight("backbone.bin.weight", ("token_emb.weight",)),
        Weight("backbone.gene", (TABLE,)),
        *pair("backbone.norm", "norm"),
    ]
    for layer in range(depth):
        ours, theirs = f"backbone.layers.{layer}", f"performer.net.layers.{layer}"
        maps = tuple(f"{theirs}.0.fn.to_{part}.weight" for part in "qkv")
        projection = f"{theirs}.0.fn.fast_attention.projection_matrix"
        wanted += [
            Weight(f"{ours}.qkv.weight", maps),
            Weight(f"{ours}.features", (projection,)),
            *pair(f"{ours}.norm_attention", f"{theirs}.0.norm"),
            *pair(f"{ours}.out", f"{theirs}.0.fn.to_out"),
            *pair(f"{ours}.norm_forward", f"{theirs}.1.norm"),
            *pair(f"{ours}.expand", f"{theirs}.1.fn.fn.w1"),
            *pair(f"{ours}.contract", f"{theirs}.1.fn.fn.w2"),
        ]
    return wanted
