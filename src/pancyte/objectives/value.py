"""What the objectives that ask for values share: two heads, two likelihoods, the usual value."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from pancyte.objectives.gene_means import lines, mean_counts, mean_values
from pancyte.objectives.likelihood import counts_of, guessed, scales_of, score
from pancyte.objectives.objective import Objective, Target, choose
from pancyte.objectives.questions import answers, visible_mean, with_absent
from pancyte.objectives.ridge import CELLS, Ridge
from pancyte.shapes import Hidden, Tokens


class ValueObjective(Objective):
    """Ask how much there is of a gene, of its token, of its cell's vector, or of both.

    The answer is a value, or a distribution of counts whose mean is proportional to the cell's
    depth. Subclasses set `from_tokens` and define `corrupt`; their `Config` has `likelihood` and
    `absent`.
    """

    value_kind = "continuous"
    from_tokens: ClassVar[bool] = True
    """Whether there are tokens of the genes asked about, so that there is a term `value`."""

    def __init__(self, config: Any, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.make_heads()
        self.initialise(0)
        self.gene_guess = torch.zeros(features, 1)
        self.any_depth: Tensor | None = None
        self.by_depth: Tensor | None = None
        self.ridge: Ridge | None = None

    def make_heads(self) -> None:
        """Make what answers from a token's vector, and from the cell's."""
        numbers = guessed(self.config.likelihood)
        if self.from_tokens:
            self.norm = nn.LayerNorm(self.width)
            self.mix = nn.Linear(self.width, self.width)
            self.answer = nn.Linear(self.width, numbers)
        self.question = nn.Linear(self.width, self.width)
        self.usual = nn.Linear(self.width, numbers)

    @property
    def from_cell(self) -> float:
        """Weight of the term `cell`, in which the cell's vector and the gene alone answer."""
        return self.config.from_cell

    def ask(
        self, tokens: Tokens, ratio: float, generator: torch.Generator
    ) -> tuple[Tokens, Tensor]:
        """Choose this share of each cell's genes, and add unexpressed ones; as `with_absent`."""
        asked = torch.zeros(len(tokens.ids), dtype=torch.bool)
        asked[choose(tokens, ratio, generator)] = True
        share, features = self.config.absent, self.features
        return with_absent(tokens, asked, share=share, features=features, generator=generator)

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Mean squared error, or mean negative log-likelihood, of the answers."""
        terms = {}
        if self.from_tokens:
            guess = self.answer(gelu(self.mix(self.norm(self.asked(hidden, target)))))
            terms["value"] = score(self.config.likelihood, guess, target)
        if self.from_cell:
            genes = hidden.table[target["ids"].long()]
            cells = self.cell_vectors(hidden, target)[target["cells"]]
            usual = self.usual(genes)
            known = (self.question(genes) * cells).sum(dim=1, keepdim=True) + usual[:, :1]
            guess = torch.cat([known, usual[:, 1:]], dim=1)
            terms["cell"] = self.from_cell * score(self.config.likelihood, guess, target)
        return terms

    def asked(self, hidden: Hidden, target: Target) -> Tensor:
        """Return the vector that answers each question, (questions, width)."""
        return hidden.tokens[target["positions"]]

    def cell_vectors(self, hidden: Hidden, target: Target) -> Tensor:
        """Average each cell's tokens except those asked about, (cells, width)."""
        return visible_mean(hidden, target["positions"])

    def fit_trivial(self, tokens: Tokens) -> None:
        """Learn what is usual for each gene from one corruption of the training cells."""
        generator = torch.Generator().manual_seed(0)
        few = torch.randperm(len(tokens), generator=generator)[:CELLS].sort().values
        if self.config.likelihood == "mse":
            _, target = self.corrupt(tokens, torch.Generator().manual_seed(0))
            ids, values = target["ids"].long(), target["values"]
            self.gene_guess = mean_values(ids, values, self.features)
            if "scales" in target:
                self.by_depth = lines(ids, values, -target["scales"].log(), self.features)
            self.ridge = Ridge.fit(*self.corrupt(tokens.select(few), generator), self.features)
        else:
            _, target = self.corrupt(tokens.select(few), generator)
            ids, scales = target["ids"].long(), target["scales"]
            counts = counts_of(target["values"], scales)
            self.gene_guess = mean_counts(ids, counts, 1 / scales, self.features, (0.0, 0.5, 1.0))
            self.any_depth = mean_counts(ids, counts, 1 / scales, self.features, (0.0,))

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Score the gene's mean value, or for counts its mean count at the cell's depth."""
        return self.terms(self._usual(self._of_gene(self.gene_guess, target), target))

    def rivals(self, seen: Tokens, target: Target) -> dict[str, Tensor]:
        """Score the gene's mean at the cell's depth and ridge; for counts the mean at any depth."""
        guesses = {}
        if self.any_depth is not None:
            guesses["at_any_depth"] = self._of_gene(self.any_depth, target)
        if self.by_depth is not None:
            intercept, slope = self._of_gene(self.by_depth, target).unbind(1)
            guesses["by_depth"] = (intercept - slope * target["scales"].log()).unsqueeze(1)
        if self.ridge is not None:
            known = self.ridge.guess(seen, target).unsqueeze(1)
            usual = self._of_gene(self.gene_guess, target)
            guesses["by_ridge"] = torch.where(known.isnan(), usual, known)
        return {
            f"{term}_{name}": error
            for name, guess in guesses.items()
            for term, error in self.terms(self._usual(guess, target)).items()
        }

    def _of_gene(self, table: Tensor, target: Target) -> Tensor:
        ids = target["ids"].long()
        guess = table.to(ids.device)[ids]
        if self.config.likelihood == "mse":
            return guess
        mean, dispersion, power = guess.unbind(1)
        # scoring multiplies the mean by the cell's depth, whatever the power
        return torch.stack([mean + (1 - power) * target["scales"].log(), dispersion], dim=1)

    def terms(self, error: Tensor) -> dict[str, Tensor]:
        """Give one error the names and weights of all terms."""
        tokens = {"value": error} if self.from_tokens else {}
        return {**tokens, "cell": self.from_cell * error} if self.from_cell else tokens

    def noted(self, whole: Tokens, positions: Tensor) -> Target:
        """Note the answers at some positions.

        Raises
        ------
        UsageError
            If counts are needed and not known.
        """
        if self.config.likelihood != "mse":
            scales_of(whole, f"The likelihood {self.config.likelihood!r}")
        return answers(whole, positions)

    def _usual(self, guess: Tensor, target: Target) -> Tensor:
        # a gene's fitted dispersion leaves no excess of zeros to add
        return score("mse" if self.config.likelihood == "mse" else "nb", guess, target)
