import json

import anndata
import numpy as np
import pytest
from typer.testing import CliRunner

import pancyte as pan
from pancyte.cli.main import app, run
from pancyte.errors import InputError
from pancyte.rare.finder import GroupLimits

LIMITS = GroupLimits(splits=1)


@pytest.fixture(scope="module")
def few(pancreas):
    """One study without its delta cells but for twelve."""
    study = pancreas[(pancreas.obs["study"] == "Fasolino 2022").to_numpy()]
    kinds = study.obs["cell_type"].astype(str).to_numpy()
    common = np.isin(kinds, ["pancreatic acinar cell", "endothelial cell"])
    rows = np.concatenate([np.flatnonzero(common)[::2],
                           np.flatnonzero(kinds == "pancreatic stellate cell")[:9]])  # fmt: skip
    kept = study[np.sort(rows)].copy()
    genes = np.argsort(-kept.X.getnnz(axis=0), kind="stable")[:4000]
    return kept[:, np.sort(genes)].copy()


@pytest.fixture(scope="module")
def answered(few):
    return pan.tl.rare(few, limits=LIMITS, copy=True)


def test_stellate_cells_are_found_among_others(few, answered):
    assert "rare_group" not in few.obs
    truth = (answered.obs["cell_type"] == "pancreatic stellate cell").to_numpy()
    groups = answered.obs["rare_group"].astype(str)
    best = max(
        2 * (truth & (groups == name)).sum() / (truth.sum() + (groups == name).sum())
        for name in set(groups) - {""}
    )
    assert best > 0.7


def test_columns_and_table_agree_and_survive_a_file(answered, tmp_path):
    table = answered.uns["rare_groups"]
    sizes = answered.obs["rare_group"].value_counts()
    called = table[table["called"]]
    assert set(sizes[sizes > 0].index) - {""} <= set(called.index)
    assert (called["q_value"] <= LIMITS.alpha).all()
    assert answered.obs["rare_score"].min() >= 0
    answered.write_h5ad(tmp_path / "rare.h5ad")
    again = anndata.read_h5ad(tmp_path / "rare.h5ad").uns["rare_groups"]
    assert again["markers"].tolist() == table["markers"].tolist()
    how = pan.tl.history(answered)[-1]
    assert (how["verb"], how["called"], how["limits"]["splits"]) == ("rare", len(called), 1)


def test_the_figure_shows_every_called_group(answered, tmp_path):
    from matplotlib import pyplot

    figure = pan.pl.rare(answered, save=tmp_path / "rare.png")
    names = [text.get_text() for text in figure.axes[2].get_yticklabels()]
    table = answered.uns["rare_groups"]
    assert names == [*table.index[table["called"]], "other cells"]
    assert (tmp_path / "rare.png").stat().st_size > 10_000
    pyplot.close(figure)


def test_a_missing_answer_or_embedding_is_said(few):
    with pytest.raises(InputError, match="rare_groups"):
        pan.pl.rare(few)
    with pytest.raises(InputError, match="no embedding 'X_none'"):
        pan.tl.rare(few, use_rep="X_none")


def test_the_verb_writes_what_the_function_does(few, answered, tmp_path):
    few.write_h5ad(tmp_path / "few.h5ad")
    out = tmp_path / "out.h5ad"
    told = CliRunner().invoke(
        app, ["rare", str(tmp_path / "few.h5ad"), "--splits", "1", "-o", str(out), "--json"]
    )
    assert told.exit_code == 0, told.output
    said = json.loads(told.stdout)
    assert [g["group"] for g in said["groups"]] == list(
        answered.uns["rare_groups"].index[answered.uns["rare_groups"]["called"]]
    )
    written = anndata.read_h5ad(out)
    assert written.obs["rare_group"].tolist() == answered.obs["rare_group"].tolist()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["rare", "FILE", "--most", ".9"], 2), (["rare", "FILE", "--use-rep", "X_none"], 3),
     (["denoise", "FILE", "--method", "lof"], 2), (["denoise", "absent.h5ad"], 3)],
    ids=str,
)  # fmt: skip
def test_wrong_arguments_get_one_message(few, tmp_path, arguments, status, capsys):
    few[:120].write_h5ad(tmp_path / "few.h5ad")
    given = [str(tmp_path / "few.h5ad") if one == "FILE" else one for one in arguments]
    with pytest.raises(SystemExit) as stopped:
        run(given)
    assert stopped.value.code in (status, 4 if "absent.h5ad" in arguments else status)
    assert "error" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.rare.h5ad"))
