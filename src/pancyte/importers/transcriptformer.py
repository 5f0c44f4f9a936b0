"""TranscriptFormer: ``model_weights.pt``, ``config.json`` and a folder of vocabularies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pancyte.errors import IntegrityError, MissingError
from pancyte.importers.convert import read_dictionary, read_names, safe_weights
from pancyte.importers.importer import Blueprint, Importer, card_of, stored_shapes
from pancyte.importers.plan import Weight, pair

SOURCE = "TranscriptFormer (Pearce et al., bioRxiv 2025)"
FILE, VOCABULARIES = "model_weights.pt", "vocabs"
START, HIDDEN, UNKNOWN = "[START]", "[MASK]", "unknown"
GENERATES = "predicts the next gene and its count; the cell embedding does not use it"
IGNORED = {"mu.*": GENERATES, "gene_id_head.*": GENERATES}
PROTEINS = "gene_embeddings.embedding.weight"
NEEDED: dict[str, type | tuple[type, ...]] = {
    "num_heads": int,
    "num_layers": int,
    "model_dim": int,
    "embed_dim": int,
    "seq_len": int,
    "softcap": (int, float),
    "log_counts_eps": (int, float),
    "activation": str,
    "attn_bias": bool,
    "fw_bias": bool,
}


class Transcriptformer(Importer):
    """Loads TranscriptFormer: a generative transformer over genes of many species."""

    name = "transcriptformer"

    def recognises(self, folder: Path) -> bool:
        """Tell by ``model_weights.pt`` and a ``config.json`` with TranscriptFormer's parts."""
        if not (folder / FILE).is_file():
            return False
        try:
            return "model_config" in _config(folder)
        except IntegrityError:
            return False

    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read sizes, the genes of each species' file, and the levels of the assay."""
        config = _config(folder)
        sizes, data = config["model_config"], config.get("data_config", {})
        if wrong := [
            name for name, kind in NEEDED.items() if not isinstance(sizes.get(name), kind)
        ]:
            raise IntegrityError(
                f"{folder / 'config.json'} lacks a usable {wrong[0]}.", fix="Fetch it again."
            )
        weights = safe_weights(folder / FILE)
        shapes = stored_shapes(weights, str)
        place = vocabulary or folder / VOCABULARIES
        special = data.get("special_tokens") or []
        genes = _genes(place, data.get("esm2_mappings") or [])
        rows = shapes.get(PROTEINS, (0,))[0]
        if len(special) + len(genes) != rows or START not in special:
            raise IntegrityError(
                f"{place} has {len(genes):,} genes and there are {len(special)} special tokens, "
                f"the checkpoint has {rows:,} rows: they do not belong together.",
                fix="Use the vocabs that came with these weights.",
            )
        levels = _levels(place, data.get("aux_cols"), shapes)
        length = sizes["seq_len"] - 1
        backbone = {
            "features": len(genes),
            "value_kind": "continuous",
            "places": length,
            "context": {name: len(known) for name, known in levels.items()},
            "depth": sizes["num_layers"],
            "width": sizes["embed_dim"],
            "heads": sizes["num_heads"],
            "inner": sizes["model_dim"],
            "proteins": shapes[PROTEINS][1],
            "activation": sizes["activation"],
            "softcap": float(sizes["softcap"]),
            "count_eps": float(sizes["log_counts_eps"]),
            "attention_bias": sizes["attn_bias"],
            "inner_bias": sizes["fw_bias"],
            "dropout": float(sizes.get("dropout", 0.1)),
        }
        tokenizer = {
            "max_length": length,
            "clip": float(data.get("clip_counts") or 30),
            "context": {name: list(known) for name, known in levels.items()},
        }
        return Blueprint(
            title=f"TranscriptFormer, {len(data.get('esm2_mappings') or [])} species",
            weights=weights,
            tokenizer={"name": "transcriptformer", "config": tokenizer},
            backbone={"name": "transcriptformer", "config": backbone},
            objective={"name": "contrastive", "config": {}},
            vocabulary=pd.DataFrame({"median": 1.0}, pd.Index(genes, name="feature")),
            wanted=_wanted(backbone, special, levels),
            ignored=IGNORED,
            embedding={"pooling": "own"},
            card=card_of(
                folder,
                self.name,
                SOURCE,
                species=["see the published model's page"],
                corpus="CELLxGENE and atlases of up to 12 species",
                cells=112_000_000,
            ),
            facts={
                "vocabulary": f"{', '.join(data['esm2_mappings'])}: {len(genes):,} genes",
                "head": "a new one (contrastive); the published ones have no place here",
            },
        )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text("utf-8"))
        return dict(found["model"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} is damaged ({error}).", fix="Fetch it again.") from error


def _genes(place: Path, files: list[str]) -> list[str]:
    """List the genes of all species' files in the order of the checkpoint, each once."""
    genes: dict[str, None] = {}
    for name in files:
        path = place / Path(name).name
        if not path.is_file():
            raise MissingError(
                f"{place} has no {name}, which names the genes.",
                fix="Put the published vocabs there, or name their folder: vocabulary=… "
                "(--vocabulary).",
            )
        genes |= dict.fromkeys(read_names(path))
    return list(genes)


def _levels(
    place: Path, columns: str | list[str] | None, shapes: dict[str, tuple[int, ...]]
) -> dict[str, dict[str, int]]:
    """Read which levels of each per-cell column have a row, without the unknown one."""
    names = columns.split(",") if isinstance(columns, str) else columns or []
    found = {}
    for name in names:
        path = place / f"{name}_vocab.json"
        if not path.is_file():
            raise MissingError(
                f"{place} has no {path.name}.", fix="Put the published vocabs there."
            )
        known = {level: row for level, row in read_dictionary(path).items() if level != UNKNOWN}
        rows = shapes.get(f"aux_embeddings.{name}.weight", (0,))[0]
        if not all(isinstance(row, int) and 0 <= row < rows for row in known.values()):
            raise IntegrityError(
                f"{path} does not belong to the checkpoint, which has {rows:,} rows for {name}.",
                fix="Use the vocabs that came with these weights.",
            )
        found[name] = known
    return found


def _wanted(
    backbone: dict[str, Any], special: list[str], levels: dict[str, dict[str, int]]
) -> list[Weight]:
    """List the network's weights, and the keys of TranscriptFormer that they are made of."""
    first = len(special)
    rows = np.arange(first, first + backbone["features"])
    hidden = special.index(HIDDEN if HIDDEN in special else UNKNOWN)
    wanted = [
        Weight("backbone.embedding.protein", (PROTEINS,), rows),
        Weight("backbone.embedding.start", (PROTEINS,), special.index(START)),
        Weight("backbone.embedding.hidden", (PROTEINS,), hidden),
    ]
    for part, place in {"widen": 0, "norm": 2, "mix": 4}.items():
        wanted += pair(f"backbone.embedding.{part}", f"gene_embeddings.mlp.layers.{place}")
    for name, known in levels.items():
        key = f"aux_embeddings.{name}.weight"
        numbers = np.array(list(known.values()), np.int64)
        wanted.append(Weight(f"backbone.embedding.level.{name}.weight", (key,), numbers))
    attention = ("weight", "bias")[: 1 + backbone["attention_bias"]]
    forward = ("weight", "bias")[: 1 + backbone["inner_bias"]]
    for layer in range(backbone["depth"]):
        ours, theirs = f"backbone.layers.{layer}", f"transformer_encoder.encoder_layers.{layer}"
        maps = [f"{theirs}.self_attn.linears.{number}" for number in range(4)]
        for end in attention:
            wanted += [
                Weight(f"{ours}.qkv.{end}", tuple(f"{one}.{end}" for one in maps[:3])),
                Weight(f"{ours}.out.{end}", (f"{maps[3]}.{end}",)),
            ]
        for end in forward:
            wanted += [
                Weight(f"{ours}.expand.{end}", (f"{theirs}.linear1.{end}",)),
                Weight(f"{ours}.contract.{end}", (f"{theirs}.linear2.{end}",)),
            ]
        wanted += pair(f"{ours}.norm_attention", f"{theirs}.norm1")
        wanted += pair(f"{ours}.norm_forward", f"{theirs}.norm2")
    return wanted
