"""Shares of variance against sums that are known."""

import itertools

import numpy as np
import pandas as pd
import pytest

from pancyte.errors import InputError
from pancyte.scaling.variance import decompose


def runs_of(score, **levels):
    rows = [
        dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())
    ]
    return pd.DataFrame([{**row, "score": score(**row)} for row in rows])


def test_a_sum_has_no_interactions():
    runs = runs_of(lambda rate, depth: 3 * rate + depth, rate=[-1, 1], depth=[-1, 1])
    table = decompose(runs, ["rate", "depth"], "score")
    assert table.loc["rate", "share"] == pytest.approx(0.9)
    assert table.loc["depth", "share"] == pytest.approx(0.1)
    assert table.loc["interactions", "share"] == pytest.approx(0, abs=1e-12)
    assert table.loc["rate", "total"] == pytest.approx(0.9)
    assert (table.loc["rate", "lowest"], table.loc["rate", "at"]) == (-3, -1)


def test_a_product_is_all_interaction():
    runs = runs_of(lambda rate, seed: rate * seed, rate=[-1, 1], seed=[-1, 1])
    table = decompose(runs, ["rate", "seed"], "score")
    assert table.loc["interactions", "share"] == pytest.approx(1)
    assert table.loc[["rate", "seed"], "total"].tolist() == pytest.approx([1, 1])


def test_shares_add_up_to_one_in_any_order_of_runs():
    rng = np.random.default_rng(0)
    runs = runs_of(lambda **_: rng.normal(), rate=[1, 2, 3], ratio=[0.1, 0.5], seed=[0, 1])
    table = decompose(runs, ["rate", "ratio", "seed"], "score")
    assert table["share"].sum() == pytest.approx(1)
    shuffled = decompose(runs.sample(frac=1, random_state=0), ["seed", "rate", "ratio"], "score")
    assert shuffled.loc["rate", "total"] == pytest.approx(table.loc["rate", "total"])


def test_a_missing_combination_is_refused():
    runs = runs_of(lambda rate, seed: rate, rate=[1, 2], seed=[0, 1])
    with pytest.raises(InputError, match="3 runs"):
        decompose(runs.iloc[1:], ["rate", "seed"], "score")
    runs.loc[0, "score"] = np.nan
    with pytest.raises(InputError, match="1 of them without"):
        decompose(runs, ["rate", "seed"], "score")
