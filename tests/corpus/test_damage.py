"""Files that no library should follow: each must end in one message, never in a crash."""

from __future__ import annotations

import gzip
import os
import zipfile

import h5py
import numpy as np
import pytest

from pancyte.corpus import worker
from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError, PancyteError, ResourceError


def test_truncated(small, written):
    path = written(small)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=f"truncated: only its first {len(data) // 2:,} bytes"):
        read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "an HTML page"),
        (b"", "an empty file"),
        (b"\x1f\x8b\x08\x00rest", "gzip data"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b'{"message": "Not Found"}', "JSON text"),
        (b"\0\1\2\3", r"of no format that is read; it begins with b'\\x00\\x01"),
        (b"Dear all,\nplease find the data attached.\n", "no table of counts"),
    ],
    ids=["html", "empty", "gzip", "pdf", "json", "bytes", "prose"],
)
def test_other_files_named_h5ad(tmp_path, content, said):
    path = tmp_path / "sample.h5ad"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read(path)


def test_workbook(tmp_path):
    with zipfile.ZipFile(tmp_path / "counts.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(InputError, match="is an Excel workbook"):
        read(tmp_path / "counts.csv")


def test_cut_within_the_first_block(small, written):
    path = written(small)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises((InputError, IntegrityError), match=r"is (damaged|truncated)"):
        read(path)


def test_packed_h5ad(small, written, tmp_path):
    packed = tmp_path / "sample.h5ad.gz"
    packed.write_bytes(gzip.compress(written(small).read_bytes()))
    with pytest.raises(InputError, match=r"is packed HDF5.*gunzip"):
        read(packed)


def test_other_hdf5(tmp_path):
    with h5py.File(tmp_path / "sample.h5ad", "w") as handle:
        handle["weights/layer1"] = np.ones(3)
    with pytest.raises(InputError, match=r"no h5ad, 10x matrix, h5mu or loom; it holds weights"):
        read(tmp_path / "sample.h5ad")


def test_no_matrix(small, written):
    path = written(small)
    with h5py.File(path, "a") as handle:
        del handle["X"]
    with pytest.raises(InputError, match="no expression matrix"):
        read(path)


def _set(part: str, place: int, value: int):
    def change(handle: h5py.File) -> None:
        handle[part][place] = value

    return change


def _shape(handle: h5py.File) -> None:
    handle["X"].attrs["shape"] = (10**9, 1500)


def _shorter_column(handle: h5py.File) -> None:
    codes = handle["obs/cell_type/codes"][:-3]
    del handle["obs/cell_type/codes"]
    handle["obs/cell_type/codes"] = codes


def _fewer_values(handle: h5py.File) -> None:
    data = handle["X/data"][:-1]
    del handle["X/data"]
    handle["X/data"] = data


def _bomb(handle: h5py.File) -> None:
    del handle["X"]
    handle.create_dataset("X", (205, 1 << 40), "f4", chunks=(1, 1 << 20), compression="gzip")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("X/indptr", 7, 10**8), "X/indptr falls at entry 8"),
        (_set("X/indptr", 0, 3), "X/indptr runs from 3"),
        (_set("X/indptr", -1, 10**9), "X/indptr runs from 0 to 1,000,000,000"),
        (_set("X/indices", 11, -5), "X/indices points at -5, outside 0 … 1,499"),
        (_set("X/indices", 11, 1500), "X/indices points at 1,500, outside 0 … 1,499"),
        (_set("obs/cell_type/codes", 2, 99), "obs/cell_type has category codes outside"),
        (_shape, r"X declares \(1000000000, 1500\) where the tables say \(205, 1500\)"),
        (_shorter_column, "obs/cell_type has 202 values for 205 rows"),
        (_fewer_values, "X has .* values but .* indices"),
        (_bomb, "X declares 839,680.0 GiB"),
    ],
)
def test_parts_that_contradict_each_other(small, written, change, said):
    path = written(small)
    with h5py.File(path, "a") as handle:
        change(handle)
    with pytest.raises(IntegrityError, match=said):
        read(path)


def test_more_than_this_machine_can_hold(small, written):
    path = written(small)
    with h5py.File(path, "a") as handle:
        # arrays of 64 MiB that were never filled take no place on the disk
        for number in range((os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 26) + 1):
            handle.create_dataset(f"uns/{number}", (1 << 23,), "f8")
    with pytest.raises(ResourceError, match="unpacks to"):
        read(path)


def test_links_out_of_the_file_are_not_followed(small, written, tmp_path):
    path = written(small)
    small.write_h5ad(tmp_path / "other.h5ad")
    with h5py.File(path, "a") as handle:
        handle["layers/counts"] = h5py.ExternalLink("other.h5ad", "X")
    with pytest.raises(InputError, match="links to another file at 'layers/counts'"):
        read(path)


@pytest.mark.parametrize(
    ("accident", "kind", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", IntegrityError, "crashes the library"),
        ("raise SystemExit('no h5py here')", PancyteError, "could not be checked: .*no h5py here"),
    ],
    ids=["segmentation fault", "broken installation"],
)
def test_a_crash_of_the_checking_process_is_a_message(
    small, written, tmp_path, monkeypatch, accident, kind, said
):
    # runs when any Python below starts, before its first line
    code = f"import os, signal, sys\nif 'pancyte.corpus.probe' in sys.orig_argv:\n    {accident}\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(kind, match=said):
        read(written(small))


def test_work_without_end_is_stopped_and_waiting_is_not(tmp_path, monkeypatch):
    """Seconds of work count, so a busy machine does not make a whole file look damaged."""
    (tmp_path / "endless.py").write_text("while True:\n    pass\n")
    (tmp_path / "patient.py").write_text("import time\ntime.sleep(1.5)\nprint('{}')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(IntegrityError, match="could not be read within 1 s"):
        worker.apart("endless", tmp_path, [], patience=1)
    assert worker.apart("patient", tmp_path, [], patience=1) == {}
    monkeypatch.setattr(worker, "BUSY", 1)
    with pytest.raises(IntegrityError, match="could not be read within 1 s"):
        worker.apart("patient", tmp_path, [], patience=1)


def test_random_damage_is_noticed_or_harmless(small, tmp_path):
    small[:40, :200].copy().write_h5ad(tmp_path / "whole.h5ad")
    whole = np.frombuffer((tmp_path / "whole.h5ad").read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(10):
        data = whole.copy()
        start = rng.integers(len(data))
        data[start : start + 32] = rng.integers(0, 256, len(data[start : start + 32]))
        path = tmp_path / "damaged.h5ad"
        path.write_bytes(data.tobytes())
        try:
            read(path, quiet=True)
        except PancyteError as error:
            assert error.exit_code in (3, 6)  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
    assert refused > 0
