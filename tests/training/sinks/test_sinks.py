"""Each sink writes a real log, here, without a network."""

import pytest

from pancyte import registry
from pancyte.training.log import Log
from pancyte.training.pretrain import pretrain


def sink(name, **settings):
    kind = registry.get("sinks", name)
    return kind(registry.settings_of(kind, settings), "islets")


def write(folder, given):
    with Log(folder, sinks=[given]) as log:
        log.cut(0)
        log.write("loss.jsonl", step=1, loss=2.0, value=1.5)
        log.write("loss.jsonl", step=2, loss=1.0, value=0.5)


def test_tensorboard_shows_the_curves(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, sink("tensorboard"))
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 2.0), (2, 1.0)]


def test_a_run_that_goes_on_hides_what_came_after_its_checkpoint(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, sink("tensorboard"))
    with Log(tmp_path, sinks=[sink("tensorboard")]) as log:
        log.cut(1)
        log.write("loss.jsonl", step=2, loss=7.0)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.value for event in found.Scalars("loss")] == [2.0, 7.0]


def test_wandb_writes_here_and_uploads_nothing(tmp_path):
    pytest.importorskip("wandb")
    write(tmp_path, sink("wandb"))
    (log,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert b"islets" in log.read_bytes()


def test_mlflow_keeps_a_database_in_the_folder(tmp_path):
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    write(tmp_path, sink("mlflow"))
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("pancyte").experiment_id])
    points = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(1, 2.0), (2, 1.0)]


def test_a_run_file_names_its_sinks(small, tmp_path):
    pytest.importorskip("tensorboard")
    run = small({"sinks": ["tensorboard"]}, steps=2)
    pretrain(run, tmp_path / "model")
    assert list((tmp_path / "model.run" / "tensorboard").iterdir())
