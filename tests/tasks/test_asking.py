"""What a task asks of a method, and a pancyte model beside its random-weights control."""

from dataclasses import replace

import numpy as np
import pytest

from pancyte.errors import InputError
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.baselines import PCA, L1Logistic
from pancyte.tasks.embedding import Embedding
from pancyte.tasks.frozen import FrozenModel, RandomWeights, cell_hashes
from pancyte.tasks.task import Embeds, LabelProbabilities, Labels
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig


@pytest.fixture(scope="module")
def model(cells) -> Model:
    return Model.create(
        ContinuousTokenizer(TokenizerConfig(max_length=60)).fit(cells),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny", species=["human"]),
    )


@pytest.fixture(scope="module")
def split(dataset):
    return next(Annotation().splits(replace(dataset, held_out=("Muraro 2016",)), [0]))


def test_an_embedding_is_read_by_both_probes_and_a_labelling_method_as_it_is(split):
    assert list(Annotation().run(PCA(), split)) == ["knn", "logistic"]
    assert list(Annotation().run(L1Logistic(), split)) == ["direct"]
    assert isinstance(PCA(), Embeds)
    assert not isinstance(PCA(), Labels)


def test_types_the_reference_lacks_are_left_out_of_the_score(dataset):
    rare = "pancreatic ductal cell"
    labels = dataset.cells.obs["cell_type"].astype(str)
    cells = dataset.cells.select(
        np.flatnonzero((labels != rare) | (dataset.cells.obs["study"] == "Muraro 2016"))
    )
    held = replace(dataset, cells=cells, held_out=("Muraro 2016",))
    split = next(Annotation().splits(held, [0]))
    (arrays,) = Annotation().run(L1Logistic(), split).values()
    assert rare in split.query_labels
    assert rare not in arrays["y_true"]
    assert len(arrays["y_true"]) == (split.query_labels != rare).sum()


def test_a_models_vectors_are_its_own_and_its_control_changes_with_the_seed(model, split):
    frozen, control = FrozenModel(model), RandomWeights(model)
    reference, query = frozen.embed(split.reference, split.query)
    np.testing.assert_allclose(query, model.embed(split.query), atol=1e-5)
    np.testing.assert_allclose(reference, model.embed(split.reference), atol=1e-5)
    first, second = (control.embed(split.query, seed=seed)[0] for seed in (0, 1))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, control.embed(split.query, seed=0)[0])
    np.testing.assert_allclose(first, model.reinitialised(0).embed(split.query), atol=1e-5)


def test_a_cell_is_embedded_once_whatever_split_it_comes_in(model, cells):
    frozen = FrozenModel(model)
    (whole,) = frozen.embed(cells)
    order = np.random.default_rng(0).permutation(len(cells))[:50]

    def never(asked):
        raise LookupError(f"{len(asked)} cells were asked for again")

    frozen.model = type("Silent", (), {"embed": staticmethod(never)})()
    np.testing.assert_array_equal(frozen.embed(cells.select(order))[0], whole[order])
    counts = cells.counts.copy()
    counts.data[0] += 1
    with pytest.raises(LookupError, match=r"^1 cells were asked"):
        frozen.embed(replace(cells, counts=counts))


def test_a_cells_hash_knows_counts_genes_and_context_and_nothing_else(cells):
    hashes = cell_hashes(cells)
    assert len(set(hashes)) == len(cells)
    assert hashes[3] == cell_hashes(cells.select(np.array([3])))[0]
    assert cell_hashes(replace(cells, obs=cells.obs.iloc[:, :0])) == hashes
    renamed = replace(cells, features=cells.features.rename(lambda gene: f"{gene}.1"))
    elsewhere = replace(cells, context=cells.context.assign(assay="other"))
    for other in (renamed, elsewhere):
        assert not set(cell_hashes(other)) & set(hashes)


class Broken:
    """A stranger's method, wrong in one way."""

    name = "stranger"

    def __init__(self, change):
        self.change = change

    def embed(self, reference, *queries, batch_key, seed):
        return tuple(self.change(np.ones((len(cells), 2))) for cells in (reference, *queries))


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda Z: Z[1:], "gave embeddings of shape"), (lambda Z: Z * np.nan, "NaN or infinity")],
)
def test_a_method_that_loses_cells_or_gives_nan_is_told_so(change, message, split, dataset):
    with pytest.raises(InputError, match=f"stranger.*{message}"):
        Annotation().run(Broken(change), split)
    with pytest.raises(InputError, match=f"stranger.*{message}"):
        Embedding().run(Broken(change), next(Embedding().splits(dataset, [0])))


def test_probabilities_must_be_probabilities():
    names = np.array(["a", "b"])
    with pytest.raises(InputError, match="add up to 1"):
        LabelProbabilities(names, np.array([[0.5, 0.6]]))
    with pytest.raises(InputError, match="do not fit 2 labels"):
        LabelProbabilities(names, np.ones((1, 3)) / 3)
    tied = LabelProbabilities(names, np.array([[0.5, 0.5]]))
    assert list(tied.labels) == ["a"]


def test_without_batches_only_biology_is_asked_for(dataset):
    blind = replace(dataset, batch_key=None)
    assert "total" not in Embedding().metrics(blind)
    assert "harmony" not in Embedding().baselines(blind)
    assert Embedding().headline(blind) == "knn_purity"
    (arrays,) = Embedding().run(PCA(), next(Embedding().splits(blind, [0]))).values()
    assert set(arrays) == {"embedding", "labels"}
