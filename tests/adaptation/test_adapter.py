"""Every adaptation learns, leaves its base alone, and comes back from disk as it was."""

import numpy as np
import pytest

from pancyte.adaptation.adapter import Adapter
from pancyte.adaptation.probe import KNNProbe, LogisticProbe
from pancyte.adaptation.storage import load_adapter, save_adapter
from pancyte.adaptation.tuning import Tuning, held_out_cells
from pancyte.corpus.cells import column
from pancyte.errors import InputError, IntegrityError, MissingError, UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig

TRAINED = ("lora", "partial", "full")
SHORT = Tuning(epochs=2, rate=3e-3)


def tiny(cells, seed=0) -> Model:
    return Model.create(
        ContinuousTokenizer(TokenizerConfig(max_length=48)).fit(cells),
        backbone={"name": "transformer", "config": {"depth": 2, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny"),
        skip=1,
        seed=seed,
    )


@pytest.fixture(scope="module")
def cells(three_studies):
    kept = np.flatnonzero(column(three_studies, "study") == "Fasolino 2022")
    return three_studies.select(kept)


@pytest.fixture(scope="module")
def model(cells):
    return tiny(cells)


@pytest.fixture(scope="module")
def fitted(model, cells):
    kinds = ("knn", "linear", *TRAINED)
    return {
        kind: Adapter(model, kind, tuning=SHORT).fit(
            cells, label_key="cell_type", donor_key="donor"
        )
        for kind in kinds
    }


def test_frozen_kinds_are_the_probes(model, cells, fitted):
    Z, labels = model.embed(cells), column(cells, "cell_type")
    for kind, probe in (("knn", KNNProbe()), ("linear", LogisticProbe())):
        expected = probe.fit(Z, labels).predict_proba(Z)
        np.testing.assert_allclose(fitted[kind].predict_proba(cells), expected, atol=1e-4)


@pytest.mark.parametrize("kind", TRAINED)
def test_the_kept_epoch_is_the_best_on_held_out_donors(fitted, kind):
    history = fitted[kind].history_
    assert fitted[kind].best_epoch_ == int(np.argmin(history))
    assert len(set(history)) == len(history)


@pytest.mark.parametrize("kind", TRAINED)
def test_the_base_stays_and_only_what_is_open_changes(model, cells, fitted, kind):
    assert model.fingerprint() == tiny(cells).fingerprint()
    before = dict(model.backbone.named_parameters())
    trained = {name.removeprefix("network.") for name in fitted[kind].trained()}
    for name, value in fitted[kind].network.named_parameters():
        original = name.replace("parametrizations.weight.original", "weight")
        if name not in trained:
            np.testing.assert_array_equal(value.detach().numpy(), before[original].detach().numpy())
    sizes = {k: sum(v.numel() for v in fitted[k].trained().values()) for k in TRAINED}
    assert sizes["lora"] < sizes["partial"] < sizes["full"]


def test_a_type_of_one_donor_is_learned_even_if_that_donor_is_held_out(cells):
    donors, labels = column(cells, "donor"), column(cells, "cell_type")
    labels = np.where(donors == donors[0], np.char.add(labels, " of one donor"), labels)
    for seed in range(5):
        learned, held = held_out_cells(cells, labels, "donor", seed)
        assert set(labels[learned]) == set(labels)
        assert set(labels[held]) <= set(labels[learned])
        assert sorted([*learned, *held]) == list(range(len(labels)))
    first = np.unique(labels, return_index=True)[1]
    learned, held = held_out_cells(cells.select(first), labels[first], None, 0)
    assert len(learned) == len(first)
    assert not len(held)


def test_training_moves_the_network(model, cells):
    adapter = Adapter(model, "lora", tuning=Tuning(epochs=3, rate=1e-2))
    adapter.fit(cells, label_key="cell_type")
    assert adapter.best_epoch_ > 0
    assert adapter.history_[adapter.best_epoch_] < adapter.history_[0]
    assert np.abs(adapter.embed(cells) - model.embed(cells)).max() > 1e-3


def test_same_seed_same_bytes(model, cells, fitted):
    again = Adapter(model, "lora", tuning=SHORT).fit(
        cells, label_key="cell_type", donor_key="donor"
    )
    assert again.predict_proba(cells).tobytes() == fitted["lora"].predict_proba(cells).tobytes()


@pytest.mark.parametrize("kind", ["linear", *TRAINED])
def test_an_adapter_comes_back_as_it_was(model, cells, fitted, tmp_path, kind):
    save_adapter(fitted[kind], tmp_path / "adapter")
    again = load_adapter(tmp_path / "adapter", model)
    np.testing.assert_array_equal(again.predict_proba(cells), fitted[kind].predict_proba(cells))
    if kind == "lora":
        assert sum(f.stat().st_size for f in (tmp_path / "adapter").iterdir()) < 100_000


def test_another_base_or_a_damaged_file_is_refused(model, cells, fitted, tmp_path):
    folder = tmp_path / "adapter"
    save_adapter(fitted["lora"], folder)
    with pytest.raises(IntegrityError, match="was made for tiny"):
        load_adapter(folder, tiny(cells, seed=1))
    content = bytearray((folder / "adapter.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "adapter.safetensors").write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match="not what was saved"):
        load_adapter(folder, model)
    with pytest.raises(MissingError, match="not an adapter"):
        load_adapter(tmp_path, model)


def test_what_cannot_be_done_is_told(model, cells, fitted, tmp_path):
    with pytest.raises(UsageError, match="no adaptation 'lorra'"):
        Adapter(model, "lorra")
    with pytest.raises(UsageError, match="other than knn"):
        save_adapter(fitted["knn"], tmp_path / "knn")
    with pytest.raises(InputError, match="no column 'patient'"):
        Adapter(model, "lora").fit(cells, label_key="cell_type", donor_key="patient")
