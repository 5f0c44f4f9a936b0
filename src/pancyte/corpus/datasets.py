"""Datasets by name: where they come from, under which licence, and whether a model saw them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pancyte import files, registry
from pancyte._settings import settings
from pancyte.corpus.read import load_h5ad
from pancyte.errors import IntegrityError, MissingError

if TYPE_CHECKING:
    from anndata import AnnData

SHIPPED = Path(__file__).parent / "demo"


@dataclass(frozen=True, kw_only=True)
class NamedDataset:
    """A dataset that is known by name; one instance and one entry point make one.

    Attributes
    ----------
    name
        What it is called; also the name of its entry point in ``pancyte.datasets``.
    file
        The h5ad, relative to `root`.
    sha256
        Checksum of the file.
    source
        Where the file comes from: a package, repository or URL.
    licence
        Licence of the data, as far as stated.
    citation
        Who to cite.
    species
        Common name.
    label_key, batch_key
        Columns of ``obs`` with cell types, and with the technical or biological batch.
    only
        Cells to keep: ``{column: value}``.
    unlabelled
        Labels that mean "not known"; they are read as missing.
    shares_cells_with
        Datasets with some of the same cells; never put both sides of a split on these.
    root
        Folder of the file; ``settings.data_dir`` if None.
    """

    name: str
    file: str
    sha256: str
    source: str
    licence: str
    citation: str
    species: str
    label_key: str | None = None
    batch_key: str | None = None
    only: Mapping[str, str] = field(default_factory=dict)
    unlabelled: tuple[str, ...] = ()
    shares_cells_with: tuple[str, ...] = ()
    root: Path | None = None

    def path(self) -> Path:
        """Return where the file is.

        Raises
        ------
        MissingError
            If it is not there; says where to get it and how to say where it is.
        """
        folder = self.root or settings.data_dir
        if folder is not None and (folder / self.file).is_file():
            return folder / self.file
        place = f"not in {folder}" if folder else "no data folder is set"
        raise MissingError(
            f"Dataset {self.name!r} needs {self.file}: {place}.",
            fix="Set PANCYTE_DATA (or pancyte.settings.data_dir) to the folder that holds it. "
            f"It comes from {self.source}.",
        )

    def load(self) -> AnnData:
        """Read the data after checking the file's sum; keep the wanted cells.

        Raises
        ------
        MissingError
            If the file is not there.
        IntegrityError
            If it is not the file it should be.
        """
        path = self.path()
        if (found := files.sha256(path)) != self.sha256:
            raise IntegrityError(
                f"{path} is not the file of dataset {self.name!r}: its SHA-256 is "
                f"{found[:16]}…, not {self.sha256[:16]}….",
                fix=f"Get it again from {self.source}.",
            )
        adata = load_h5ad(path)
        for column, value in self.only.items():
            adata = adata[(adata.obs[column] == value).to_numpy()].copy()
        if self.unlabelled:
            labels = adata.obs[self.label_key]
            unknown = [level for level in self.unlabelled if level in labels.cat.categories]
            adata.obs[self.label_key] = labels.cat.remove_categories(unknown)
        return adata


def load_dataset(name: str) -> AnnData:
    """Load a dataset by name, as an AnnData with raw counts in X.

    Parameters
    ----------
    name
        ``"demo-pancreas"`` is shipped; the others are found under ``settings.data_dir``.
        ``pancyte list datasets`` names all.

    Raises
    ------
    UsageError
        If no dataset has that name.
    MissingError
        If its file is not there.
    IntegrityError
        If its file is not what it should be.
    """
    return registry.get("datasets", name).load()
