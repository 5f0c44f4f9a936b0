"""Embed the same cells with imported models and with the published code, with the same weights.

Usage: ``python benchmarks/imported_speed.py [--scgpt FOLDER] [--cells 64] [--rounds 2]``. FOLDER
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
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.identity import resolve
from pancyte.models.model import Model
from pancyte.shapes import Cells, Tokens

SEED = 0
SETS = {"pancreas": "pancreas-4studies", "blood": "kang-pbmc-ifnb"}
TOGETHER, FINE = 64, 8
"""Cells of a minibatch, scGPT's default (Geneformer's is 100); and where they are sorted, few, as
among 64 cells these are as alike as 100 among 800."""
OURS, FUSED, PLAIN, SORTED = "pancyte", "as it runs", "plain", "sorted, "
Side = Callable[[], np.ndarray]
Compared = tuple[Cells, Model, dict[str, Side]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scgpt", type=Path)
    parser.add_argument("--cells", type=int, default=TOGETHER)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        pan.settings.cache_dir = Path(work) / "cache"
        for title, source in SETS.items():
            cells = some_cells(source, given.cells)
            compared = {"Geneformer V1, 6 × 256": geneformer(cells, Path(work) / f"G {title}")}
            if given.scgpt:
                compared["scGPT, 12 × 512"] = scgpt(cells, Path(work) / title, given.scgpt)
            for name, sides in compared.items():
                rows += measured(f"{name} | {title}", sides, given.rounds)
                print(pd.DataFrame(rows[-len(sides[2]) :]), flush=True)
    text = report(pd.DataFrame(rows), given.rounds)
    (RESULTS / "imported-speed.md").write_text(text, encoding="utf-8")
    print(text)


def some_cells(source: str, count: int) -> Cells:
    """Cells of a data set at random, under both kinds of names."""
    adata = load_dataset(source)
    # Kang's cells have symbols alone, and Geneformer reads Ensembl ids
    found = resolve(adata.var_names, "human", "ensembl")["target"].reset_index(drop=True)
    one = ~found.duplicated() & (found != "")
    adata = adata[:, one.to_numpy()].copy()
    adata.var["ensembl_id"] = found[one].to_numpy(str)
    whole = to_cells(adata)
    rows = np.random.default_rng(SEED).choice(len(whole), count, replace=False)
    return whole.select(np.sort(rows))


def geneformer(cells: Cells, folder: Path) -> Compared:
    """V1 with random weights; transformers pads each minibatch to its longest cell."""
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

    def theirs(bert, by_length: bool) -> np.ndarray:
        tokens = model.tokenizer(cells)
        order = torch.argsort(-tokens.lengths) if by_length else torch.arange(len(tokens))
        found = []
        for part in minibatches(tokens.select(order), FINE if by_length else TOGETHER):
            ids = padded(part, part.ids.long() + 2, 0, [])
            real = (ids != 0).long()
            with torch.inference_mode():
                states = bert(ids, attention_mask=real, output_hidden_states=True).hidden_states
            weight = real.unsqueeze(2)
            found.append((states[-2] * weight).sum(1) / weight.sum(1))
        return torch.cat(found)[torch.argsort(order)].numpy()

    networks = {FUSED: fast, PLAIN: eager}
    return (
        cells,
        model,
        {
            f"{SORTED * by_length}{side}": partial(theirs, bert, by_length)
            for by_length in (False, True)
            for side, bert in networks.items()
        },
    )


def scgpt(cells: Cells, folder: Path, package: Path) -> Compared:
    """The published sizes with random weights; scGPT's network on minibatches of 64."""
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
        for part in minibatches(model.tokenizer(cells), TOGETHER):
            ids = padded(part, part.ids.long(), tokens["<pad>"], [tokens["<cls>"]])
            values = padded(part, part.values, -2.0, [-2.0])
            with torch.inference_mode():
                rows = network._encode(ids, values, ids == tokens["<pad>"])
            found.append(rows[:, 0])
        torch.backends.mha.set_fastpath_enabled(True)
        return torch.nn.functional.normalize(torch.cat(found)).numpy()

    return cells, model, {FUSED: lambda: theirs(True), PLAIN: lambda: theirs(False)}


def their_network(package: Path):
    """Import scGPT's model file alone: the package itself would import much else."""
    warnings.filterwarnings("ignore", "flash_attn")
    for name, place in (("scgpt", "scgpt"), ("scgpt.model", "scgpt/model")):
        module = types.ModuleType(name)
        module.__path__ = [str(package / place)]
        module.logger = logging.getLogger(name)
        sys.modules[name] = module
    return importlib.import_module("scgpt.model.model").TransformerModel


def minibatches(tokens: Tokens, together: int) -> list[Tokens]:
    """Cells as they come, so many at a time."""
    return [
        tokens.select(torch.arange(first, min(first + together, len(tokens))))
        for first in range(0, len(tokens), together)
    ]


def padded(tokens: Tokens, values: torch.Tensor, empty: float, first: list[float]) -> torch.Tensor:
    rows = [
        torch.cat([values.new_tensor(first), part])
        for part in torch.split(values, tokens.lengths.tolist())
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=empty)


def measured(name: str, compared: Compared, rounds: int) -> list[dict[str, object]]:
    """CPU seconds of all sides, taking turns, after their outputs were compared."""
    cells, model, published = compared
    answers = {side: run() for side, run in published.items()}
    ours = model.embed(cells)
    gap = max(float(np.abs(ours - answer).max()) for answer in answers.values())
    sides = {OURS: lambda: model.embed(cells), **published}
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
        for way, before in (("as they come", ""), ("sorted", SORTED)):
            if before + FUSED not in cpu:
                continue
            theirs = [cpu[before + side] for side in (FUSED, PLAIN)]
            ratios = [seconds / cpu[OURS] for seconds in theirs]
            told = [f"{r.median():.1f}× ({r.min():.1f}–{r.max():.1f})" for r in ratios]
            speeds = [f"{first['cells'] / s.median():.2f}" for s in (cpu[OURS], *theirs)]
            lines.append(
                f"| {name} | {first['tokens']:,.0f} (≤ {first['longest']:,}) | {way} "
                f"| {' | '.join(speeds)} | {' | '.join(told)} | {first['gap']:.1e} |"
            )
    made = stamp("python benchmarks/imported_speed.py", "torch", "transformers", "numpy")
    return TEXT.format(
        stamp="\n".join(made), rows="\n".join(lines), rounds=rounds, head=HEAD,
        cells=spent["cells"].max(), size=TOGETHER, fine=FINE,
    )  # fmt: skip


TEXT = """# Embedding with imported models

The same weights (random, in the published layout), the same cells, the same tokens; embeddings were
compared first, and the largest difference is in the last column.

{stamp}
- one core; rounds: {rounds}, the sides taking turns; CPU seconds, medians, and the range of ratios
- {cells} cells of pancreas-4studies and of kang-pbmc-ifnb, drawn with seed 0; tokenising is counted
  on all sides, and is pancyte's
- the published code gets {size} cells at a time as they come, which is scGPT's default
  (Geneformer's is 100), padded to the longest. Geneformer's own extractor sorts all cells by
  length first, which is the row *sorted*: {fine} at a time, since {fine} among {cells} are as alike
  as 100 among some hundreds

{head}
|---|---|---|---|---:|---:|---:|---:|---:|---:|
{rows}

The published code is `transformers.BertModel` and scGPT's own `TransformerModel`. "As it runs" is
with what both libraries switch on by themselves in the versions above: `transformers` calls
PyTorch's fused attention, and PyTorch runs scGPT's encoder layers fused and on nested tensors,
without padding in their linear parts. "Plain" is the same code with that switched off, as older
versions ran it. The goals were 2× for Geneformer and 3× for scGPT.
"""

HEAD = (
    "| model | cells | genes a cell | order of theirs | pancyte, cells a CPU-s | as it runs "
    "| plain | ratio to as it runs | ratio to plain | largest difference |"
)

if __name__ == "__main__":
    main()
