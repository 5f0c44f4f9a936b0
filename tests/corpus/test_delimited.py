from __future__ import annotations

import gzip
import io

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from pancyte.cli.check import check
from pancyte.corpus import delimited
from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError
from tests.corpus.accidents import same_counts


@pytest.fixture
def table(small: AnnData) -> pd.DataFrame:
    """40 cells × 300 genes as text would hold them."""
    few = small[:40, :300]
    return pd.DataFrame(few.X.toarray().astype(int), few.obs_names, few.var_names)


def _text(table: pd.DataFrame, **how) -> str:
    stream = io.StringIO()
    table.to_csv(stream, **how)
    return stream.getvalue()


def _as_in(adata: AnnData, table: pd.DataFrame) -> bool:
    return (
        list(adata.obs_names) == list(table.index)
        and list(adata.var_names) == list(table.columns)
        and np.array_equal(adata.X.toarray(), table.to_numpy())
    )


@pytest.mark.parametrize(
    "separator", [",", "\t", ";", " "], ids=["comma", "tab", "semicolon", "blank"]
)
@pytest.mark.parametrize("rows", ["cells", "genes"])
def test_any_separator_and_either_direction(table, tmp_path, capsys, separator, rows):
    path = tmp_path / "counts.txt"
    path.write_text(_text(table if rows == "cells" else table.T, sep=separator))
    assert _as_in(read(path), table)
    said = "The table had genes as rows and was transposed." in capsys.readouterr().err
    assert said == (rows == "genes")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16"], ids=["plain", "byte order mark", "utf-16"]
)
@pytest.mark.parametrize("packed", [False, True], ids=["as is", "gzip"])
def test_encodings(table, tmp_path, encoding, packed):
    data = _text(table).encode(encoding)
    (tmp_path / "counts.csv").write_bytes(gzip.compress(data) if packed else data)
    assert _as_in(read(tmp_path / "counts.csv"), table)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.removeprefix(","),
        lambda text: "# made by a pipeline\n# second line\n" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\n\n", 3),
    ],
    ids=["R's missing corner", "comments", "Windows", "no last line end", "empty lines"],
)
def test_variants(table, tmp_path, change):
    (tmp_path / "counts.csv").write_text(change(_text(table)), newline="")
    assert _as_in(read(tmp_path / "counts.csv"), table)


def test_quoted_names_may_hold_the_separator(table, tmp_path):
    table.columns = [f"{name}, human" if name == "B2M" else name for name in table.columns]
    (tmp_path / "counts.csv").write_text(_text(table, quoting=2))
    assert _as_in(read(tmp_path / "counts.csv"), table)


def test_check_says_that_a_table_was_transposed(table, tmp_path, capsys):
    (tmp_path / "counts.csv").write_text(_text(table.T))
    check(tmp_path / "counts.csv")
    assert "The table had genes as rows and was transposed." in capsys.readouterr().out


def test_blocks_make_no_difference(table, tmp_path, monkeypatch):
    (tmp_path / "counts.csv").write_text(_text(table))
    whole = read(tmp_path / "counts.csv")
    monkeypatch.setattr(delimited, "BLOCK", 7 * table.shape[1])
    assert same_counts(read(tmp_path / "counts.csv").X, whole.X)


def test_direction_by_the_first_word_if_names_do_not_show_it(table, tmp_path):
    path = tmp_path / "counts.csv"
    table.columns = [f"f{number}" for number in range(table.shape[1])]
    table.index = pd.Index([f"s{number}" for number in range(len(table))])
    path.write_text(_text(table))
    with pytest.raises(InputError, match=r"'s0', nor its columns, e\.g\. 'f0'.*--transpose"):
        read(path)
    assert read(path, transpose=True).shape == table.T.shape
    path.write_text(_text(table.rename_axis("Cell_ID")))
    assert _as_in(read(path), table)
    path.write_text(_text(table.rename_axis("gene_id")))
    assert read(path).shape == table.T.shape


def _cell_types(table: pd.DataFrame) -> str:
    return _text(table.assign(cell_type="acinar cell"))


def _missing(table: pd.DataFrame) -> str:
    table = table.astype(object)
    table.iloc[1, 2] = ""
    return _text(table)


def _ragged(table: pd.DataFrame) -> str:
    lines = _text(table).splitlines()
    return "\n".join([*lines[:4], lines[4] + ",0", *lines[5:]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_cell_types, r"has 'acinar cell' in column 'cell_type', where a number is needed"),
        (_missing, r"Row '[ACGT0-9-]+' \(line 3\) of .* has 'nothing' in column"),
        (_ragged, r"Line 5 of .* has 302 fields, where the header has 301"),
        (
            lambda table: _text(table)[:-40],
            r"Line 41 of .* has \d+ fields, where the header has 301",
        ),
        (
            lambda table: _text(table.set_axis(["B2M"] * 300, axis=1)),
            "1 names more than once, e.g. 'B2M'",
        ),
        (lambda table: "\n".join(table.columns), "no table of counts: its first lines, 'MALAT1"),
        (lambda table: _text(table).splitlines()[0], "no common separator or no rows"),
    ],
    ids=["label column", "missing", "ragged", "truncated", "repeated", "one column", "header only"],
)
def test_what_is_wrong_is_named(table, tmp_path, change, said):
    (tmp_path / "counts.csv").write_text(change(table))
    with pytest.raises(InputError, match=said):
        read(tmp_path / "counts.csv")


def test_truncated_gzip(table, tmp_path):
    data = gzip.compress(_text(table).encode())
    (tmp_path / "counts.csv.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match="is damaged"):
        read(tmp_path / "counts.csv.gz")


def test_text_that_turns_into_bytes(table, tmp_path):
    data = _text(table).encode()
    (tmp_path / "counts.csv").write_bytes(data[:8000] + b"\xff\xfe\x80" + data[8000:])
    with pytest.raises(IntegrityError, match=r"is damaged: .*utf-8"):
        read(tmp_path / "counts.csv")


def test_a_line_without_end(table, tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LONGEST", 1 << 16)
    (tmp_path / "counts.csv.gz").write_bytes(gzip.compress(b"gene,a\nB2M," + b"0" * (1 << 20)))
    with pytest.raises(InputError, match="is longer than 65,536 characters"):
        read(tmp_path / "counts.csv.gz")
