"""Pickles are converted once, apart, and never run anything."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open

import pancyte as pan
from pancyte._settings import settings
from pancyte.errors import IntegrityError
from pancyte.importers.convert import read_dictionary, safe_weights
from pancyte.importers.unpack import report
from tests.importers.conftest import dump


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "was-run"


def test_the_payload_would_run(mark):
    pickle.loads(pickle.dumps(Payload(f"touch {mark}")))
    assert mark.exists()


def unpacked(path, kind):
    """What the other process would answer, asked in this one, which is faster."""
    target = path.with_suffix(".unpacked")
    answer = report(path, kind, target)
    assert target.exists() != ("error" in answer)
    return answer if "error" in answer else json.loads(target.read_text())


def test_a_payload_is_refused_in_the_other_process(tmp_path, mark):
    path = tmp_path / "best_model.pt"
    torch.save({"weight": torch.ones(2), "stray": Payload(f"touch {mark}")}, path)
    with pytest.raises(IntegrityError, match=r"it asks to run posix\.system") as refusal:
        safe_weights(path)
    assert not mark.exists()
    assert refusal.value.exit_code == 6
    assert not list(settings.cache_dir.rglob("*.partial"))


@pytest.mark.parametrize("zipped", [False, True])
def test_a_checkpoint_that_runs_a_command_is_refused(tmp_path, mark, zipped):
    path = tmp_path / "model.pt"
    content = {"weight": torch.ones(2), "stray": Payload(f"touch {mark}")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "it asks to run posix.system" in unpacked(path, "weights")["what"]
    assert not mark.exists()


@pytest.mark.parametrize("pack", [lambda evil: evil, lambda evil: np.array([evil], object)])
def test_a_dictionary_that_runs_a_command_is_refused(tmp_path, mark, pack):
    dump({"ENSG00000000001": pack(Payload(f"touch {mark}"))}, tmp_path / "tokens.pkl")
    assert "it asks to run" in unpacked(tmp_path / "tokens.pkl", "dictionary")["what"]
    assert not mark.exists()


def test_numbers_of_numpy_survive_exactly(tmp_path):
    given = {"a": np.float64(0.1), "b": np.int64(7), "c": 2.5, "d": 1, "e": "x"}
    for protocol in range(2, 6):
        path = tmp_path / f"{protocol}.pkl"
        path.write_bytes(pickle.dumps(given, protocol))
        assert unpacked(path, "dictionary") == given


@pytest.mark.parametrize("content", [[1, 2], {1: 2}, {"a": [1]}])
def test_other_content_is_refused(tmp_path, content):
    dump(content, tmp_path / "tokens.pkl")
    assert "cannot be unpacked" in unpacked(tmp_path / "tokens.pkl", "dictionary")["what"]


def test_a_pickle_is_converted_once_and_the_result_checked(tmp_path, monkeypatch):
    path = tmp_path / "best_model.pt"
    tensor = torch.arange(6.0).view(2, 3).T
    torch.save({"state_dict": {"weight": tensor, "steps": 5}}, path)
    first = safe_weights(path)
    assert first.left_out == ("steps",)
    with safe_open(first.path, framework="pt") as stored:
        assert torch.equal(stored.get_tensor("weight"), tensor)
    monkeypatch.setattr("pancyte.importers.convert.apart", None)
    assert safe_weights(path) == first
    content = bytearray(first.path.read_bytes())
    content[-1] ^= 1
    first.path.write_bytes(content)
    with pytest.raises(IntegrityError, match="SHA-256 differs"):
        safe_weights(path)


def test_cut_off_files_are_damaged(tmp_path, geneformer_folders):
    folder = shutil.copytree(geneformer_folders["V1"], tmp_path / "cut")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match="cannot be read"):
        pan.load(folder)
    torch.save({"weight": torch.ones(1000)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:2000])
    assert "cannot be unpacked" in report(tmp_path / "cut.pt", "weights", tmp_path / "out")["what"]


def test_the_shared_dictionaries_of_geneformer(data_dir):
    folder = data_dir / "fm_vocab_and_weights"
    tokens = read_dictionary(folder / "geneformer_token_dictionary.pkl")
    medians = read_dictionary(folder / "geneformer_gene_median_dictionary.pkl")
    assert (len(tokens), len(medians)) == (25_426, 25_424)
    assert (tokens["<pad>"], tokens["<mask>"]) == (0, 1)
    assert sorted(tokens.values()) == list(range(25_426))
    assert tokens.keys() - medians.keys() == {"<pad>", "<mask>"}
    assert json.dumps(tokens)
