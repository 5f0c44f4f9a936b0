import json
import shutil

import anndata as ad
import numpy as np
import pytest

import pancyte as pan
from pancyte._settings import settings
from pancyte.cli.main import run
from pancyte.errors import IntegrityError, MissingError, ResourceError, UsageError
from pancyte.models import hub as hubs
from pancyte.models import hub_client
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig
from tests.models.hub_server import TOKEN, Hub, Repo

pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, three_studies):
    model = Model.create(
        ContinuousTokenizer(TokenizerConfig(features=50, max_length=40)).fit(three_studies),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny", species=["human"]),
    )
    path = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(path)
    return path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with nothing in it, an empty cache, and no time lost between attempts."""
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(settings, "offline", False)
    monkeypatch.setattr(hub_client, "PAUSE", 0.01)
    yield server
    server.close()


@pytest.fixture
def repo(hub, folder):
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    repo = Repo({**files, "modeling.py": b"raise SystemExit", "pytorch_model.bin": b"pickle"})
    hub.repos["owner/tiny"] = repo
    return repo


def test_a_fetched_model_is_the_model(hub, repo, folder, cells):
    loaded = pan.load("hf:owner/tiny")
    assert loaded.fingerprint() == pan.load(folder).fingerprint()
    np.testing.assert_array_equal(loaded.embed(cells), pan.load(folder).embed(cells))


def test_the_command_line_takes_the_name(hub, repo, cells_file, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    for verb in (["check", cells_file], ["embed", cells_file, "-o", out]):
        with pytest.raises(SystemExit) as stop:
            run([str(word) for word in (*verb, "-m", "hf:owner/tiny")])
        assert stop.value.code == 0, capsys.readouterr().err
    assert "tiny" in capsys.readouterr().out
    assert "X_tiny" in ad.read_h5ad(out).obsm
    with pytest.raises(SystemExit) as stop:
        run(["embed", str(cells_file), "-m", "hf:owner/none", "-o", str(tmp_path / "no.h5ad")])
    assert stop.value.code == 4
    assert "hf:owner/none@main is not at" in capsys.readouterr().err


def test_only_data_are_fetched(hub, repo):
    found = hubs.fetch("hf:owner/tiny")
    names = {path.name for path in found.iterdir() if path.is_file()}
    assert names == {"config.json", "model.safetensors", "vocabulary.tsv", "README.md"}
    assert not {"modeling.py", "pytorch_model.bin"} & set(hub.downloads())


def test_nothing_is_fetched_twice(hub, repo):
    hubs.fetch("hf:owner/tiny")
    before = len(hub.downloads())
    hubs.fetch("hf:owner/tiny")
    assert len(hub.downloads()) == before
    pinned = f"hf:owner/tiny@{repo.commit}"
    hubs.fetch(pinned)
    asked = len(hub.asked)
    hubs.fetch(pinned)
    assert len(hub.asked) == asked, "a commit in the cache needs no network"


def test_a_branch_is_looked_up_anew(hub, repo):
    one = hubs.fetch("hf:owner/tiny")
    repo.files["README.md"] = b"# another card"
    two = hubs.fetch("hf:owner/tiny")
    assert one != two
    assert (two / "README.md").read_bytes() == b"# another card"
    assert (one / "README.md").read_bytes() != b"# another card"


def test_a_folder_of_a_repository(hub, repo):
    repo.files.update({f"small/{name}": content for name, content in dict(repo.files).items()})
    assert pan.load("hf:owner/tiny/small@v1").name == "tiny"
    with pytest.raises(MissingError, match="not there"):
        hubs.fetch("hf:owner/tiny/large")


def test_offline_uses_the_cache_or_says_what_would_help(hub, repo, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match=r"not in the cache.*offline"):
        hubs.fetch("hf:owner/tiny")
    assert not hub.asked
    monkeypatch.delenv("HF_HUB_OFFLINE")
    found = hubs.fetch("hf:owner/tiny")
    monkeypatch.setattr(settings, "offline", True)
    asked = len(hub.asked)
    assert hubs.fetch("hf:owner/tiny") == found
    assert len(hub.asked) == asked


def test_a_missing_repository_a_private_one_and_a_missing_revision(hub, repo, monkeypatch):
    with pytest.raises(
        MissingError, match=r"hf:owner/none@main is not at http://127.*may not do that"
    ):
        hubs.fetch("hf:owner/none")
    with pytest.raises(MissingError, match="no such revision: hf:owner/tiny@v2"):
        hubs.fetch("hf:owner/tiny@v2")
    repo.private = True
    with pytest.raises(MissingError, match="HF_TOKEN"):
        hubs.fetch("hf:owner/tiny")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hubs.fetch("hf:owner/tiny").is_dir()


def test_a_gated_repository_says_how_to_get_in(hub, repo, monkeypatch):
    repo.gated = True
    with pytest.raises(MissingError, match=r"gated.*accept terms.*HF_TOKEN"):
        hubs.fetch("hf:owner/tiny")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hubs.fetch("hf:owner/tiny").is_dir()


@pytest.mark.parametrize("where", ["api", "model.safetensors"])
def test_passing_faults_are_tried_again(hub, repo, where):
    repo.failures[where] = 2
    assert hubs.fetch("hf:owner/tiny").is_dir()
    assert repo.failures[where] == 0


def test_a_hub_that_keeps_failing_is_given_up(hub, repo):
    repo.failures["api"] = 100
    with pytest.raises(ResourceError, match="failed 4 times"):
        hubs.fetch("hf:owner/tiny")
    assert repo.failures["api"] == 96


def test_a_hub_that_is_not_there(hub, repo, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match=r"127\.0\.0\.1:9"):
        hubs.fetch("hf:owner/tiny")


def test_a_download_that_broke_off_goes_on(hub, repo, monkeypatch):
    # what the client keeps of a broken download is whole pieces, of 10 MB by default
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1024)
    half = len(repo.files["model.safetensors"]) // 2048 * 1024
    repo.cut["model.safetensors"] = half
    found = hubs.fetch("hf:owner/tiny")
    assert (found / "model.safetensors").read_bytes() == repo.files["model.safetensors"]
    ranges = [given for verb, path, given in hub.asked if path.endswith(".safetensors") and given]
    assert f"bytes={half}-" in ranges


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.tsv"])
def test_a_file_with_a_wrong_hash_is_refused_and_removed(hub, repo, name):
    repo.swapped.add(name)
    with pytest.raises(IntegrityError, match=f"{name} of hf:owner/tiny@main is not the file"):
        hubs.fetch("hf:owner/tiny")
    assert not list(settings.cache_dir.rglob(name))
    repo.swapped.clear()
    assert (hubs.fetch("hf:owner/tiny") / name).read_bytes() == repo.files[name]


def test_damage_in_the_cache_is_found_offline_and_mended_online(hub, repo, monkeypatch):
    path = hubs.fetch("hf:owner/tiny") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(settings, "offline", True)
    with pytest.raises(IntegrityError, match="was removed"):
        hubs.fetch("hf:owner/tiny")
    monkeypatch.setattr(settings, "offline", False)
    assert hubs.fetch("hf:owner/tiny") == path.parent
    assert path.read_bytes() == repo.files["model.safetensors"]


def test_weights_that_are_only_pickles_are_not_fetched(hub, repo):
    del repo.files["model.safetensors"]
    with pytest.raises(MissingError, match=r"only pickles \(pytorch_model.bin\).*importers"):
        hubs.fetch("hf:owner/tiny")
    assert not hub.downloads()


@pytest.mark.parametrize(
    "name",
    ["hf:tiny", "hf:owner/tiny/../x", "hf:owner/ti ny", "hf:/etc/passwd", "hf:owner/tiny@-x"],
)
def test_names_that_are_none(name):
    with pytest.raises(UsageError, match="hf:owner/repo"):
        pan.load(name)


def test_a_web_address_is_refused_with_what_to_write():
    with pytest.raises(UsageError, match="hf:owner/tiny"):
        pan.load("https://huggingface.co/owner/tiny")
    with pytest.raises(UsageError, match="download the folder"):
        pan.load("https://example.org/model.zip")


def test_what_the_record_says_stays_readable(hub, repo):
    hubs.fetch("hf:owner/tiny")
    record = hubs.address("hf:owner/tiny").record
    assert json.loads(record.read_text())["commit"] == repo.commit
    shutil.rmtree(record.parent)
    assert hubs.fetch("hf:owner/tiny").is_dir()
