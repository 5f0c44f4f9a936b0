"""Geneformer against transformers' own BERT, and its ranks against the published algorithm."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import pancyte as pan
from pancyte.models.model import by_length
from pancyte.shapes import HIDDEN_ID
from tests.importers.conftest import by_ensembl

VERSIONS = ("V1", "V2")


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def folder(geneformer_folders, version):
    return geneformer_folders[version]


@pytest.fixture
def model(folder):
    return pan.load(folder)


def published_tokens(cells, vocabulary, max_length):
    """Cell by cell as Geneformer: divide by the total, by the median, sort, cut."""
    medians, counts = vocabulary["median"].to_numpy(), cells.counts.toarray().astype(np.float64)
    columns = vocabulary.index.get_indexer(cells.features.index)
    for row in counts:
        total = row.sum()
        seen = np.flatnonzero((columns >= 0) & (row > 0))
        seen = seen[np.argsort(columns[seen])]
        ratio = row[seen] / total * 10_000 / medians[columns[seen]]
        yield columns[seen][np.argsort(-ratio, kind="stable")][:max_length]


def test_tokens_are_those_of_the_published_algorithm(model, cells):
    named = by_ensembl(cells)
    tokens = model.tokenizer(named)
    expected = list(
        published_tokens(named, model.tokenizer.vocabulary.table, model.tokenizer.config.max_length)
    )
    found = torch.split(tokens.ids, tokens.lengths.tolist())
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert int(tokens.lengths.max()) == {"V1": 128, "V2": 254}[pan_version(model)]


def pan_version(model):
    return "V2" if model.backbone.config.cls else "V1"


def reference(folder, tokens, version, special):
    """Hidden states and logits of transformers for the same cells, padded."""
    from transformers import BertForMaskedLM

    network = BertForMaskedLM.from_pretrained(folder).eval()
    first = special
    framed = version == "V2"
    rows = [
        [*([2] if framed else []), *(ids + first).tolist(), *([3] if framed else [])]
        for ids in torch.split(tokens.ids, tokens.lengths.tolist())
    ]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        out = network(ids, attention_mask=(ids != 0).long(), output_hidden_states=True)
    return ids, out


def test_hidden_states_and_logits_are_those_of_transformers(folder, version, model, cells):
    tokens = model.tokenizer(by_ensembl(cells)).select(torch.arange(0, 100, 9))
    special = {"V1": 2, "V2": 4}[version]
    _, expected = reference(folder, tokens, version, special)
    network, framed = model.backbone.eval(), version == "V2"
    with torch.no_grad():
        for skip in range(network.config.depth + 1):
            hidden = network(tokens, skip=skip)
            states = expected.hidden_states[network.config.depth - skip]
            ours = torch.split(hidden.tokens, tokens.lengths.tolist())
            for row, vectors in enumerate(ours):
                theirs = states[row, framed : framed + len(vectors)]
                assert (vectors - theirs).abs().max() < 1e-5
                if framed:
                    assert (hidden.cls[row] - states[row, 0]).abs().max() < 1e-5
        logits = model.objective.logits(network(tokens).tokens, network.embedding.feature.weight)
    for row, found in enumerate(torch.split(logits, tokens.lengths.tolist())):
        theirs = expected.logits[row, framed : framed + len(found), special:]
        assert (found - theirs).abs().max() < 1e-5


def test_the_embedding_is_the_published_one(folder, version, model, cells):
    named = by_ensembl(cells).select(np.arange(0, 100, 9))
    tokens = model.tokenizer(named)
    ids, expected = reference(folder, tokens, version, {"V1": 2, "V2": 4}[version])
    states = expected.hidden_states[-2]
    real = (ids > (0 if version == "V1" else 3)).unsqueeze(2)
    mean = (states * real).sum(1) / real.sum(1)
    chosen = states[:, 0] if version == "V2" else mean
    np.testing.assert_allclose(model.embed(named), chosen.numpy(), atol=1e-5)
    np.testing.assert_allclose(model.embed(named, pooling="mean"), mean.numpy(), atol=1e-5)


def test_a_withheld_gene_is_the_mask_token(folder, version, model, cells):
    tokens = model.tokenizer(by_ensembl(cells)).select(torch.arange(3))
    ids = tokens.ids.clone()
    ids[[3, 40, 90]] = HIDDEN_ID
    masked = replace(tokens, ids=ids)
    special = {"V1": 2, "V2": 4}[version]
    # their mask token is number 1
    shown = replace(tokens, ids=torch.where(ids == HIDDEN_ID, 1 - special, ids))
    _, expected = reference(folder, shown, version, special)
    with torch.no_grad():
        found = torch.split(model.backbone.eval()(masked).tokens, masked.lengths.tolist())
    framed = version == "V2"
    for row, vectors in enumerate(found):
        theirs = expected.hidden_states[-1][row, framed : framed + len(vectors)]
        assert (vectors - theirs).abs().max() < 1e-5


def test_saved_and_loaded_it_is_the_same_to_the_bit(model, cells, tmp_path):
    named = by_ensembl(cells).select(np.arange(8))
    model.save_pretrained(tmp_path / "mine")
    again = pan.load(tmp_path / "mine")
    assert again.fingerprint() == model.fingerprint()
    assert np.array_equal(again.embed(named), model.embed(named))
    assert len(by_length(model.tokenizer(named), 1000)) > 1
