"""Ridge regression of hidden values on visible ones: the simplest predictor that reads the cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pancyte.objectives.objective import Target
from pancyte.shapes import Tokens

CELLS = 3000
GENES = 2000
COMPONENTS = 64


@dataclass(frozen=True)
class Ridge:
    """Each gene's answer as a linear function of the cell's principal components.

    Attributes
    ----------
    columns
        Column of each feature among the genes kept, or -1, (features,).
    means
        Mean visible value of each kept gene, an unexpressed one being 0, (genes,).
    axes
        Turns visible values less their means into components of variance 1, (genes, components).
    weights
        Intercept and slopes of each kept gene, (genes, 1 + components).
    """

    columns: Tensor
    means: Tensor
    axes: Tensor
    weights: Tensor

    @classmethod
    def fit(cls, seen: Tokens, target: Target, features: int) -> Ridge:
        """Learn from corrupted training cells, so that no gene ever explains itself.

        The `GENES` most often visible genes are kept. Slopes are shrunk as by one
        pseudo-observation for each component, which expects half of the variance to be explained.
        """
        from sklearn.utils.extmath import randomized_svd

        visible = ~seen.values.isnan()
        often = torch.bincount(seen.ids[visible].long(), minlength=features)
        kept = torch.argsort(often, descending=True, stable=True)[:GENES]
        columns = torch.full((features,), -1).scatter(0, kept, torch.arange(len(kept)))
        plain = cls(columns, torch.zeros(len(kept)), torch.zeros(0), torch.zeros(0))
        values, known = plain._matrix(seen, target)
        means = (values * known).sum(0) / known.sum(0).clamp(min=1)
        centred = (values - means) * known
        wanted = min(COMPONENTS, *centred.shape)
        _, _, axes = randomized_svd(centred.numpy(), wanted, random_state=0)
        turned = torch.from_numpy(axes.T.copy())
        spread = (centred @ turned).std(dim=0, correction=0).clamp(min=1e-6)
        return replace(plain, means=means, axes=turned / spread)._weighed(seen, target)

    def guess(self, seen: Tokens, target: Target) -> Tensor:
        """Answer each question; NaN for genes that were not kept. (questions,)."""
        device = seen.ids.device
        here = Ridge(*(p.to(device) for p in (self.columns, self.means, self.axes, self.weights)))
        columns = here.columns[target["ids"].long()]
        weights = here.weights[columns.clamp(min=0)]
        slopes = (here._components(seen, target)[target["cells"]] * weights[:, 1:]).sum(dim=1)
        return (weights[:, 0] + slopes).masked_fill(columns < 0, torch.nan)

    def _weighed(self, seen: Tokens, target: Target) -> Ridge:
        # thousands of small products, for which NumPy is several times faster
        components = self._components(seen, target).double().numpy()
        values, cells = target["values"].double().numpy(), target["cells"].numpy()
        columns = self.columns[target["ids"].long()].numpy()
        order = np.argsort(columns, kind="stable")
        stops = np.searchsorted(columns[order], np.arange(len(self.means) + 1))
        width = components.shape[1]
        weights = np.zeros((len(self.means), 1 + width))
        weights[:, 0] = values.mean()
        for column, (start, stop) in enumerate(pairwise(stops)):
            if stop > start:
                rows = order[start:stop]
                x, y = components[cells[rows]], values[rows]
                centre = x.mean(axis=0)
                products = (x - centre).T @ (x - centre) + width * np.eye(width)
                slopes = np.linalg.solve(products, (x - centre).T @ y)
                weights[column] = y.mean() - centre @ slopes, *slopes
        return replace(self, weights=torch.from_numpy(weights).float())

    def _components(self, seen: Tokens, target: Target) -> Tensor:
        values, known = self._matrix(seen, target)
        return ((values - self.means) * known) @ self.axes

    def _matrix(self, seen: Tokens, target: Target) -> tuple[Tensor, Tensor]:
        """Lay out values, and whether each is known, over kept genes: (cells, genes) each."""
        values = torch.zeros(len(seen), len(self.means), device=seen.ids.device)
        known = torch.ones_like(values)
        columns = self.columns[target["ids"].long()]
        known[target["cells"][columns >= 0], columns[columns >= 0]] = 0.0
        columns = self.columns[seen.ids.long()]
        shown = (columns >= 0) & ~seen.values.isnan()
        at = seen.cell_index[shown], columns[shown]
        values[at] = seen.values[shown]
        known[at] = 1.0
        return values, known
