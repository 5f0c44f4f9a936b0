from dataclasses import replace

import numpy as np
import pytest
import torch

from pancyte.objectives.gene import RANK_BINS, RANKS_PER_OCTAVE
from pancyte.objectives.next_gene import NextGene, NextGeneConfig

from .conftest import losses, network


def corrupted(objective, tokens):
    return objective.corrupt(tokens, torch.Generator().manual_seed(0))


def test_a_question_does_not_see_its_answer_nor_what_follows(ranked):
    tokens, features = ranked
    objective = NextGene(NextGeneConfig(ratio=1.0), width=32, features=features)
    seen, target = corrupted(objective, tokens)
    net = network(features, "rank").eval()
    place = 7
    ids = seen.ids.clone()
    changed = seen.offsets[:-1][seen.lengths > place] + place
    ids[changed] = (ids[changed] + 1) % features
    with torch.inference_mode():
        before = objective.asked(net(seen), target)
        after = objective.asked(net(replace(seen, ids=ids)), target)
    same = (before == after).all(dim=1)
    assert torch.equal(same, target["places"] <= place)


def test_the_first_gene_is_asked_of_nothing(ranked):
    tokens, features = ranked
    objective = NextGene(NextGeneConfig(ratio=1.0), width=32, features=features)
    seen, target = corrupted(objective, tokens)
    with torch.inference_mode():
        vectors = objective.asked(network(features, "rank").eval()(seen), target)
    first = vectors[target["places"] == 0]
    assert len(first) == len(tokens)
    torch.testing.assert_close(first, first[:1].expand_as(first), atol=1e-6, rtol=0)


def test_training_lowers_the_loss(ranked):
    tokens, features = ranked
    objective = NextGene(NextGeneConfig(), width=32, features=features)
    curve = losses(objective, network(features, "rank", depth=1), tokens)
    assert curve[-1] < curve[0]


def test_the_trivial_loss_is_that_of_genes_by_rank(ranked):
    tokens, features = ranked
    objective = NextGene(NextGeneConfig(), width=8, features=features)
    objective.fit_trivial(tokens)
    _, target = corrupted(objective, tokens)
    bins = lambda ranks: (RANKS_PER_OCTAVE * np.log2(ranks + 1)).astype(int)  # noqa: E731
    counts = np.ones((RANK_BINS, features))
    np.add.at(counts, (bins(tokens.values.numpy()), tokens.ids.numpy()), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    told = -np.log(shares[bins(target["ranks"].numpy()), target["ids"].numpy()]).mean()
    assert objective.trivial_loss(target)["gene"].item() == pytest.approx(told, rel=1e-5)
