"""R files are written here as R writes them (XDR, version 3), through rdata's own object tree."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from scipy.sparse import csc_matrix

from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError, MissingError
from tests.corpus.accidents import same_counts

pytest.importorskip("rdata")

from rdata.parser import RData, RExtraInfo, RObject, RObjectInfo, RObjectType, RVersions
from rdata.unparser._unparser import pack_r_object_info
from rdata.unparser._xdr import UnparserXDR


class _WithS4(UnparserXDR):
    """rdata writes all that is needed but S4 objects, which are nothing but attributes."""

    def unparse_r_object(self, obj: RObject) -> None:
        if obj.info.type is not RObjectType.S4:
            super().unparse_r_object(obj)
            return
        self.unparse_int(pack_r_object_info(obj.info))
        self.unparse_r_object(obj.attributes)


def _r(kind: str, value: Any = None, **attributes: RObject) -> RObject:
    info = RObjectInfo(RObjectType[kind], "class" in attributes, bool(attributes), False, 0, 0)
    return RObject(info, value, _pairs(attributes) if attributes else None)


def _pairs(items: dict[str, RObject]) -> RObject:
    result = _r("NILVALUE")
    for name, item in reversed(items.items()):
        tag = _r("SYM", _r("CHAR", name.encode()))
        info = RObjectInfo(RObjectType.LIST, False, False, True, 0, 0)
        result = RObject(info, (item, result), None, tag=tag)
    return result


def _text(*values: str, **attributes: RObject) -> RObject:
    return _r("STR", [_r("CHAR", value.encode()) for value in values], **attributes)


def _whole(*values: int, **attributes: RObject) -> RObject:
    return _r("INT", np.array(values, np.int32), **attributes)


def _list(**items: RObject) -> RObject:
    return _r("VEC", list(items.values()), names=_text(*items))


def _s4(name: str, **slots: RObject) -> RObject:
    return _r("S4", **slots, **{"class": _text(name)})


def _dgc(adata: AnnData) -> RObject:
    """Genes × cells, as Seurat keeps counts."""
    matrix = csc_matrix(adata.X.T)
    matrix.sort_indices()
    return _s4(
        "dgCMatrix",
        i=_whole(*matrix.indices),
        p=_whole(*matrix.indptr),
        Dim=_whole(*matrix.shape),
        Dimnames=_r("VEC", [_text(*adata.var_names), _text(*adata.obs_names)]),
        x=_r("REAL", matrix.data.astype(np.float64)),
        factors=_r("VEC", []),
    )


def _write(path: Path, root: RObject, *, magic: bytes = b"") -> Path:
    with gzip.open(path, "wb") as stream:
        stream.write(magic)
        _WithS4(stream).unparse_r_data(
            RData(RVersions(3, 0x40201, 0x30500), RExtraInfo("UTF-8"), root)
        )
    return path


def _frame(adata: AnnData) -> RObject:
    donors = adata.obs["donor"].cat
    factor = {"levels": _text(*donors.categories), "class": _text("factor")}
    columns = {
        "donor": _whole(*(donors.codes + 1), **factor),
        "cell_type": _text(*adata.obs["cell_type"]),
        "nCount_RNA": _r("REAL", np.asarray(adata.X.sum(axis=1)).ravel().astype(np.float64)),
    }
    how = {"names": _text(*columns), "row.names": _text(*adata.obs_names)}
    return _r("VEC", list(columns.values()), **how, **{"class": _text("data.frame")})


def _seurat(adata: AnnData, **assays: RObject) -> RObject:
    embedding = _r("REAL", np.arange(2.0 * adata.n_obs), dim=_whole(adata.n_obs, 2))
    return _s4(
        "Seurat",
        assays=_list(**assays),
        **{"meta.data": _frame(adata), "active.assay": _text("RNA")},
        reductions=_list(umap=_s4("DimReduc", **{"cell.embeddings": embedding})),
    )


def _log_map(names: Any, columns: dict[str, np.ndarray]) -> RObject:
    values = np.concatenate(list(columns.values())).astype(np.int32)
    return _r(
        "LGL", values,
        dim=_whole(len(names), len(columns)),
        dimnames=_r("VEC", [_text(*names), _text(*columns)]),
        **{"class": _text("LogMap")},
    )  # fmt: skip


@pytest.fixture
def few(small: AnnData) -> AnnData:
    return small[:60, :300].copy()


def _same(adata: AnnData, given: AnnData) -> bool:
    return (
        list(adata.obs_names) == list(given.obs_names)
        and list(adata.var_names) == list(given.var_names)
        and same_counts(adata.X, given.X)
    )


def test_sparse_matrix(few, tmp_path, capsys):
    assert _same(read(_write(tmp_path / "counts.rds", _dgc(few))), few)
    assert "had genes as rows and was transposed" in capsys.readouterr().err


def test_plain_matrix_with_cells_as_rows(few, tmp_path):
    dense = few.X.toarray().astype(np.int32)
    names = _r("VEC", [_text(*few.obs_names), _text(*few.var_names)])
    root = _whole(*dense.ravel(order="F"), dim=_whole(*dense.shape), dimnames=names)
    assert _same(read(_write(tmp_path / "counts.rds", root)), few)


def test_the_only_object_of_an_rdata_file(few, tmp_path):
    path = _write(tmp_path / "one.rda", _pairs({"counts": _dgc(few)}), magic=b"RDX3\n")
    assert _same(read(path), few)
    two = _pairs({"counts": _dgc(few), "notes": _text("none")})
    with pytest.raises(InputError, match="holds 2 objects: counts, notes"):
        read(_write(tmp_path / "two.rda", two, magic=b"RDX3\n"))


def test_seurat_3_and_4(few, tmp_path, capsys):
    assay = _s4("Assay", counts=_dgc(few), data=_dgc(few))
    other = _s4("Assay", counts=_dgc(few[:, :3]), data=_dgc(few[:, :3]))
    adata = read(_write(tmp_path / "seurat.rds", _seurat(few, ADT=other, RNA=assay)))
    assert _same(adata, few)
    assert list(adata.obs["donor"]) == list(few.obs["donor"])
    assert list(adata.obs["cell_type"]) == list(few.obs["cell_type"])
    assert list(adata.obs["nCount_RNA"]) == list(
        few.obs_vector("MALAT1") * 0 + few.X.sum(axis=1).A1
    )
    assert np.array_equal(adata.obsm["X_umap"][:, 1], np.arange(60, 120))
    assert "Took the assay RNA; left out ADT." in capsys.readouterr().err


def test_seurat_5_with_split_layers(few, tmp_path):
    first, second = few[:25, :280], few[25:, 20:]
    cells, genes = np.arange(60) < 25, np.arange(300)
    assay = _s4(
        "Assay5",
        layers=_list(**{"counts.1": _dgc(first), "counts.2": _dgc(second)}),
        cells=_log_map(few.obs_names, {"counts.1": cells, "counts.2": ~cells}),
        features=_log_map(few.var_names, {"counts.1": genes < 280, "counts.2": genes >= 20}),
    )
    adata = read(_write(tmp_path / "seurat.rds", _seurat(few, RNA=assay)))
    expected = few.X.toarray()
    expected[:25, 280:] = 0
    expected[25:, :20] = 0
    assert np.array_equal(adata.X.toarray(), expected)
    assert list(adata.obs["cell_type"]) == list(few.obs["cell_type"])


def test_other_objects_are_named(few, tmp_path):
    with pytest.raises(InputError, match="holds an R object of SingleCellExperiment, neither"):
        read(_write(tmp_path / "sce.rds", _s4("SingleCellExperiment", assays=_dgc(few))))


def test_layers_outside_the_file(few, tmp_path):
    every = np.ones(60), np.ones(300)
    assay = _s4(
        "Assay5",
        layers=_list(counts=_s4("IterableMatrix", dir=_text("/data/counts"))),
        cells=_log_map(few.obs_names, {"counts": every[0]}),
        features=_log_map(few.var_names, {"counts": every[1]}),
    )
    with pytest.raises(InputError, match="'counts' of IterableMatrix, whose values are not in"):
        read(_write(tmp_path / "seurat.rds", _seurat(few, RNA=assay)))


def test_truncated(few, tmp_path):
    path = _write(tmp_path / "counts.rds", _dgc(few))
    whole, data = gzip.decompress(path.read_bytes()), path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match="is damaged"):
        read(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match="is damaged"):
        read(path)


def test_indices_out_of_range(few, tmp_path):
    root = _dgc(few)
    # the first attribute is i
    root.attributes.value[0].value[5] = 10**6
    with pytest.raises(IntegrityError, match="points outside 0 … 299"):
        read(_write(tmp_path / "counts.rds", root))


def test_without_rdata(few, tmp_path, monkeypatch):
    path = _write(tmp_path / "counts.rds", _dgc(few))
    (tmp_path / "rdata.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingError, match=r"needs rdata.*pancyte\[rds\]"):
        read(path)
