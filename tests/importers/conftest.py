"""Folders of published models as their own code writes them, with random weights."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from pancyte._settings import settings
from pancyte.shapes import Cells

SPECIAL = {"V1": ("<pad>", "<mask>"), "V2": ("<pad>", "<mask>", "<cls>", "<eos>")}


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "cache_dir", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="session")
def _genes(pancreas) -> list[str]:
    return sorted(set(pancreas.var["ensembl_id"].astype(str).str.replace(r"\..*", "", regex=True)))


@pytest.fixture(scope="session")
def geneformer_folders(tmp_path_factory, _genes) -> dict[str, Path]:
    """A small Geneformer of each version, written by transformers, with pickled dictionaries."""
    return {
        version: geneformer(tmp_path_factory.mktemp(version), version, _genes)
        for version in SPECIAL
    }


def geneformer(folder: Path, version: str, genes: list[str], **changes) -> Path:
    from transformers import BertConfig, BertForMaskedLM

    rng = np.random.default_rng(0)
    tokens = {token: place for place, token in enumerate((*SPECIAL[version], *genes))}
    sizes = {"V1": (256, 4, 512, 128), "V2": (96, 3, 384, 256)}[version]
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=sizes[0],
        num_attention_heads=sizes[1],
        intermediate_size=sizes[2],
        max_position_embeddings=sizes[3],
        num_hidden_layers=3,
        hidden_act={"V1": "relu", "V2": "gelu"}[version],
        layer_norm_eps=1e-12,
        type_vocab_size=2,
        **changes,
    )
    torch.manual_seed(0)
    model = BertForMaskedLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "query" in name or "key" in name:
                parameter.mul_(8)
    model.save_pretrained(folder)
    suffix = {"V1": "gc30M", "V2": "gc104M"}[version]
    medians = {gene: np.float64(rng.lognormal()) for gene in genes}
    dump(tokens, folder / f"token_dictionary_{suffix}.pkl")
    dump(medians, folder / f"gene_median_dictionary_{suffix}.pkl")
    if version == "V2":
        mapping = {gene: gene for gene in genes} | {"ENSG99999999999": genes[5]}
        dump(mapping, folder / f"ensembl_mapping_dict_{suffix}.pkl")
    return folder


def dump(content: object, path: Path) -> None:
    with path.open("wb") as handle:
        pickle.dump(content, handle)


def by_ensembl(cells: Cells) -> Cells:
    """The same cells, named by Ensembl id."""
    features = pd.DataFrame(index=pd.Index(cells.features["ensembl_id"], name="gene"))
    return Cells(cells.counts, features, cells.obs, cells.context)


def edit(path: Path, **changes) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content))


@pytest.fixture(scope="session")
def scgpt_folder(tmp_path_factory, pancreas) -> Path:
    """A small scGPT with the continuous style, as a pickle, as it is published."""
    folder, network = scgpt(tmp_path_factory.mktemp("scgpt"), list(pancreas.var_names[::2]))
    torch.save(network.state_dict(), folder / "best_model.pt")
    (folder / "best_model.safetensors").unlink()
    return folder


def scgpt(folder: Path, genes: list[str], *, style: str = "continuous", **changes):
    """Write a checkpoint as scGPT's training does, and return it with the network it is of."""
    from tests.importers.scgpt_reference import Reference

    rng = np.random.default_rng(1)
    names = [*genes, "<pad>", "<cls>", "<eoc>"]
    vocabulary = {
        name: int(place) for name, place in zip(names, rng.permutation(len(names)), strict=True)
    }
    pad, mask = (51, 52) if style == "category" else (-2, -1)
    torch.manual_seed(1)
    network = Reference(len(names), 64, 4, 96, 3, style=style, bins=53, **changes).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    save_file(network.state_dict(), folder / "best_model.safetensors")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    settings = {
        "embsize": 64, "nlayers": 3, "nheads": 4, "d_hid": 96, "dropout": 0.2, "n_layers_cls": 3,
        "pad_value": pad, "mask_value": mask, "pad_token": "<pad>", "n_bins": 51,
        "max_seq_len": 300, "input_emb_style": style, "input_style": "binned",
    }  # fmt: skip
    (folder / "args.json").write_text(json.dumps(settings))
    return folder, network
