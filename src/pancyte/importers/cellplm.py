"""CellPLM: ``NAME.best.ckpt`` and ``NAME.config.json``, which names the genes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pancyte.errors import IntegrityError
from pancyte.importers.convert import safe_weights
from pancyte.importers.importer import Blueprint, Importer, card_of, read_settings, stored_shapes
from pancyte.importers.plan import Weight, pair, stacked
from pancyte.models.card import Card

SOURCE = "CellPLM (Wen et al., ICLR 2024)"
WEIGHTS, SETTINGS = ".best.ckpt", ".config.json"
NEEDED: dict[str, type | tuple[type, ...]] = {
    "gene_list": list,
    "enc_hid": int,
    "enc_layers": int,
    "post_latent_dim": int,
}
# what the published architecture is made of, and cannot be told from keys and shapes
FIXED = {
    "enc_mod": "flowformer", "latent_mod": "gmvae", "norm": "groupnorm", "cat_pe": False,
    "dsbn": False, "input_covariate": False,
}  # fmt: skip
HEADS = 8
TRAINS = "serves training and imputation; the cell embedding does not use it"
IGNORED = {
    "decoder.*": TRAINS,
    "head.*": TRAINS,
    "objective.*": TRAINS,
    "mask_model.*": TRAINS,
    "embedder.norm0.*": "in the file, but never run",
    "embedder.pe_enc.*": "places in tissue; never run in the published version",
    "latent.layers.1.inference.inference_qzyx.2.var.*": "spread around the mean, which is taken",
    "latent.layers.1.inference.y_*": TRAINS,
}
INFERENCE = "latent.layers.1.inference"


class CellPLM(Importer):
    """Loads CellPLM: cells as words, each the weighted sum of its genes."""

    name = "cellplm"

    def recognises(self, folder: Path) -> bool:
        """Tell by one checkpoint with its settings beside it."""
        return len(_names(folder)) == 1

    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read settings, which name the genes, and sizes from the checkpoint."""
        name = _names(folder)[0]
        file = (vocabulary or folder) / f"{name}{SETTINGS}"
        told = read_settings(file, NEEDED)
        for setting, usual in FIXED.items():
            if told.get(setting, usual) != usual:
                raise IntegrityError(
                    f"{file.name} has {setting} {told[setting]!r}.",
                    fix=f"Only models with {usual!r} can be loaded, which the published one is.",
                )
        weights = safe_weights(folder / f"{name}{WEIGHTS}")
        shapes = stored_shapes(weights, _usual)
        genes = [str(gene) for gene in told["gene_list"]]
        if len(set(genes)) < len(genes):
            raise IntegrityError(f"{file.name} names a gene twice.", fix="Fetch it again.")
        inner = shapes.get(f"{INFERENCE}.inference_qzyx.0.bias", (512,))[0]
        backbone = {
            "features": len(genes),
            "value_kind": "continuous",
            "places": len(genes),
            "depth": told["enc_layers"],
            "width": told["enc_hid"],
            "heads": int(told.get("enc_head", HEADS)),
            "latent": told["post_latent_dim"],
            "inner": inner,
            "clusters": int(told.get("num_clusters", 16)),
            "together": True,
            "dropout": float(told.get("model_dropout", 0.1)),
        }
        return Blueprint(
            title="CellPLM",
            weights=weights,
            tokenizer={"name": "cellplm", "config": {"max_length": len(genes)}},
            backbone={"name": "cellplm", "config": backbone},
            objective={"name": "masked_value", "config": {}},
            vocabulary=pd.DataFrame({"median": 1.0}, pd.Index(genes, name="feature")),
            wanted=_wanted(told["enc_layers"]),
            ignored=IGNORED,
            usual=_usual,
            embedding={"pooling": "own"},
            card=_card(folder),
            facts={
                "vocabulary": f"{file.name}: {len(genes):,} genes",
                "head": "a new one for masked values; the published decoder has no place here",
                "company": "all cells given at once see one another, as published",
            },
        )


def _names(folder: Path) -> list[str]:
    names = (file.name.removesuffix(WEIGHTS) for file in sorted(folder.glob(f"*{WEIGHTS}")))
    return [name for name in names if (folder / f"{name}{SETTINGS}").is_file()]


def _usual(name: str) -> str:
    return name.removeprefix("module.")


def _wanted(depth: int) -> list[Weight]:
    """List the network's weights, and the keys of CellPLM that they are made of."""
    parts = {
        "mix": "embedder.extra_linear.0",
        "norm": "embedder.extra_linear.3",
        "norm_last": "pre_latent_norm.norm",
        "latent.cluster": f"{INFERENCE}.inference_qyx.0.logits",
        "latent.widen": f"{INFERENCE}.inference_qzyx.0",
        "latent.mean": f"{INFERENCE}.inference_qzyx.2.mu",
    }
    wanted = [Weight("backbone.feature.weight", ("embedder.feat_enc.emb",))]
    for ours, theirs in parts.items():
        wanted += pair(f"backbone.{ours}", theirs)
    parts = {
        "out": "self_attn.out_projection",
        "norm_attention": "norm1",
        "norm_forward": "norm2",
        "expand": "_ff_block.0",
        "contract": "_ff_block.3",
    }
    for layer in range(depth):
        ours, theirs = f"backbone.layers.{layer}", f"encoder.layers.{layer}"
        maps = [f"{theirs}.self_attn.{part}_projection" for part in ("query", "key", "value")]
        wanted += stacked(f"{ours}.qkv", maps)
        for mine, other in parts.items():
            wanted += pair(f"{ours}.{mine}", f"{theirs}.{other}")
    return wanted


def _card(folder: Path) -> Card:
    return card_of(
        folder,
        "cellplm",
        SOURCE,
        species=["human"],
        corpus="cells with and without their place in tissue",
        cells=11_000_000,
    )
