"""Everything registered, plug-ins included, meets its contract."""

import pytest

from pancyte import registry, testing


@pytest.mark.parametrize("name", registry.names("tokenizers"))
def test_tokenizers(name):
    testing.check_tokenizer(name)


@pytest.mark.parametrize("name", sorted({*registry.names("priors")} - {"file", "go", "pathways"}))
def test_priors(name):
    testing.check_prior(name)


@pytest.mark.parametrize("name", ["file", "go", "pathways"])
def test_priors_from_files(name, data_dir):
    own = data_dir / "fm_vocab_and_weights" / "gene2vec_scbert_16906_f16.npz"
    testing.check_prior(name, **({"file": str(own)} if name == "file" else {}))


@pytest.mark.parametrize("name", registry.names("backbones"))
def test_backbones(name):
    testing.check_backbone(name)


@pytest.mark.parametrize("name", registry.names("objectives"))
def test_objectives(name):
    testing.check_objective(name)


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_metrics(name):
    testing.check_metric(name)


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_tasks(name):
    testing.check_task(name)
