"""Ask what prior vectors of genes bring, beside vectors that say nothing.

Usage: ``python benchmarks/priors.py``. Needs ``PANCYTE_DATA``; writes ``docs/results/priors.md``.
About 20 minutes of one core, which three processes may share; what is measured is kept in
``build/priors.jsonl``, so that a run that was stopped goes on. ``--report`` writes what there is.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import json
import tempfile
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from priors_report import report
from stamp import RESULTS, ROOT, stamp

from pancyte._settings import settings
from pancyte.adaptation.probe import KNNProbe
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.metrics.classification import macro_f1
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.objectives.questions import with_absent
from pancyte.priors.coexpression import Coexpression
from pancyte.priors.file import File, FileConfig
from pancyte.priors.go import Go
from pancyte.priors.pathways import Pathways
from pancyte.priors.table import PriorTable
from pancyte.shapes import HIDDEN_VALUE, Cells, Tokens
from pancyte.store.corpus import Corpus
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig
from pancyte.training.feed import Feed
from pancyte.training.log import LOSS
from pancyte.training.loop import TRIVIAL, Loop, LoopConfig
from pancyte.training.pick import Pick

TRAIN = {"kang-pbmc-ifnb": 3000, "covid-balf": 2365, "lung-delorey": 1786, "celltypist-sample": 559}
TEST = {"baron-human": "donor", "hao-pbmc": "batch"}
SEEDS = 3
CELLS, RAREST = 500, 15
ASKED = 150
FEATURES, MAX_LENGTH, WIDTH, DEPTH, DIMS = 2500, 256, 64, 2, 64
STEPS, TOKENS, EVERY = 160, 2048, 40
DROPPED = 0.2
CONDITIONS = (
    "none",
    "coexpression",
    "coexpression, shuffled",
    "go",
    "go, shuffled",
    "random",
    "gene2vec",
    "pathways",
    "coexpression, never cold",
    "gene2vec, shuffled",
    "pathways, shuffled",
)
KEPT = ROOT / "build" / "priors.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    settings.verbosity = 0
    if not given.report:
        measure()
    head = stamp("python benchmarks/priors.py", "pancyte", "torch")
    text = report(pd.DataFrame(known()), head, CONDITIONS)
    (RESULTS / "priors.md").write_text(text, encoding="utf-8")
    print(text)


def measure() -> None:
    KEPT.parent.mkdir(exist_ok=True)
    tests = {name: few(name, CELLS, column) for name, column in TEST.items()}
    corpus = Corpus.of(*(few(name, cells) for name, cells in TRAIN.items()))
    config = TokenizerConfig(features=FEATURES, max_length=MAX_LENGTH)
    whole = ContinuousTokenizer(config).fit_corpus(corpus).vocabulary.table
    tables = sources(corpus)
    done = {(row["seed"], row["condition"]) for row in known()}
    # the data are read once; the seeds take turns with whatever else the machine does
    working = [
        get_context("fork").Process(target=one, args=(corpus, whole, tests, tables, seed, done))
        for seed in range(SEEDS)
    ]
    for process in working:
        process.start()
    for process in working:
        process.join()
    if any(process.exitcode for process in working):
        raise SystemExit("A process failed; start again to go on.")


def one(corpus, whole, tests, tables, seed, done) -> None:
    """Measure all conditions under one seed."""
    trial = Trial(corpus, whole, tests, tables, seed)
    for condition in CONDITIONS:
        if (seed, condition) in done:
            continue
        began = time.process_time()
        row = {"seed": seed, "condition": condition, **trial.score(condition)}
        row["cpu"] = time.process_time() - began
        with KEPT.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        print(seed, condition, f"{row['cpu']:.0f} CPU-s", flush=True)


def known() -> list[dict]:
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    return list(map(json.loads, lines))


def few(name: str, cells: int, column: str = "") -> Cells:
    """Some cells of a dataset, drawn without regard to labels; test cells have labels."""
    found = to_cells(load_dataset(name), name=name)
    if column:
        labelled = found.obs["cell_type" if "cell_type" in found.obs else "cell_ontology_class"]
        obs = found.obs.assign(label=labelled.astype(str), group=found.obs[column].astype(str))
        often = labelled.map(labelled.value_counts()).astype(float) >= RAREST * len(obs) / cells
        found = replace(found, obs=obs).select(often.to_numpy())
    rows = np.random.default_rng(0).permutation(len(found))[:cells]
    return found.select(np.sort(rows))


def sources(corpus: Corpus) -> dict[str, PriorTable]:
    path = settings.data_dir / "fm_vocab_and_weights" / "gene2vec_scbert_16906_f16.npz"
    config = FileConfig(file=str(path), dims=DIMS)
    return {
        "coexpression": Coexpression().table(corpus),
        "go": Go().table(corpus),
        "pathways": Pathways().table(corpus),
        "gene2vec": File(config).table(corpus),
    }


class Trial:
    """One seed: which genes are kept from training, the weights, the order of the cells."""

    def __init__(self, corpus, whole, tests, tables, seed) -> None:
        self.seed, self.tests, self.tables, self.fitted = seed, tests, tables, None
        rng = np.random.default_rng(seed)
        kept = np.ones(len(whole), bool)
        kept[rng.permutation(len(whole))[: int(DROPPED * len(whole))]] = False
        self.whole, self.dropped = whole, whole[~kept]
        config = TokenizerConfig(max_length=MAX_LENGTH)
        self.tokenizer = ContinuousTokenizer(config).fit_table(whole[kept])
        pick = Pick(corpus, [None] * len(corpus.parts))
        self.feed = Feed(pick, self.tokenizer, budget=TOKENS, seed=seed)
        self.held_out = Tokens.join(
            [self.tokenizer(cells.select(np.arange(ASKED))) for cells in tests.values()]
        )

    def prior(self, condition: str) -> PriorTable | None:
        name = condition.partition(",")[0]
        if name == "none":
            return None
        if name == "random":
            noise = np.random.default_rng(self.seed).standard_normal((len(self.whole), DIMS))
            return PriorTable.normalised(self.whole[["symbol"]], noise)
        table = self.tables[name]
        # only the genes of this test, so that a shuffled vector comes from one of them too
        rows = table.rows(self.whole)
        rows = rows[rows >= 0]
        own = PriorTable(table.genes.iloc[rows], table.vectors[rows])
        if condition.endswith("shuffled"):
            return own.shuffled(self.seed, self.tokenizer.vocabulary.table)
        return own

    def score(self, condition: str) -> dict[str, float]:
        prior = self.prior(condition)
        settings_of = {"depth": DEPTH, "width": WIDTH}
        if condition.endswith("never cold"):
            settings_of["cold"] = 0.0
        model = Model.create(
            self.tokenizer,
            backbone={"name": "transformer", "config": settings_of},
            objective={"name": "masked_value"},
            card=Card("small", species=["human"]),
            seed=self.seed,
            priors=prior,
        )
        found = {}
        if prior:
            found["known"] = prior.coverage(self.tokenizer.vocabulary.table)
            found["known_dropped"] = prior.coverage(self.dropped)
        found |= {f"f1_untrained_{key}": value for key, value in self.transfer(model).items()}
        found |= self.train(model)
        found |= {f"f1_{key}": value for key, value in self.transfer(model).items()}
        if prior:
            larger = model.extended(self.dropped)
            found |= {f"f1_more_{key}": value for key, value in self.transfer(larger).items()}
            found |= self.unseen(larger)
        return found

    def train(self, model: Model) -> dict[str, float]:
        config = LoopConfig(
            steps=STEPS, tokens_per_step=TOKENS, seed=self.seed, validate_every=EVERY,
            checkpoint_every=STEPS,
        )  # fmt: skip
        # the trivial predictors are the same for all conditions, so they are fitted once
        if self.fitted is None:
            model.objective.fit_trivial(self.feed.sample(TRIVIAL))
            self.fitted = model.objective
        for part in ("gene_guess", "by_depth", "ridge"):
            setattr(model.objective, part, getattr(self.fitted, part))
        model.objective.fit_trivial = lambda tokens: None
        with tempfile.TemporaryDirectory() as folder:
            Loop(model, self.feed, self.held_out, config=config, folder=Path(folder)).run()
            rows = map(json.loads, (Path(folder) / LOSS).read_text().splitlines())
            scored = [row for row in rows if "held_out_value" in row]
        last = scored[-1]
        return {f"loss_{row['step']}": row["held_out_value"] for row in scored} | {
            "trivial": last["trivial_value"], "ridge": last["rival_value_by_ridge"]
        }  # fmt: skip

    def transfer(self, model: Model) -> dict[str, float]:
        """Macro-F1 of 15 neighbours from other donors or lanes of the same dataset."""
        found = {}
        for name, cells in self.tests.items():
            vectors = model.embed(cells, tokens_per_minibatch=8192)
            labels, groups = cells.obs["label"].to_numpy(), cells.obs["group"].to_numpy()
            folds = pd.Categorical(groups).codes % 4
            guess = np.empty(len(labels), object)
            for fold in np.unique(folds):
                here = folds == fold
                probe = KNNProbe().fit(vectors[~here], labels[~here])
                guess[here] = probe.predict(vectors[here])
            found[name] = float(macro_f1(labels, guess.astype(str)))
        return found

    def unseen(self, larger: Model) -> dict[str, float]:
        """Squared error at genes that were never trained on, and of constants at the same."""
        size = len(self.tokenizer.vocabulary)
        generator = torch.Generator().manual_seed(self.seed)
        errors, truth = [], []
        for cells in self.tests.values():
            tokens = larger.tokenizer(cells.select(np.arange(ASKED)))
            asked = (tokens.ids >= size) & (torch.rand(len(tokens.ids), generator=generator) < 0.5)
            features = len(larger.tokenizer.vocabulary)
            whole, asked = with_absent(
                tokens, asked, share=0.5, features=features, generator=generator
            )
            # of the absent genes only the unseen ones are asked about
            asked &= whole.ids >= size
            seen = replace(whole, values=whole.values.masked_fill(asked, HIDDEN_VALUE))
            target = larger.objective.noted(whole, asked.nonzero().squeeze(1))
            with torch.inference_mode():
                larger.backbone.eval()
                hidden = larger.backbone(seen)
                errors.append(float(larger.objective.loss(hidden, target)["value"]))
            truth.append(target["values"])
        # the constant that would have been best
        constant = [float(values.var(correction=0)) for values in truth]
        return {"unseen": float(np.mean(errors)), "constant": float(np.mean(constant))}


if __name__ == "__main__":
    main()
