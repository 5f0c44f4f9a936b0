from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from anndata import AnnData
from pyarrow import parquet as pq

from pancyte.corpus import parquet
from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError


@pytest.fixture
def table(small: AnnData) -> pd.DataFrame:
    few = small[:40, :300]
    return pd.DataFrame(few.X.toarray().astype(np.int32), few.obs_names, few.var_names)


def _as_in(adata: AnnData, table: pd.DataFrame) -> bool:
    same = adata.to_df().loc[table.index, table.columns]
    return np.array_equal(same.to_numpy(), table.to_numpy())


@pytest.mark.parametrize("names", ["index", "column"])
@pytest.mark.parametrize("rows", ["cells", "genes"])
def test_wide(table, tmp_path, capsys, names, rows):
    given = table if rows == "cells" else table.T
    given = given.rename_axis(index="name", columns=None)
    given.to_parquet(
        tmp_path / "t.parquet"
    ) if names == "index" else given.reset_index().to_parquet(tmp_path / "t.parquet", index=False)
    assert _as_in(read(tmp_path / "t.parquet"), table)
    assert ("was transposed" in capsys.readouterr().err) == (rows == "genes")


def test_one_row_per_cell_gene_and_count(table, tmp_path):
    long = table.rename_axis(index="barcode", columns="gene").stack().rename("count").reset_index()
    long = long[long["count"] > 0].sample(frac=1, random_state=0)
    long.to_parquet(tmp_path / "long.parquet", index=False)
    counted = table.loc[:, table.sum() > 0]
    adata = read(tmp_path / "long.parquet")
    assert adata.shape == counted.shape
    assert _as_in(adata, counted)


def test_blocks_make_no_difference(table, tmp_path, monkeypatch):
    table.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(parquet, "BLOCK", 7 * table.shape[1])
    assert _as_in(read(tmp_path / "t.parquet"), table)


def test_what_is_wrong_is_named(table, tmp_path):
    path = tmp_path / "t.parquet"
    table.assign(cell_type="acinar cell").to_parquet(path)
    with pytest.raises(InputError, match=r"Column 'cell_type' of .* holds 'acinar cell'"):
        read(path)
    table.reset_index(drop=True).to_parquet(path, index=False)
    with pytest.raises(InputError, match="no column of names, only numbers: MALAT1"):
        read(path)
    table[:0].to_parquet(path)
    with pytest.raises(InputError, match="has no rows"):
        read(path)


@pytest.mark.parametrize("where", ["middle", "end"])
def test_damage_is_noticed(table, tmp_path, where):
    path = tmp_path / "t.parquet"
    table.to_parquet(path)
    data = bytearray(path.read_bytes())
    if where == "end":
        data = data[:-100]
    else:
        data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match="is damaged"):
        read(path)


def test_a_file_that_unpacks_without_end(tmp_path):
    path, rows = tmp_path / "bomb.parquet", 1 << 23
    # the same number again and again, which run-length encoding keeps in a few bytes
    columns = {f"gene {number}": pa.array(np.zeros(rows, np.int8)) for number in range(12)}
    one_page = {"row_group_size": rows, "data_page_size": rows, "write_batch_size": rows}
    pq.write_table(pa.table(columns), path, max_rows_per_page=rows, **one_page)
    with pytest.raises(IntegrityError, match=r"declares 8,388,608 rows of 12 values, 0\.4"):
        read(path)
