"""One interface to every way of fitting a model to labelled cells, from votes to full training."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from pancyte.adaptation.lora import add_low_rank
from pancyte.adaptation.probe import KNNProbe, LogisticProbe
from pancyte.adaptation.tuning import Tuning, held_out_cells, tune
from pancyte.corpus.cells import column, to_cells
from pancyte.errors import UsageError
from pancyte.shapes import Cells

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.models.model import Model

log = logging.getLogger(__name__)

Kind = Literal["knn", "linear", "lora", "partial", "full"]


class Adapter:
    """Teach a pre-trained model the cell types of a labelled set of cells.

    Parameters
    ----------
    model
        The base; it is not changed.
    kind
        ``"knn"``: the 15 nearest labelled cells vote. ``"linear"``: a logistic regression on
        the frozen embedding. ``"lora"``: small additions to the network's matrices as well.
        ``"partial"``: its last layer as well. ``"full"``: all of it. (Without labels, zero-shot,
        is `pancyte.tl.embed`.)
    rank
        Width of the additions of ``"lora"``.
    tuning
        Rate, epochs, patience, minibatch and seed of what is trained by gradients.

    Attributes
    ----------
    classes_
        The labels, sorted.
    history_
        Log loss of the held-out donors before training and after each epoch.
    best_epoch_
        The epoch that is kept; 0 is the linear probe itself.

    Notes
    -----
    Training by gradients starts from the linear probe's solution (Kumar et al. 2022,
    arXiv:2202.10054) and stops on donors it has not seen; so on those it is never worse than
    the linear probe. With too few cells to hold any out it is the linear probe.
    """

    def __init__(
        self, model: Model, kind: Kind = "linear", *, rank: int = 4, tuning: Tuning | None = None
    ) -> None:
        if kind not in get_args(Kind):
            raise UsageError(
                f"There is no adaptation {kind!r}.", fix=f"Use {', '.join(get_args(Kind))}."
            )
        self.model, self.kind, self.rank = model, kind, rank
        self.tuning = tuning or Tuning()
        self.network: nn.Module = model.backbone
        self.classes_: np.ndarray
        self.history_: list[float] = []
        self.best_epoch_ = 0

    def fit(self, data: AnnData | Cells, *, label_key: str, donor_key: str | None = None) -> Self:
        """Learn from labelled cells.

        Parameters
        ----------
        data
            Raw counts; cells without a label are left out.
        label_key
            Column of the labels.
        donor_key
            Column of donors, a fifth of which is held out to stop by; without it, a fifth of
            the cells of each type, which stops too late for other donors.
        """
        cells = _cells(data)
        cells = cells.select(column(cells, label_key) != "")
        labels = column(cells, label_key)
        Z = self.model.embed(cells)
        if self.kind == "knn":
            self._probe = KNNProbe().fit(Z, labels)
            self.classes_ = self._probe.classes_
            return self
        if self.kind == "linear":
            self._start_head(LogisticProbe().fit(Z, labels))
            return self
        learned, held = held_out_cells(cells, labels, donor_key, self.tuning.seed)
        self._start_head(LogisticProbe().fit(Z[learned], labels[learned]))
        self.open_network()
        if not len(held):
            log.warning(
                "%d cells of %d types leave none to stop by; the network stays as it is.",
                len(labels),
                len(self.classes_),
            )
            return self
        codes = torch.from_numpy(np.searchsorted(self.classes_, labels))
        self.history_, self.best_epoch_ = tune(
            self, self.model.tokenizer(cells), codes, (learned, held), self.tuning
        )
        return self

    def embed(self, data: AnnData | Cells) -> np.ndarray:
        """Represent cells by the adapted network, (cells, width) float32."""
        adapted = copy.copy(self.model)
        adapted.backbone = self.network  # type: ignore[assignment]
        return adapted.embed(_cells(data))

    def predict_proba(self, data: AnnData | Cells) -> np.ndarray:
        """Return the probability of each label, (cells, labels), columns as `classes_`."""
        Z = self.embed(data)
        if self.kind == "knn":
            return self._probe.predict_proba(Z)
        weight, bias = (part.detach().cpu().double().numpy() for part in self.head.parameters())
        return np.asarray(softmax(Z.astype(np.float64) @ weight.T + bias, axis=1))

    def predict(self, data: AnnData | Cells) -> np.ndarray:
        """Label cells; the first label of the alphabet if tied."""
        return self.classes_[self.predict_proba(data).argmax(axis=1)]

    def trained(self) -> dict[str, nn.Parameter]:
        """What training may change, by name."""
        named = {f"head.{name}": value for name, value in self.head.named_parameters()}
        network = self.network.named_parameters()
        return named | {f"network.{n}": value for n, value in network if value.requires_grad}

    def open_network(self) -> None:
        """Copy the base's network and open to training what this kind trains."""
        self.network = copy.deepcopy(self.model.backbone)
        if self.kind == "lora":
            add_low_rank(self.network, self.rank, seed=self.tuning.seed)
            return
        self.network.requires_grad_(self.kind == "full")
        if self.kind == "partial":
            layers: Any = getattr(self.network, "layers", None)
            if layers is None:
                raise UsageError(
                    f"The network {self.model.backbone.name!r} has no list of layers.",
                    fix="Use lora or full.",
                )
            layers[len(layers) - 1 - self.model.skip].requires_grad_(True)

    def _start_head(self, probe: LogisticProbe) -> None:
        self.classes_ = probe.classes_
        coefficients, bias = probe.regression_.coef_, probe.regression_.intercept_
        if len(coefficients) == 1:
            coefficients = np.vstack([-coefficients, coefficients]) / 2
            bias = np.concatenate([-bias, bias]) / 2
        weight = coefficients / probe.scaler_.scale_
        self.head = nn.Linear(weight.shape[1], len(weight))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
            self.head.bias.copy_(torch.from_numpy(bias - weight @ probe.scaler_.mean_))


def _cells(data: AnnData | Cells) -> Cells:
    return data if isinstance(data, Cells) else to_cells(data)
