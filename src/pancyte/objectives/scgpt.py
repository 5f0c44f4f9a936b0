"""scGPT's heads: expression from a token, expression and class from the cell."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from pancyte.errors import UsageError
from pancyte.objectives.masked_value import MaskedValue, MaskedValueConfig
from pancyte.objectives.objective import Target
from pancyte.shapes import Hidden


@dataclass(frozen=True)
class ScGPTHeadsConfig(MaskedValueConfig):
    """What is withheld, as in `MaskedValueConfig`, and which heads there are.

    Attributes
    ----------
    ratio, absent
        0.4 and 0, as in scGPT's integration recipe on expressed genes.
    from_cell
        Weight of the values predicted from ``<cls>`` ("MVC"); 0 leaves that head out.
    zero
        Whether there are heads for the probability that a gene is expressed at all. They are kept
        and can be asked; `loss` does not train them.
    classes
        Classes of a classification head; 0 leaves it out. It is kept and can be asked too.
    class_layers
        Layers of that head.
    """

    ratio: float = 0.4
    absent: float = 0.0
    zero: bool = False
    classes: int = 0
    class_layers: int = 3

    def __post_init__(self) -> None:
        if self.likelihood != "mse":
            raise UsageError(
                f"scGPT's heads predict bins, not counts as {self.likelihood} needs.",
                fix="Use likelihood: mse, or the objective masked_value.",
            )


class ScGPTHeads(MaskedValue):
    """Predict hidden values from their tokens and from the cell's ``<cls>``, with scGPT's heads.

    The masked-value objectives "GEP" and "MVC" of scGPT (Cui et al., Nature Methods 2024). The
    trivial predictor and the rivals are those of `MaskedValue`.
    """

    name = "scgpt"
    Config = ScGPTHeadsConfig
    config: ScGPTHeadsConfig

    def make_heads(self) -> None:
        """Make the heads that the settings ask for."""
        width, config = self.width, self.config
        self.decoder = _from_token(width)
        self.zero = _from_token(width) if config.zero else None
        with_cell = bool(config.from_cell)
        self.query = nn.Linear(width, width) if with_cell else None
        self.weigh = nn.Linear(width, width, bias=False) if with_cell else None
        self.weigh_zero = nn.Linear(width, width) if with_cell and config.zero else None
        self.classifier = _of_classes(width, config) if config.classes else None

    def expression(self, vectors: Float[Tensor, "tokens width"]) -> Float[Tensor, " tokens"]:
        """Predict the binned value of each token."""
        return self.decoder(vectors).squeeze(1)

    def expressed(self, vectors: Float[Tensor, "tokens width"]) -> Float[Tensor, " tokens"]:
        """Predict the probability that each token's gene is not zero."""
        return self._there(self.zero, "zero")(vectors).squeeze(1).sigmoid()

    def from_cells(
        self, genes: Float[Tensor, "tokens width"], cells: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, " tokens"]:
        """Predict a gene's binned value from its vector in the table and its cell's ``<cls>``."""
        query = self._there(self.query, "from_cell")(genes).sigmoid()
        return (self._there(self.weigh, "from_cell")(query) * cells).sum(dim=1)

    def expressed_from_cells(
        self, genes: Float[Tensor, "tokens width"], cells: Float[Tensor, "tokens width"]
    ) -> Float[Tensor, " tokens"]:
        """Predict the probability that a gene is not zero, as `from_cells`."""
        query = self._there(self.query, "from_cell")(genes).sigmoid()
        return (self._there(self.weigh_zero, "zero")(query) * cells).sum(dim=1).sigmoid()

    def classify(self, cells: Float[Tensor, "cells width"]) -> Float[Tensor, "cells classes"]:
        """Score each class for each cell, from its ``<cls>``; logits."""
        return self._there(self.classifier, "classes")(cells)

    def reads(self, target: Target) -> Tensor:
        """Those asked about; the cell's own vector is its ``<cls>``."""
        return target["positions"]

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Mean squared error of the hidden values: from the tokens, and from the cells."""
        wanted = target["values"]
        terms = {"value": mse_loss(self.expression(self.asked(hidden, target)).float(), wanted)}
        if self.from_cell:
            genes = hidden.table[target["ids"].long()]
            guess = self.from_cells(genes, hidden.cls[target["cells"]])
            terms["cell"] = self.from_cell * mse_loss(guess.float(), wanted)
        return terms

    def _there(self, head: nn.Module | None, setting: str) -> nn.Module:
        if head is None:
            raise UsageError(
                "This model has no such head.", fix=f"It would have one with the setting {setting}."
            )
        return head


def _of_classes(width: int, config: ScGPTHeadsConfig) -> nn.Sequential:
    layers = [
        part
        for _ in range(config.class_layers - 1)
        for part in (nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width))
    ]
    return nn.Sequential(*layers, nn.Linear(width, config.classes))


def _from_token(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width),
        nn.LeakyReLU(),
        nn.Linear(width, width),
        nn.LeakyReLU(),
        nn.Linear(width, 1),
    )
