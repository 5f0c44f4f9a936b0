"""Masked classes: hide on which step a gene's amount stands, and ask which of a few it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, nll_loss

from pancyte.errors import UsageError
from pancyte.objectives.objective import Objective, Target, choose
from pancyte.objectives.questions import answers, with_absent
from pancyte.shapes import HIDDEN_VALUE, Hidden, Tokens


@dataclass(frozen=True)
class MaskedClassConfig:
    """What is withheld.

    Attributes
    ----------
    ratio
        Share of each cell's expressed genes whose class is hidden.
    absent
        Questions about genes that are not expressed, for each token of the cell; the answer is
        class 0.
    classes
        How many classes there are.
    """

    ratio: float = 0.15
    absent: float = 0.0
    classes: int = 6

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise UsageError(f"classes is {self.classes}.", fix="Give 2 or more; scBERT has 6.")


class MaskedClass(Objective):
    """Predict in which expression bin some genes are, as one of a few unordered classes.

    The objective of scBERT (Yang et al., Nature Machine Intelligence 2022): cross-entropy over
    expression bins at 15 % of the expressed genes. A value's class is its whole part, the last
    class being open, so the tokenizer is usually ``log2``. The trivial predictor knows how often
    each gene is in each class, whatever the cell: most genes are nearly always in the same.
    """

    name = "masked_class"
    value_kind = "continuous"
    Config = MaskedClassConfig

    def __init__(self, config: MaskedClassConfig, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.answer = nn.Linear(width, config.classes)
        self.initialise(0)
        self.usual = torch.zeros(features, config.classes)

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Hide a share of the values, and add unexpressed genes with hidden values."""
        asked = torch.zeros(len(tokens.ids), dtype=torch.bool)
        asked[choose(tokens, self.config.ratio, generator)] = True
        share, features = self.config.absent, self.features
        whole, asked = with_absent(
            tokens, asked, share=share, features=features, generator=generator
        )
        seen = replace(whole, values=whole.values.masked_fill(asked, HIDDEN_VALUE))
        return seen, answers(whole, asked.nonzero().squeeze(1))

    def reads(self, target: Target) -> Tensor:
        """Those asked about."""
        return target["positions"]

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Cross-entropy over the classes, in nats."""
        asked = hidden.tokens[target["positions"]]
        guess = self.answer(gelu(self.mix(self.norm(asked))))
        return {"class": cross_entropy(guess.float(), self._classes(target))}

    def fit_trivial(self, tokens: Tokens) -> None:
        """Count each gene's classes, with add-one smoothing."""
        _, target = self.corrupt(tokens, torch.Generator().manual_seed(0))
        number = self.config.classes
        pairs = target["ids"].long() * number + self._classes(target)
        counts = torch.bincount(pairs, minlength=self.features * number).float() + 1
        table = counts.view(self.features, number)
        self.usual = (table / table.sum(1, keepdim=True)).log()

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Cross-entropy of each gene's frequencies."""
        ids = target["ids"].long()
        guess = self.usual.to(ids.device)[ids]
        return {"class": nll_loss(guess, self._classes(target))}

    def _classes(self, target: Target) -> Tensor:
        return target["values"].floor().long().clamp(0, self.config.classes - 1)
