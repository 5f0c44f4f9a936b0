"""The log for MLflow, in the run's folder unless the run file names a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pancyte.errors import MissingError
from pancyte.training.sinks.sink import Sink


@dataclass(frozen=True)
class MlflowConfig:
    """Where the log goes.

    Attributes
    ----------
    uri
        A tracking server or store; without it, a database ``mlflow.db`` in the run's folder.
    experiment
        The experiment's name.
    """

    uri: str = ""
    experiment: str = "pancyte"


class Mlflow(Sink):
    """Write an MLflow run; nothing leaves the machine unless `uri` names a server."""

    name = "mlflow"
    Config = MlflowConfig
    _client: Any = None
    _id = ""

    def open(self, folder: Path, step: int) -> None:
        """Begin a run; one that goes on is a new one with the same name."""
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise MissingError(
                "The sink 'mlflow' needs the package mlflow.",
                fix="pip install mlflow, or leave it out of `sinks`.",
            ) from error
        self._client = MlflowClient(self.config.uri or f"sqlite:///{folder / 'mlflow.db'}")
        found = self._client.get_experiment_by_name(self.config.experiment)
        name = self.config.experiment
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._id = self._client.create_run(experiment, run_name=self.run).info.run_id

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        """Finish the run."""
        if self._client:
            self._client.set_terminated(self._id)
            self._client = None
