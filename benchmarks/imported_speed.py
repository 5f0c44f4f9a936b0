"""Embed the same cells with imported models and with the published code, with the same weights.

Usage: ``python benchmarks/imported_speed.py [--scgpt FOLDER] [--cells 32] [--rounds 3]``. FOLDER
is where the package scgpt 0.2.4 was unpacked (``pip download --no-deps scgpt==0.2.4``, then
``unzip``); without it only Geneformer is compared. Needs transformers. Writes
``docs/results/imported-speed.md``. Outputs are compared first; then both sides take turns on one
core, and CPU seconds are counted.
"""

import os

# One core for everybody, which torch, numpy and numba read when they are imported
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import importlib
import json
import logging
import pickle
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.models.model import Model
from pancyte.shapes import Cells, Tokens

SEED, MINIBATCH = 0, 16
Side = Callable[[], np.ndarray]
Compared = tuple[Cells, Model, Side, Side]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scgpt", type=Path)
    parser.add_argument("--cells", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cells = some_cells(given.cells)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        pan.settings.cache_dir = Path(work) / "cache"
        compared = {"Geneformer V1, 6 × 256": geneformer(cells, Path(work) / "geneformer")}
        if given.scgpt:
            few = cells.select(np.arange(0, len(cells), 4))
            compared["scGPT, 12 × 512"] = scgpt(few, Path(work) / "scgpt", given.scgpt)
        for name, sides in compared.items():
            rows += measured(name, sides, given.rounds)
    text = report(pd.DataFrame(rows), given.rounds)
    (RESULTS / "imported-speed.md").write_text(text, encoding="utf-8")
    print(text)


def some_cells(count: int) -> Cells:
    """Cells of the shipped pancreas data, drawn from all studies, under both kinds of names."""
    whole = to_cells(load_dataset("demo-pancreas"))
    rows = np.random.default_rng(SEED).choice(len(whole), count, replace=False)
    return whole.select(np.sort(rows))


def geneformer(cells: Cells, folder: Path) -> Compared:
    """V1 with random weights; transformers pads each minibatch of 16 to its longest cell."""
    from transformers import BertConfig, BertForMaskedLM

    genes = sorted(set(cells.features["ensembl_id"].astype(str)))
    tokens = {name: place for place, name in enumerate(["<pad>", "<mask>", *genes])}
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=256, num_hidden_layers=6, num_attention_heads=4,
        intermediate_size=512, max_position_embeddings=2048, hidden_act="relu",
        layer_norm_eps=1e-12, attn_implementation="eager",
    )  # fmt: skip
    network = BertForMaskedLM(config).eval()
    network.save_pretrained(folder)
    rng = np.random.default_rng(SEED)
    medians = {gene: float(rng.lognormal()) for gene in genes}
    for name, content in (("token_dictionary", tokens), ("gene_median_dictionary", medians)):
        (folder / f"{name}_gc30M.pkl").write_bytes(pickle.dumps(content))
    model = pan.load(folder)
    eager, fast = network.bert, BertForMaskedLM.from_pretrained(folder).eval().bert

    def theirs(bert) -> np.ndarray:
        found = []
        for part in minibatches(model.tokenizer(cells)):
            ids = padded(part, part.ids.long() + 2, 0, [])
            real = (ids != 0).long()
            with torch.inference_mode():
                states = bert(ids, attention_mask=real, output_hidden_states=True).hidden_states
            weight = real.unsqueeze(2)
            found.append((states[-2] * weight).sum(1) / weight.sum(1))
        return torch.cat(found).numpy()

    return cells, model, lambda: theirs(fast), lambda: theirs(eager)


def scgpt(cells: Cells, folder: Path, package: Path) -> Compared:
    """The published sizes with random weights; scGPT's network on minibatches of 16."""
    kind = their_network(package)
    genes = [str(gene) for gene in cells.features.index]
    tokens = {name: place for place, name in enumerate([*genes, "<pad>", "<cls>", "<eoc>"])}
    torch.manual_seed(SEED)
    network = kind(
        len(tokens), 512, 8, 512, 12, vocab=tokens, dropout=0.2, pad_value=-2, do_mvc=True
    ).eval()
    folder.mkdir()
    torch.save(network.state_dict(), folder / "best_model.pt")
    (folder / "vocab.json").write_text(json.dumps(tokens))
    settings = {"embsize": 512, "nlayers": 12, "nheads": 8, "d_hid": 512, "pad_value": -2}
    (folder / "args.json").write_text(json.dumps(settings))
    model = pan.load(folder)

    def theirs(fused: bool) -> np.ndarray:
        torch.backends.mha.set_fastpath_enabled(fused)
        found = []
        for part in minibatches(model.tokenizer(cells)):
            ids = padded(part, part.ids.long(), tokens["<pad>"], [tokens["<cls>"]])
            values = padded(part, part.values, -2.0, [-2.0])
            with torch.inference_mode():
                rows = network._encode(ids, values, ids == tokens["<pad>"])
            found.append(rows[:, 0])
        torch.backends.mha.set_fastpath_enabled(True)
        return torch.nn.functional.normalize(torch.cat(found)).numpy()

    return cells, model, lambda: theirs(True), lambda: theirs(False)


def their_network(package: Path):
    """Import scGPT's model file alone: the package itself would import much else."""
    warnings.filterwarnings("ignore", "flash_attn")
    for name, place in (("scgpt", "scgpt"), ("scgpt.model", "scgpt/model")):
        module = types.ModuleType(name)
        module.__path__ = [str(package / place)]
        module.logger = logging.getLogger(name)
        sys.modules[name] = module
    return importlib.import_module("scgpt.model.model").TransformerModel


def minibatches(tokens: Tokens) -> list[Tokens]:
    """Cells in the order of the file, as the published code takes them."""
    return [
        tokens.select(torch.arange(first, min(first + MINIBATCH, len(tokens))))
        for first in range(0, len(tokens), MINIBATCH)
    ]


def padded(tokens: Tokens, values: torch.Tensor, empty: float, first: list[float]) -> torch.Tensor:
    rows = [
        torch.cat([values.new_tensor(first), part])
        for part in torch.split(values, tokens.lengths.tolist())
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=empty)


def measured(name: str, compared: Compared, rounds: int) -> list[dict[str, object]]:
    """CPU seconds of all sides, taking turns, after their outputs were compared."""
    cells, model, theirs, plain = compared
    sides = {"pancyte": lambda: model.embed(cells), "as it runs": theirs, "plain": plain}
    answers = {side: run() for side, run in sides.items()}
    gap = max(float(np.abs(answers["pancyte"] - answers[s]).max()) for s in ("as it runs", "plain"))
    if gap > 1e-5:
        raise SystemExit(f"{name}: the embeddings differ by {gap:.1e}.")
    rows = []
    for turn in range(rounds):
        for side, run in sides.items():
            spent = time.process_time()
            run()
            spent = time.process_time() - spent
            rows.append({"model": name, "side": side, "round": turn, "cpu": spent, "gap": gap})
    lengths = model.tokenizer(cells).lengths.float()
    return [
        row | {"cells": len(cells), "tokens": float(lengths.mean()), "longest": int(lengths.max())}
        for row in rows
    ]


def report(spent: pd.DataFrame, rounds: int) -> str:
    lines = []
    for name, part in spent.groupby("model", sort=False):
        cpu = part.pivot(index="round", columns="side", values="cpu")
        first = part.iloc[0]
        ratios = [cpu[side] / cpu["pancyte"] for side in ("as it runs", "plain")]
        told = [f"{r.median():.1f}× ({r.min():.1f}–{r.max():.1f})" for r in ratios]
        speeds = [
            f"{first['cells'] / cpu[s].median():.2f}" for s in ("pancyte", "as it runs", "plain")
        ]
        lines.append(
            f"| {name} | {first['cells']} | {first['tokens']:,.0f} (≤ {first['longest']:,}) "
            f"| {' | '.join(speeds)} | {' | '.join(told)} | {first['gap']:.1e} |"
        )
    made = stamp("python benchmarks/imported_speed.py", "torch", "transformers", "numpy")
    return TEXT.format(
        stamp="\n".join(made),
        rows="\n".join(lines),
        rounds=rounds,
        size=MINIBATCH,
        head=HEAD,
    )


TEXT = """# Embedding with imported models

The same weights (random, in the published layout), the same pancreas cells, the same
tokens; embeddings were compared first, and the largest difference is in the last column.

{stamp}
- one core; rounds: {rounds}, the sides taking turns; CPU seconds, medians, and the range of ratios
- seed 0; the published code gets minibatches of {size} cells in the order of the file, padded to
  the longest; tokenising is counted on all sides, and is pancyte's

{head}
|---|---:|---|---:|---:|---:|---:|---:|---:|
{rows}

The published code is `transformers.BertModel` and scGPT's own `TransformerModel`. "As it runs" is
with what both libraries switch on by themselves in the versions above: `transformers` calls
PyTorch's fused attention, and PyTorch runs scGPT's encoder layers fused and on nested tensors,
without padding. "Plain" is the same code with that switched off, as older versions ran it. The
goals were 2× for Geneformer and 3× for scGPT.
"""

HEAD = (
    "| model | cells | genes a cell | pancyte, cells a CPU-s | as it runs | plain "
    "| ratio to as it runs | ratio to plain | largest difference |"
)

if __name__ == "__main__":
    main()
