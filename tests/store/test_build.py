"""A corpus holds what its sources hold, survives a kill, and says what it left out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pytest

from pancyte.corpus.canonical import canonical, project
from pancyte.corpus.cells import to_cells
from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError, ResourceError, UsageError
from pancyte.store.build import Entry, build, entries, remove
from pancyte.store.corpus import Corpus, manifest, verify


def _expected(path):
    cells = to_cells(read(path, quiet=True))
    table, columns = canonical(cells.features, "human")
    return table, project(cells.counts, columns, len(table))


def test_a_part_is_an_h5ad_with_the_counts_of_its_source(built, studies):
    for name, path in studies.items():
        table, counts = _expected(path)
        part = anndata.read_h5ad(built / "parts" / f"{name}.h5ad")
        assert part.var_names.tolist() == table.index.tolist()
        assert (part.X.astype(np.float32) - counts).count_nonzero() == 0
        source = anndata.read_h5ad(path)
        assert part.obs_names.tolist() == source.obs_names.tolist()
        assert part.obs["cell_type"].astype(str).tolist() == source.obs["cell_type"].tolist()


def test_numbers_are_as_narrow_as_they_can_be(built):
    for about in manifest(built):
        part = anndata.read_h5ad(built / "parts" / about["file"])
        wanted = next(
            kind for kind in (np.uint8, np.uint16, np.uint32) if part.X.max() <= np.iinfo(kind).max
        )
        assert about["stored_as"] == ["uint16", np.dtype(wanted).name]


def test_open_parts_lie_on_disk(corpus):
    assert all(isinstance(part.values.base, np.memmap) for part in corpus.parts)
    assert all(isinstance(part.ids.base, np.memmap) for part in corpus.parts)


def test_the_union_has_each_gene_once(corpus, studies):
    names = set().union(*(_expected(path)[0].index for path in studies.values()))
    assert corpus.features.index.tolist() == sorted(names)
    for part, columns in zip(corpus.parts, corpus.columns, strict=True):
        assert (np.diff(columns) > 0).all()
        assert corpus.features.index[columns].tolist() == part.features().index.tolist()


def test_the_manifest_says_what_is_in_it(built, studies):
    found = {about["name"]: about for about in manifest(built)}
    assert set(found) == set(studies)
    about = found["Tritschler"]
    assert about["species"] == "human"
    assert about["donors"] > 1
    assert about["licence"] == "unknown"
    assert about["nonzeros"] == _expected(studies["Tritschler"])[1].nnz
    assert verify(built) == []


def test_building_again_changes_nothing(built, studies, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in (built / "parts").iterdir()}
    added = []
    build(built, [str(path) for path in studies.values()], report=added.append)
    assert [item.skipped for item in added] == [True, True, True]
    assert before == {path: path.stat().st_mtime_ns for path in (built / "parts").iterdir()}


def test_same_sources_same_bytes(built, studies, tmp_path):
    build(tmp_path, [str(path) for path in studies.values()])
    for path in (built / "parts").iterdir():
        assert (tmp_path / "parts" / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "corpus.json").read_text() == (built / "corpus.json").read_text()


def test_appending_leaves_earlier_parts_alone(studies, tmp_path):
    first, second, _ = (str(path) for path in studies.values())
    build(tmp_path, [first])
    before = next((tmp_path / "parts").iterdir())
    stamp = before.stat().st_mtime_ns
    corpus = build(tmp_path, [second])
    assert len(corpus.parts) == 2
    assert before.stat().st_mtime_ns == stamp


def test_a_removed_dataset_is_gone(studies, tmp_path):
    build(tmp_path, [str(path) for path in studies.values()])
    remove(tmp_path, "Muraro")
    assert not (tmp_path / "parts" / "Muraro.h5ad").exists()
    assert [part.name for part in Corpus.open(tmp_path).parts] == ["Fasolino", "Tritschler"]
    with pytest.raises(UsageError, match="no dataset 'Muraro'"):
        remove(tmp_path, "Muraro")


def test_other_content_under_a_known_name_is_refused(studies, tmp_path):
    first, second, _ = (str(path) for path in studies.values())
    build(tmp_path, [Entry(source=first, name="one")])
    with pytest.raises(UsageError, match="already has a dataset 'one'"):
        build(tmp_path, [Entry(source=second, name="one")])


def test_cells_of_an_earlier_dataset_are_left_out(pancreas, studies, tmp_path):
    whole = anndata.read_h5ad(studies["Muraro"])
    fewer = whole[::3, ::2].copy()
    fewer.obs_names = [f"copy_{name}" for name in fewer.obs_names]
    again = whole[10:30].copy()
    again.obs_names = [f"cell{i}" for i in range(20)]
    for name, adata in {"genes_cut": fewer, "renamed": again}.items():
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    sources = [studies["Muraro"], tmp_path / "renamed.h5ad"]
    corpus = build(tmp_path / "corpus", [str(path) for path in sources])
    assert corpus.parts[1].about["dropped_duplicates"] == {"Muraro": 20}
    assert len(corpus.parts[1]) == 0
    assert len(corpus) == whole.n_obs


def test_reused_cells_with_fewer_genes_are_known_by_their_barcode(data_dir, tmp_path):
    kang = data_dir / "kang_pbmc_ifnb" / "kang_pbmc_ifnb.h5ad"
    muscat = data_dir / "kang_muscat_donors" / "kang_muscat.h5ad"
    if not (kang.exists() and muscat.exists()):
        pytest.skip("needs both Kang datasets")
    corpus = build(tmp_path, [str(kang), str(muscat)])
    # the inventory of the data counts 973 by barcode alone
    assert 950 <= corpus.parts[1].about["dropped_duplicates"]["kang_pbmc_ifnb"] <= 973


def test_float_counts_stay_exact(studies, tmp_path):
    adata = anndata.read_h5ad(studies["Muraro"])[:50].copy()
    ambient = np.random.default_rng(0).uniform(0, 0.3, adata.X.nnz)
    adata.X.data = (adata.X.data - ambient).astype(np.float32)
    adata.write_h5ad(tmp_path / "ambient.h5ad")
    corpus = build(tmp_path / "corpus", [str(tmp_path / "ambient.h5ad")])
    assert corpus.parts[0].values.dtype == np.float32
    assert np.sort(corpus.parts[0].values)[-5:].tolist() == np.sort(adata.X.data)[-5:].tolist()


def test_counts_in_a_layer_are_found_while_streaming(studies, tmp_path):
    adata = anndata.read_h5ad(studies["Muraro"])
    adata.layers["counts"] = adata.X.copy()
    adata.X = np.log1p(adata.X.astype(np.float32))
    adata.write_h5ad(tmp_path / "logged.h5ad")
    corpus = build(tmp_path / "corpus", [str(tmp_path / "logged.h5ad")])
    assert corpus.parts[0].values.sum() == adata.layers["counts"].sum()


def test_values_that_stop_being_counts_are_refused(studies, tmp_path, monkeypatch):
    from pancyte.store import rows

    monkeypatch.setattr(rows, "SLAB", 16)
    adata = anndata.read_h5ad(studies["Fasolino"])
    adata.X = adata.X.astype(np.float32)
    late = adata.X.indptr[32]
    adata.X.data[late:] = np.log1p(adata.X.data[late:])
    adata.write_h5ad(tmp_path / "half.h5ad")
    with pytest.raises(InputError, match="from cell"):
        build(tmp_path / "corpus", [str(tmp_path / "half.h5ad")])


def test_one_bad_source_does_not_keep_the_others_out(studies, tmp_path):
    page = tmp_path / "page.h5ad"
    page.write_text("<html>not found</html>")
    logged = anndata.read_h5ad(studies["Muraro"])
    logged.X = np.log1p(logged.X.astype(np.float32))
    logged.write_h5ad(tmp_path / "logged.h5ad")
    sources = [str(page), str(studies["Fasolino"]), str(tmp_path / "logged.h5ad")]
    with pytest.raises(InputError, match="2 of 3 sources were not added") as caught:
        build(tmp_path / "corpus", sources)
    assert "HTML" in caught.value.what
    assert "no raw counts" in caught.value.what
    assert [about["name"] for about in manifest(tmp_path / "corpus")] == ["Fasolino"]


def test_a_listing_gives_names_and_licences(studies, tmp_path):
    listing = tmp_path / "sources.yaml"
    source = os.path.relpath(studies["Muraro"], tmp_path)
    item = {"source": source, "name": "muraro", "licence": "CC BY 4.0", "tissue": "pancreas"}
    listing.write_text(json.dumps({"sources": [item]}))
    corpus = build(tmp_path / "corpus", entries([str(listing)]))
    about = corpus.parts[0].about
    assert (about["name"], about["licence"]) == ("muraro", "CC BY 4.0")
    assert about["tissues"] == ["pancreas"]
    listing.write_text("sources: [{sauce: x}]")
    with pytest.raises(InputError, match="sauce"):
        entries([str(listing)])


def test_a_cut_part_is_noticed(studies, tmp_path):
    build(tmp_path, [str(studies["Muraro"])])
    part = tmp_path / "parts" / "Muraro.h5ad"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1000])
    with pytest.raises(IntegrityError, match="another size"):
        Corpus.open(tmp_path)
    part.write_bytes(whole[:50_000] + bytes(8) + whole[50_008:])
    assert verify(tmp_path) == ["Muraro"]


def test_two_builders_do_not_meet(studies, tmp_path):
    build(tmp_path, [str(studies["Muraro"])])
    (tmp_path / ".lock").write_text(str(os.getpid()))
    with pytest.raises(ResourceError, match="is being changed by process"):
        build(tmp_path, [str(studies["Fasolino"])])
    (tmp_path / ".lock").write_text("999999999")
    assert len(build(tmp_path, [str(studies["Fasolino"])]).parts) == 2


def _build_in_child(folder: Path, sources: list[str]) -> subprocess.Popen[bytes]:
    code = "import sys; from pancyte.store.build import build; build(sys.argv[1], sys.argv[2:])"
    return subprocess.Popen([sys.executable, "-c", code, str(folder), *sources])


def test_a_killed_build_goes_on(studies, tmp_path, built):
    sources = [str(path) for path in studies.values()]
    child = _build_in_child(tmp_path, sources)
    while not (tmp_path / "corpus.json").exists() and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert verify(tmp_path) == []
    assert len(manifest(tmp_path)) >= 1
    build(tmp_path, sources)
    assert (tmp_path / "corpus.json").read_text() == (built / "corpus.json").read_text()
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {
        path.name for path in (built / "parts").iterdir()
    }


@pytest.mark.slow
def test_fifty_kills_at_random_moments(studies, tmp_path, built):
    sources = [str(path) for path in studies.values()]
    rng = np.random.default_rng(0)
    whole = [about["name"] for about in manifest(built)]
    for _ in range(50):
        child = _build_in_child(tmp_path, sources)
        time.sleep(rng.uniform(0.5, 6))
        child.send_signal(signal.SIGKILL)
        child.wait()
        if (tmp_path / "corpus.json").exists():
            there = [about["name"] for about in manifest(tmp_path)]
            assert there == whole[: len(there)]
            assert verify(tmp_path) == []
            if len(there) == len(whole):
                remove(tmp_path, str(rng.choice(whole)))
                for name in [about["name"] for about in manifest(tmp_path)]:
                    remove(tmp_path, name)
    build(tmp_path, sources)
    assert (tmp_path / "corpus.json").read_text() == (built / "corpus.json").read_text()


def test_a_cluster_writes_the_same(studies, tmp_path, built):
    pytest.importorskip("distributed", reason="needs pancyte[dask]")
    sources = [str(path) for path in studies.values()]
    build(tmp_path, sources, cluster="local")
    assert (tmp_path / "corpus.json").read_text() == (built / "corpus.json").read_text()


def test_export_is_the_corpus(corpus):
    adata = corpus.to_anndata()
    assert adata.shape == (len(corpus), len(corpus.features))
    assert adata.X.dtype == np.float32
    muraro = (adata.obs["dataset"] == "Muraro").to_numpy()
    number = [part.name for part in corpus.parts].index("Muraro")
    assert adata.X[muraro].sum() == corpus.parts[number].values.sum(dtype=np.int64)
    with pytest.raises(InputError, match="no dataset 'nix'"):
        corpus.to_anndata(["nix"])
