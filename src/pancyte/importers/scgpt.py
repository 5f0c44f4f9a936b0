"""scGPT: a state dictionary, its arguments and a vocabulary of gene symbols."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pancyte.errors import IntegrityError, MissingError
from pancyte.importers.convert import safe_weights
from pancyte.importers.importer import Blueprint, Importer, read_settings, stored_shapes
from pancyte.importers.plan import Weight, encoder_layer, pair
from pancyte.models.card import Card

SOURCE = "scGPT (Cui et al., Nature Methods 2024)"
FILES = ("best_model.safetensors", "best_model.pt", "model.pt")
SPECIAL = ("<pad>", "<cls>", "<eoc>")
NEEDED: dict[str, type | tuple[type, ...]] = {
    "embsize": int,
    "nlayers": int,
    "nheads": int,
    "d_hid": int,
    "pad_value": (int, float),
}
TRAINING = "serves the training's own losses only"
IGNORED = {
    "flag_encoder.weight": "marks genes to generate in pre-training; absent from scGPT's own code",
    "grad_reverse_discriminator.*": TRAINING,
    "sim.*": TRAINING,
}
EMBEDDING = "encoder.embedding.weight"


class ScGPT(Importer):
    """Loads scGPT: a transformer over genes and binned values, whole-human or of an organ."""

    name = "scgpt"

    def recognises(self, folder: Path) -> bool:
        """Tell by ``args.json`` with scGPT's settings, and weights beside it."""
        if not (folder / "args.json").is_file() or not _weights(folder):
            return False
        try:
            read_settings(folder / "args.json", {"embsize": int, "nlayers": int})
        except IntegrityError:
            return False
        return True

    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read arguments, vocabulary and which heads the checkpoint has."""
        settings = read_settings(folder / "args.json", NEEDED)
        _check(settings, folder)
        weights = safe_weights(_weights(folder)[0])
        shapes = stored_shapes(weights, _usual)
        tokens = _tokens((vocabulary or folder) / "vocab.json", shapes, folder)
        genes = sorted((gene for gene in tokens if gene not in SPECIAL), key=tokens.__getitem__)
        objective = _heads(settings, shapes)
        style = settings.get("input_emb_style", "continuous")
        # what is fine-tuned to classify was shown 0 there, see docs/published-models.md
        tuned = objective["classes"] > 1
        bins = shapes.get("value_encoder.embedding.weight", (0,))[0]
        backbone = {
            "features": len(genes),
            "value_kind": "continuous",
            "places": int(settings.get("max_seq_len", 1200)) - 1,
            "depth": settings["nlayers"],
            "width": settings["embsize"],
            "heads": settings["nheads"],
            "inner": settings["d_hid"],
            "style": style,
            "bins": bins if style == "category" else 0,
            "cls_value": 0.0 if tuned else float(settings["pad_value"]),
            "mask_value": float(settings.get("mask_value", -1)),
            "dropout": float(settings.get("dropout", 0.2)),
        }
        tokenizer = {
            "max_length": backbone["places"],
            "bins": int(settings.get("n_bins", 51)),
            "logged": tuned,
        }
        ids = np.array([tokens[gene] for gene in genes], np.int64)
        unused = shapes[EMBEDDING][0] - len(tokens)
        more = f", {unused} rows without a name" if unused else ""
        return Blueprint(
            title="scGPT",
            weights=weights,
            tokenizer={"name": "scgpt", "config": tokenizer},
            backbone={"name": "scgpt", "config": backbone},
            objective={"name": "scgpt", "config": objective},
            vocabulary=pd.DataFrame(index=pd.Index(genes, name="feature")),
            wanted=_wanted(backbone, objective, ids, tokens["<cls>"]),
            ignored=IGNORED,
            usual=_usual,
            embedding={"pooling": "cls", "normalise": True},
            card=_card(folder, len(genes)),
            facts={
                "vocabulary": f"vocab.json: {len(genes):,} symbols, {' '.join(SPECIAL)}{more}",
                "heads": ", ".join(f"{name} {value}" for name, value in objective.items()),
            },
        )


def _check(settings: dict[str, Any], folder: Path) -> None:
    style = settings.get("input_emb_style", "continuous")
    if style not in ("continuous", "category", "scaling"):
        raise IntegrityError(
            f"{folder} reads values in the style {style!r}.",
            fix="continuous, category and scaling can be loaded.",
        )
    if settings.get("pre_norm"):
        raise IntegrityError(
            f"{folder} normalises before its layers, which scGPT's published models do not.",
            fix="Only post-norm models can be loaded.",
        )


def _weights(folder: Path) -> list[Path]:
    return [folder / name for name in FILES if (folder / name).is_file()]


def _tokens(path: Path, shapes: dict[str, tuple[int, ...]], folder: Path) -> dict[str, int]:
    """Read the vocabulary; special tokens it lacks come after its last, as in scGPT's code."""
    if not path.is_file():
        raise MissingError(
            f"{folder} has no vocab.json.",
            fix="Put it beside the weights, or name its folder: vocabulary=… (--vocabulary).",
        )
    try:
        tokens = json.loads(path.read_text("utf-8"))
        numbers = list(tokens.values())
        whole = all(isinstance(number, int) and number >= 0 for number in numbers)
    except (ValueError, AttributeError) as error:
        raise IntegrityError(f"{path} is damaged ({error}).", fix="Fetch it again.") from error
    if not whole or len(set(numbers)) < len(numbers):
        raise IntegrityError(
            f"{path} does not give each gene a number of its own.", fix="Fetch it again."
        )
    for token in SPECIAL:
        tokens.setdefault(token, len(tokens))
    rows = shapes.get(EMBEDDING, (0,))[0]
    if rows and max(tokens.values()) >= rows:
        raise IntegrityError(
            f"{path} numbers {max(tokens.values()) + 1:,} tokens, the checkpoint has {rows:,}: "
            "it belongs to another model.",
            fix="Use the vocab.json that came with these weights.",
        )
    return tokens


def _heads(settings: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Tell from the checkpoint's keys which heads there are."""
    classes = shapes.get("cls_decoder.out_layer.weight", (0,))[0]
    layers = {name.split(".")[2] for name in shapes if name.startswith("cls_decoder._decoder.")}
    return {
        "from_cell": float(any(name.startswith("mvc_decoder.") for name in shapes)),
        "zero": any(name.startswith("decoder.zero_logit.") for name in shapes),
        "classes": classes,
        "class_layers": len(layers) // 2 + 1 if classes else int(settings.get("n_layers_cls", 3)),
    }


def _usual(name: str) -> str:
    """Give a key the name it has without flash attention and without parallel training."""
    name = name.removeprefix("module.").replace("self_attn._impl.", "self_attn.")
    return name.replace("self_attn.Wqkv.", "self_attn.in_proj_")


def _wanted(
    backbone: dict[str, Any], objective: dict[str, Any], genes: np.ndarray, cls: int
) -> list[Weight]:
    """List the network's weights, and the keys of scGPT that they are made of."""
    wanted = [
        Weight("backbone.embedding.feature.weight", (EMBEDDING,), genes),
        Weight("backbone.embedding.cls", (EMBEDDING,), int(cls)),
        *pair("backbone.embedding.norm", "encoder.enc_norm"),
    ]
    if backbone["style"] == "continuous":
        parts = {"widen": "linear1", "mix": "linear2", "norm": "norm"}
        for ours, theirs in parts.items():
            wanted += pair(f"backbone.embedding.value.{ours}", f"value_encoder.{theirs}")
    elif backbone["style"] == "category":
        name = "value_encoder.embedding.weight"
        wanted.append(Weight("backbone.embedding.value.table.weight", (name,)))
        wanted += pair("backbone.embedding.value.norm", "value_encoder.enc_norm")
    for layer in range(backbone["depth"]):
        theirs = f"transformer_encoder.layers.{layer}"
        wanted += encoder_layer(f"backbone.layers.{layer}", theirs)
    return wanted + _wanted_heads(objective)


def _wanted_heads(objective: dict[str, Any]) -> list[Weight]:
    wanted = []
    heads = {"decoder.fc": "decoder"}
    if objective["zero"]:
        heads["decoder.zero_logit"] = "zero"
    for theirs, ours in heads.items():
        for place in (0, 2, 4):
            wanted += pair(f"objective.{ours}.{place}", f"{theirs}.{place}")
    if objective["from_cell"]:
        wanted += pair("objective.query", "mvc_decoder.gene2query")
        wanted.append(Weight("objective.weigh.weight", ("mvc_decoder.W.weight",)))
        if objective["zero"]:
            wanted += pair("objective.weigh_zero", "mvc_decoder.W_zero_logit")
    if objective["classes"]:
        for layer in range(objective["class_layers"] - 1):
            for place in (3 * layer, 3 * layer + 2):
                wanted += pair(f"objective.classifier.{place}", f"cls_decoder._decoder.{place}")
        last = 3 * (objective["class_layers"] - 1)
        wanted += pair(f"objective.classifier.{last}", "cls_decoder.out_layer")
    return wanted


def _card(folder: Path, genes: int) -> Card:
    return Card(
        name=folder.resolve().name,
        description=f"{SOURCE}, with {genes:,} genes; imported from a published folder.",
        species=["human"],
        trained_on=[
            {
                "name": "CELLxGENE Census, as published; not verifiable from the folder",
                "cells": 33_000_000,
                "content_hash": "unknown",
            }
        ],
        training={"imported": "by pancyte's importer scgpt; training as published"},
    )
