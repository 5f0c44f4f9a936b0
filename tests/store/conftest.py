"""Two human studies and one of mouse names, as files and as a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from anndata import AnnData

from pancyte.store.build import build
from pancyte.store.corpus import Corpus

STUDIES = ("Fasolino 2022", "Muraro 2016", "Tritschler 2022")


@pytest.fixture(scope="session")
def studies(pancreas: AnnData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of about 200 cells and 4,000 genes; each study lacks other genes."""
    folder = tmp_path_factory.mktemp("studies")
    paths = {}
    for number, study in enumerate(STUDIES):
        part = pancreas[(pancreas.obs["study"] == study).to_numpy()][::4]
        genes = [i for i in range(0, part.n_vars, 4) if (i // 4) % 9 != number]
        part = part[:, genes].copy()
        paths[study.split()[0]] = folder / f"{study.split()[0]}.h5ad"
        part.write_h5ad(paths[study.split()[0]], compression="gzip")
    return paths


@pytest.fixture(scope="session")
def built(studies: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    build(folder, [str(path) for path in studies.values()])
    return folder


@pytest.fixture(scope="session")
def corpus(built: Path) -> Corpus:
    return Corpus.open(built)
