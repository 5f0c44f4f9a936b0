import numpy as np
import pandas as pd
import pytest
import yaml

import pancyte as pan
from pancyte.errors import InputError, MissingError, UsageError
from pancyte.training.pretrain import prepare, pretrain
from pancyte.training.run import load_run


@pytest.fixture
def vectors(cells, tmp_path):
    names = cells.features.index[::2]
    table = pd.DataFrame(np.random.default_rng(0).standard_normal((len(names), 6)), index=names)
    table.rename(columns=str).to_parquet(tmp_path / "own.parquet")
    return table


@pytest.fixture
def write(tmp_path, cells_file):
    def written(*priors, **more):
        settings = {
            "name": "small",
            "train": [str(cells_file)],
            "tokenizer": {"name": "continuous", "max_length": 32},
            "backbone": {"name": "transformer", "depth": 1, "width": 32},
            "loop": {"steps": 2, "tokens_per_step": 512},
            "priors": list(priors),
        }
        (tmp_path / "run.yaml").write_text(yaml.safe_dump({**settings, **more}))
        return tmp_path / "run.yaml"

    return written


def test_a_run_with_priors_makes_a_model_that_keeps_them(write, vectors, tmp_path):
    run = write({"name": "coexpression", "dims": 4}, {"file": "own.parquet"})
    model = pretrain(run, tmp_path / "m")
    assert model.priors.dims == 10
    assert "coexpression + " in model.card.training["priors"]
    again = pan.load(tmp_path / "m")
    assert again.fingerprint() == model.fingerprint()
    fresh = prepare(load_run(run))[1].backbone.embedding.feature
    feature = again.backbone.embedding.feature
    assert (fresh.prior == feature.prior).all()
    for part in ("own", "basis"):
        moved = getattr(feature, part).weight - getattr(fresh, part).weight
        assert moved.abs().max() > 0, f"{part} was not trained"


def test_a_run_whose_vectors_changed_is_another_run(write, vectors, tmp_path):
    run = write({"file": "own.parquet"})
    pretrain(run, tmp_path / "m")
    vectors.iloc[:, ::-1].set_axis(list("abcdef"), axis=1).to_parquet(tmp_path / "own.parquet")
    with pytest.raises(UsageError, match="another run"):
        pretrain(run, tmp_path / "m")


def test_without_priors_the_model_is_what_it_was(write):
    model = prepare(load_run(write()))[1]
    assert model.priors is None
    assert "embedding.feature.weight" in model.backbone.state_dict()


def test_mistakes_in_priors_are_named(write, vectors, tmp_path):
    with pytest.raises(UsageError, match="no setting 'dim'"):
        prepare(load_run(write({"name": "coexpression", "dim": 4})))
    with pytest.raises(UsageError, match="No prior is registered as 'text'"):
        prepare(load_run(write("text")))
    with pytest.raises(MissingError, match=r"there\.parquet"):
        prepare(load_run(write({"file": "there.parquet"})))
    with pytest.raises(InputError, match="priors"):
        load_run(write(priors="coexpression"))
    vectors.set_axis([f"mine{i}" for i in range(len(vectors))]).rename(columns=str).to_parquet(
        tmp_path / "own.parquet"
    )
    with pytest.raises(InputError, match="knows none of the"):
        prepare(load_run(write({"file": "own.parquet"})))
