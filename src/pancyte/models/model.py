"""A model is a tokenizer, a backbone and a card, and fits in a folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save

from pancyte import files, registry
from pancyte._settings import settings
from pancyte.backbones.backbone import Backbone, Pooling, reproducible
from pancyte.corpus.cells import to_cells
from pancyte.corpus.notices import tell
from pancyte.errors import UsageError
from pancyte.models.card import Card
from pancyte.models.extension import grown, unseen_genes, vectors_of
from pancyte.models.folder import FORMAT, PRIORS, load_weights, read_config
from pancyte.objectives.objective import Objective
from pancyte.priors.table import PriorTable
from pancyte.shapes import Cells, Tokens
from pancyte.tokenizers.tokenizer import Tokenizer
from pancyte.tokenizers.vocabulary import Vocabulary

if TYPE_CHECKING:
    from anndata import AnnData


def device() -> torch.device:
    """Return the device chosen in `settings`, or the best one there is."""
    if settings.device != "auto":
        return torch.device(settings.device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class Model:
    """A model that turns cells into vectors, and says where it comes from.

    Parameters
    ----------
    tokenizer
        Fitted tokenizer.
    backbone
        The network.
    objective
        The pre-training head, kept so that training can go on.
    card
        Name, provenance and limits.
    skip
        How many of the last layers `embed` leaves out. The last ones serve the objective more than
        the cell; Geneformer's convention is 1.
    priors
        What is known of genes beforehand, also of those outside the vocabulary.
    pooling
        How `embed` makes one vector of a cell unless told otherwise: ``"mean"`` over its tokens,
        ``"cls"``, or the backbone's ``"own"`` way.

    Attributes
    ----------
    normalise
        Whether `embed` scales each cell's vector to length 1, as scGPT does; no, unless it is set.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        backbone: Backbone,
        objective: Objective,
        card: Card,
        *,
        skip: int = 0,
        priors: PriorTable | None = None,
        pooling: Pooling = "mean",
    ) -> None:
        self.tokenizer = tokenizer
        self.backbone = backbone
        self.objective = objective
        self.card = card
        self.skip = skip
        self.priors = priors
        self.pooling = pooling
        self.normalise = False

    @property
    def name(self) -> str:
        """Short name, from the card."""
        return self.card.name

    @classmethod
    def create(
        cls,
        tokenizer: Tokenizer,
        *,
        backbone: dict[str, Any],
        objective: dict[str, Any],
        card: Card,
        skip: int = 0,
        seed: int = 0,
        priors: PriorTable | None = None,
        pooling: Pooling = "mean",
    ) -> Model:
        """Build an untrained model on a fitted tokenizer.

        `backbone` and `objective` hold a registered ``name`` and, under ``config``, settings;
        features start from the vectors of `priors`, if there are any.
        """
        levels = {name: len(known) for name, known in tokenizer.config.context.items()}
        told = {"prior": priors.dims} if priors else {}
        network = build(
            "backbones",
            backbone,
            features=len(tokenizer.vocabulary),
            value_kind=tokenizer.value_kind,
            places=tokenizer.config.max_length,
            context=levels,
            **told,
        )
        head = build_objective(objective, tokenizer, network)
        model = cls(tokenizer, network, head, card, skip=skip, priors=priors, pooling=pooling)
        if priors:
            network.tell_priors(vectors_of(model, tokenizer.vocabulary.table))
        network.initialise(seed)
        if (usual := tokenizer.usual) is not None:
            network.tell_usual(torch.from_numpy(usual).float())
        head.initialise(seed + 1)
        if "detection" in (table := tokenizer.vocabulary.table):
            head.tell_detection(torch.tensor(table["detection"].to_numpy(), dtype=torch.float32))
        return model

    def embed(
        self,
        cells: Cells | AnnData,
        *,
        pooling: Pooling | None = None,
        tokens_per_minibatch: int = 32_768,
    ) -> np.ndarray:
        """Represent each cell as a vector, without any training on these cells.

        Parameters
        ----------
        cells
            Raw counts.
        pooling
            ``"mean"`` over a cell's tokens, ``"cls"``, or where a published model has another way
            ``"own"``; None is what the model is meant for.
        tokens_per_minibatch
            How many tokens are computed at once; memory grows with it, the result does not
            depend on it (beyond 1e-5).

        Returns
        -------
        (cells, width), float32; ``"own"`` may be wider. A cell without any known gene gets zeros.
        """
        given = cells if isinstance(cells, Cells) else to_cells(cells)
        tokens = self.tokenizer(given)
        pooling = pooling or self.pooling
        out = np.zeros((len(tokens), self.backbone.pooled_width(pooling)), np.float32)
        network = self.backbone.to(device()).eval()
        with torch.inference_mode(), reproducible(network.device):
            whole = [torch.arange(len(tokens))]
            for rows in whole if network.together else by_length(tokens, tokens_per_minibatch):
                few = tokens.select(rows).to(network.device)
                pooled = network.pooled(few, pooling=pooling, skip=self.skip)
                out[rows.numpy()] = pooled.float().cpu().numpy()
        out[tokens.lengths.numpy() == 0] = 0.0
        if self.normalise:
            lengths = np.linalg.norm(out, axis=1, keepdims=True)
            out /= np.where(lengths > 0, lengths, 1.0)
        return out

    def reinitialised(self, seed: int, *, keep_priors: bool = True) -> Model:
        """Return the same network with random weights: the control for what training brought.

        Parameters
        ----------
        seed
            Seed of the weights.
        keep_priors
            Keep the prior vectors, which no training made; without them, the control is for what
            priors and training brought together.
        """
        card = replace(self.card, name=f"{self.name}-random", trained_on=[], training={})
        backbone = self.backbone.as_dict()
        if not keep_priors:
            backbone["config"].pop("prior", None)
        other = Model.create(
            self.tokenizer,
            backbone=backbone,
            objective=self.objective.as_dict(),
            card=card,
            skip=self.skip,
            pooling=self.pooling,
            seed=seed,
            priors=self.priors if keep_priors else None,
        )
        other.normalise = self.normalise
        return other

    def extended(self, cells: Cells | AnnData | pd.DataFrame) -> Model:
        """Return a model that also reads genes it never saw, as far as its priors know them.

        The new genes have their projected prior vector and no part of their own; all that the
        model knew before stays as it was. It is another model, with another fingerprint: vectors
        made by the two should not be mixed. Whether it is a better one is measured in
        ``docs/results/priors.md``.

        Parameters
        ----------
        cells
            Whose genes to look for, or a table of features as in `Cells`; see `unseen_genes`.

        Raises
        ------
        UsageError
            If the model has no priors.
        """
        if isinstance(cells, pd.DataFrame):
            features = cells
        else:
            features = (cells if isinstance(cells, Cells) else to_cells(cells)).features
        fresh = unseen_genes(self, features)
        tell(f"{len(fresh):,} genes that {self.name} never saw are read by their prior vectors.")
        table = pd.concat([self.tokenizer.vocabulary.table, fresh]).rename_axis("feature")
        config = replace(self.tokenizer.config, features=0)
        tokenizer = type(self.tokenizer)(config, Vocabulary(table))
        backbone = self.backbone.as_dict()
        backbone["config"]["features"] = len(table)
        network = build("backbones", backbone)
        head = build_objective(self.objective.as_dict(), tokenizer, network)
        grown(network, self.backbone)
        grown(head, self.objective)
        known = vectors_of(self, self.tokenizer.vocabulary.table)
        network.tell_priors(torch.cat([known, vectors_of(self, fresh)]))
        how: dict[str, Any] = {"skip": self.skip, "pooling": self.pooling}
        other = Model(tokenizer, network, head, self.card, priors=self.priors, **how)
        other.normalise = self.normalise
        return other

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json``, ``model.safetensors``, ``vocabulary.tsv`` and ``README.md``."""
        parts = {"backbone": self.backbone, "objective": self.objective}
        weights = {
            f"{part}.{name}": tensor.detach().cpu().contiguous()
            for part, module in parts.items()
            for name, tensor in module.state_dict().items()
        }
        with files.atomic_path(folder) as partial:
            partial.mkdir()
            (partial / "model.safetensors").write_bytes(save(weights))
            self.tokenizer.vocabulary.save(partial / "vocabulary.tsv")
            if self.priors:
                self.priors.save(partial / PRIORS)
            (partial / "README.md").write_text(self.describe(), encoding="utf-8")
            config = {
                "format": FORMAT,
                "pancyte": version("pancyte"),
                "tokenizer": self.tokenizer.as_dict(),
                "backbone": self.backbone.as_dict(),
                "objective": self.objective.as_dict(),
                "skip": self.skip,
                "pooling": self.pooling,
                "normalise": self.normalise,
                "card": self.card.as_dict(),
                "sha256": {
                    name: files.sha256(partial / name)
                    for name in ("model.safetensors", "vocabulary.tsv", PRIORS)
                    if (partial / name).exists()
                },
            }
            (partial / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")

    def push_to_hub(self, name: str, **evidence: Any) -> str:
        """Publish the model as ``hf:owner/repo``; see `pancyte.models.publish.publish`."""
        from pancyte.models.publish import publish

        return publish(self, name, **evidence)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Model:
        """Load a model folder; every weight must be there, and be what its checksum says."""
        folder = Path(path)
        config = read_config(folder)
        kind = registry.get("tokenizers", config["tokenizer"]["name"])
        tokenizer = kind(
            kind.Config(**config["tokenizer"]["config"]),
            Vocabulary.load(folder / "vocabulary.tsv"),
        )
        network = build("backbones", config["backbone"])
        head = build_objective(config["objective"], tokenizer, network)
        load_weights(folder, {"backbone": network, "objective": head})
        model = cls(
            tokenizer,
            network,
            head,
            Card(**config["card"]),
            skip=config.get("skip", 0),
            priors=PriorTable.load(folder / PRIORS) if PRIORS in config["sha256"] else None,
            pooling=config.get("pooling", "mean"),
        )
        model.normalise = config.get("normalise", False)
        return model

    def fingerprint(self) -> str:
        """Hash of everything that determines an embedding: vocabulary, settings, weights."""
        parts = [self.tokenizer.as_dict(), self.backbone.as_dict()]
        settings = [*parts, self.skip, self.pooling, self.normalise]
        digest = hashlib.sha256(json.dumps(settings).encode())
        digest.update(self.tokenizer.vocabulary.table.to_csv().encode())
        for name, tensor in self.backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """Render the model card as Markdown."""
        return self.card.markdown(
            parameters=sum(p.numel() for p in self.backbone.parameters()),
            features=len(self.tokenizer.vocabulary),
            tokenizer=self.tokenizer.name,
            backbone=f"{self.backbone.name}, width {self.backbone.width}",
            objective=self.objective.name,
            settings=", ".join(f"{k} {v}" for k, v in asdict(self.objective.config).items()),
            version=version("pancyte"),
        )


def build(kind: str, given: dict[str, Any], **inherited: Any) -> Any:
    """Make a registered component from its name and settings; `inherited` fills the gaps."""
    component = registry.get(kind, given["name"])
    return component(registry.settings_of(component, inherited | given.get("config", {})))


def build_objective(given: dict[str, Any], tokenizer: Tokenizer, network: Backbone) -> Objective:
    """Make a registered objective that fits a tokenizer and a backbone."""
    kind = registry.get("objectives", given["name"])
    config = registry.settings_of(kind, given.get("config", {}))
    objective = kind(config, width=network.width, features=len(tokenizer.vocabulary))
    if objective.value_kind not in ("any", tokenizer.value_kind):
        raise UsageError(
            f"Objective {kind.name!r} works on {objective.value_kind} values, tokenizer "
            f"{tokenizer.name!r} makes {tokenizer.value_kind} ones.",
            fix="Use masked_value with continuous, masked_gene with rank.",
        )
    return objective


def by_length(tokens: Tokens, budget: int) -> list[torch.Tensor]:
    """Cut cells into minibatches of similar length, so that padding costs little.

    Returns
    -------
    Row numbers, each minibatch at most `budget` tokens when padded (but at least one cell).
    """
    order = torch.argsort(tokens.lengths, stable=True)
    padded = (tokens.lengths[order] + 1).tolist()
    minibatches, start = [], 0
    for stop, longest in enumerate(padded):
        if stop > start and longest * (stop + 1 - start) > budget:
            minibatches.append(order[start:stop])
            start = stop
    return [*minibatches, order[start:]] if len(order) else []
