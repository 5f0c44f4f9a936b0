"""Geneformer V1 and V2: a Hugging Face folder of a BERT, and two dictionaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pancyte.errors import IntegrityError, MissingError
from pancyte.importers.convert import read_dictionary, safe_weights
from pancyte.importers.importer import Blueprint, Importer, read_settings
from pancyte.importers.plan import Weight, pair, stacked
from pancyte.models.card import Card
from pancyte.tokenizers.geneformer import ALIASES

SOURCE = "Geneformer (Theodoris et al., Nature 2023; V2: Chen et al. 2024)"
SPECIAL = ("<pad>", "<mask>", "<cls>", "<eos>")
VERSIONS = {
    25_426: "V1, gc30M (29.9 million cells)",
    20_275: "V2, gc104M or gc95M (up to 104 million cells)",
}
DICTIONARIES = {
    "tokens": "token_dictionary",
    "medians": "gene_median_dictionary",
    "names": "gene_name_id_dict",
    "mapping": "ensembl_mapping_dict",
}
NEEDED: dict[str, type | tuple[type, ...]] = {
    "hidden_size": int,
    "num_hidden_layers": int,
    "num_attention_heads": int,
    "intermediate_size": int,
    "max_position_embeddings": int,
    "vocab_size": int,
    "hidden_act": str,
    "layer_norm_eps": (int, float),
}
IGNORED = {
    "bert.embeddings.position_ids": "counts 0, 1, 2 …",
    "bert.pooler.*": "serves sequence classification; cell embeddings do not use it",
}
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


class Geneformer(Importer):
    """Loads Geneformer: a BERT over genes ranked by expression against their corpus median."""

    name = "geneformer"

    def recognises(self, folder: Path) -> bool:
        """Tell by ``config.json``, which says BERT, and weights beside it."""
        if not (folder / "config.json").is_file() or not _weights(folder):
            return False
        try:
            settings = read_settings(folder / "config.json", {"model_type": str})
        except IntegrityError:
            return False
        return settings["model_type"] == "bert"

    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read configuration and dictionaries; which version it is, the dictionary says."""
        settings = read_settings(folder / "config.json", NEEDED)
        _check(settings, folder)
        places = [vocabulary] if vocabulary else _around(folder)
        tokens, file = _tokens(places, settings["vocab_size"], folder)
        table = _table(tokens, places, file)
        ids = np.array([tokens[gene] for gene in table.index], np.int64)
        framed = {"cls": "<cls>" in tokens, "eos": "<eos>" in tokens}
        length = settings["max_position_embeddings"] - sum(framed.values())
        version = "V2" if framed["cls"] else "V1"
        backbone = {
            "features": len(table),
            "value_kind": "rank",
            "places": length,
            "depth": settings["num_hidden_layers"],
            "width": settings["hidden_size"],
            "heads": settings["num_attention_heads"],
            "inner": settings["intermediate_size"],
            "activation": settings["hidden_act"],
            "norm_eps": float(settings["layer_norm_eps"]),
            "dropout": float(settings.get("hidden_dropout_prob", 0.0)),
            **framed,
        }
        head = {name: backbone[name] for name in ("activation", "norm_eps")}
        known = VERSIONS.get(settings["vocab_size"], f"{version}-like, of its own genes")
        others = [token for token in SPECIAL if token in tokens]
        return Blueprint(
            title=f"Geneformer {version}",
            weights=safe_weights(_weights(folder)[0]),
            tokenizer={"name": "geneformer", "config": {"max_length": length}},
            backbone={"name": "bert", "config": backbone},
            objective={"name": "masked_language", "config": head},
            vocabulary=table,
            wanted=_wanted(ids, tokens, settings["num_hidden_layers"]),
            ignored=IGNORED,
            tied=TIED,
            usual=_usual,
            embedding={"skip": 1, "pooling": "cls" if framed["cls"] else "mean"},
            card=_card(folder, version, known),
            facts={"vocabulary": f"{file.name}: {len(table):,} genes, {' '.join(others)}; {known}"},
        )


def _check(settings: dict[str, Any], folder: Path) -> None:
    if settings["hidden_act"] not in ("relu", "gelu"):
        raise IntegrityError(
            f"{folder} has the activation {settings['hidden_act']!r}.",
            fix="relu and gelu can be loaded.",
        )
    if settings.get("position_embedding_type", "absolute") != "absolute":
        raise IntegrityError(
            f"{folder} has {settings['position_embedding_type']} places.",
            fix="Only learned, absolute places can be loaded.",
        )


def _weights(folder: Path) -> list[Path]:
    names = ("model.safetensors", "pytorch_model.bin")
    return [folder / name for name in names if (folder / name).is_file()]


def _around(folder: Path) -> list[Path]:
    """List where the published repository keeps dictionaries, seen from a model's folder."""
    whole = folder.resolve()
    roots = [whole, *list(whole.parents)[:2]]
    within = ("", "geneformer", "geneformer/gene_dictionaries_30m")
    return [root / part for root in roots for part in within if (root / part).is_dir()]


def _dictionaries(places: list[Path], kind: str) -> list[Path]:
    stem = DICTIONARIES[kind]
    found = [file for place in places for file in sorted(place.glob(f"*{stem}*"))]
    return [file for file in found if file.suffix in (".pkl", ".json")]


def _tokens(places: list[Path], size: int, folder: Path) -> tuple[dict[str, int], Path]:
    """Find the token dictionary of this model: the one with as many tokens as the network."""
    sizes = []
    for file in _dictionaries(places, "tokens"):
        found = read_dictionary(file)
        if len(found) != size:
            sizes.append(f"{file.name} with {len(found):,}")
        elif sorted(found.values()) != list(range(size)) or "<pad>" not in found:
            raise IntegrityError(
                f"{file} does not number its {size:,} tokens from 0.", fix="Fetch it again."
            )
        else:
            return found, file
    if sizes:
        raise IntegrityError(
            f"{folder} has {size:,} tokens, and there is only {', '.join(sizes)}: the dictionary "
            "of another version.",
            fix="V1 (25,426 tokens) needs the gc30M dictionaries, V2 (20,275) those of gc104M.",
        )
    raise MissingError(
        f"There is no token dictionary for {folder}.",
        fix="Put token_dictionary*.pkl and gene_median_dictionary*.pkl from the geneformer "
        "repository beside the weights, or name their folder: vocabulary=… (--vocabulary).",
    )


def _table(tokens: dict[str, int], places: list[Path], file: Path) -> pd.DataFrame:
    """Make the vocabulary: a row per gene in the order of the tokens, medians, names, old ids."""
    genes = sorted((gene for gene in tokens if gene not in SPECIAL), key=tokens.__getitem__)
    medians = _medians(genes, places, file)
    table = pd.DataFrame({"median": medians}, pd.Index(genes, name="feature"))
    for names in _beside(_dictionaries(places, "names"), file):
        symbols = pd.Series({gene: name for name, gene in read_dictionary(names).items()})
        table.insert(0, "symbol", symbols.reindex(genes).fillna("").to_numpy())
    if "<cls>" not in tokens:
        return table
    for mapping in _beside(_dictionaries(places, "mapping"), file):
        pairs = pd.Series(read_dictionary(mapping), dtype=str).rename_axis("old").reset_index()
        pairs = pairs[(pairs["old"] != pairs[0]) & pairs[0].isin(genes)]
        pairs["old"] = pairs["old"].str.replace(" ", "")
        joined = pairs.groupby(0)["old"].agg(" ".join)
        table[ALIASES] = joined.reindex(genes).fillna("").to_numpy()
    return table


def _medians(genes: list[str], places: list[Path], file: Path) -> np.ndarray:
    lacking = [file.name]
    for found in _beside(_dictionaries(places, "medians"), file, best=False):
        known = read_dictionary(found)
        if all(gene in known for gene in genes):
            medians = np.array([known[gene] for gene in genes], np.float64)
            if (medians > 0).all():
                return medians
        lacking.append(found.name)
    raise MissingError(
        f"No gene_median_dictionary has a median above 0 for every gene of {file.name}"
        f" (looked at {', '.join(lacking[1:]) or 'none'}).",
        fix="Put that of the same version beside it.",
    )


def _beside(found: list[Path], file: Path, *, best: bool = True) -> list[Path]:
    """Order files by likeness to the token dictionary's version and place; the first if `best`."""
    suffix = file.stem.rpartition("_")[2]

    def unlike(other: Path) -> tuple[bool, bool]:
        return other.stem.rpartition("_")[2] != suffix, other.parent != file.parent

    ordered = sorted(found, key=unlike)
    return ordered[:1] if best else ordered


def _usual(name: str) -> str:
    """Give a key the name it has in ``BertForMaskedLM``."""
    name = name.removeprefix("module.")
    return name if name.startswith(("bert.", "cls.", "classifier.")) else f"bert.{name}"


def _wanted(genes: np.ndarray, tokens: dict[str, int], depth: int) -> list[Weight]:
    """List the network's weights, and the keys of ``BertForMaskedLM`` that they are made of."""
    words, rows = "bert.embeddings.word_embeddings.weight", genes
    wanted = [
        Weight("backbone.embedding.feature.weight", (words,), rows),
        Weight("backbone.embedding.place.weight", ("bert.embeddings.position_embeddings.weight",)),
        Weight("backbone.embedding.kind", ("bert.embeddings.token_type_embeddings.weight",), 0),
        *pair("backbone.embedding.norm", "bert.embeddings.LayerNorm"),
        *pair("objective.mix", "cls.predictions.transform.dense"),
        *pair("objective.norm", "cls.predictions.transform.LayerNorm"),
        Weight("objective.bias", ("cls.predictions.bias",), rows),
    ]
    named = {"hidden": "<mask>", "cls": "<cls>", "eos": "<eos>"}
    wanted += [
        Weight(f"backbone.embedding.{ours}", (words,), int(tokens[token]))
        for ours, token in named.items()
        if token in tokens
    ]
    parts = {
        "out": "attention.output.dense",
        "norm_attention": "attention.output.LayerNorm",
        "expand": "intermediate.dense",
        "contract": "output.dense",
        "norm_forward": "output.LayerNorm",
    }
    for layer in range(depth):
        ours, theirs = f"backbone.layers.{layer}", f"bert.encoder.layer.{layer}"
        inputs = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
        wanted += stacked(f"{ours}.qkv", inputs)
        for mine, other in parts.items():
            wanted += pair(f"{ours}.{mine}", f"{theirs}.{other}")
    return wanted


def _card(folder: Path, version: str, known: str) -> Card:
    return Card(
        name=folder.resolve().name,
        description=f"{SOURCE}, {known}; imported from a published folder.",
        species=["human"],
        trained_on=[
            {
                "name": f"Genecorpus of {version}, as published; not verifiable from the folder",
                "cells": 29_900_000 if version == "V1" else 104_000_000,
                "content_hash": "unknown",
            }
        ],
        training={"imported": "by pancyte's importer geneformer; training as published"},
    )
