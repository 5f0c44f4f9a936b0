"""What the page's script decodes is what was put in."""

import base64
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from pancyte.errors import InputError
from pancyte.report import Colouring, Scatter
from pancyte.report.columns import encode, pack, quantise_map


def column(data, number: int, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data["columns"][number]), dtype)


def test_places_decode_within_half_a_step(scatter):
    data = pack(scatter)
    for described in data["maps"]:
        levels = column(data, described["column"], "<u2").reshape(-1, 2)
        ends = np.array([described["x"], described["y"]]).T
        step = (ends[1] - ends[0]) / 65535
        given = scatter.maps[described["name"]]
        assert np.abs(ends[0] + levels * step - given).max(axis=0) == pytest.approx(
            step / 2, rel=0.05
        )


def test_first_colouring_costs_five_bytes_a_cell(scatter):
    data = pack(scatter)
    sizes = [len(base64.b64decode(text)) for text in data["columns"]]
    assert sizes[data["maps"][0]["column"]] == 4 * len(scatter)
    assert sizes[data["colourings"][0]["column"]] == len(scatter)


def test_labels_decode_exactly(scatter, cells, predicted):
    data = pack(scatter)
    for described, given in zip(
        data["colourings"][:2], (cells.label, predicted.label), strict=True
    ):
        names = [*described["categories"], *[None] * (256 - len(described["categories"]))]
        codes = column(data, described["column"], "u1")
        assert [names[code] for code in codes] == list(given)
        assert described["missing"]["count"] == sum(value is None for value in given)


def test_largest_category_comes_first(scatter):
    for described in pack(scatter)["colourings"][:3]:
        ranked = list(zip([-n for n in described["counts"]], described["categories"], strict=True))
        assert ranked == sorted(ranked)


def test_confidence_decodes_within_half_a_step(scatter, predicted):
    data = pack(scatter)
    described = data["colourings"][3]
    codes = column(data, described["column"], "u1")
    known = np.isfinite(predicted.confidence)
    assert ((codes == 255) == ~known).all()
    assert np.abs(codes[known] / 254 - predicted.confidence[known]).max() <= 0.5 / 254 + 1e-12


def test_values_beyond_the_limits_get_the_end_of_the_scale():
    codes, _ = encode(Colouring("score", [-3.0, 0.0, 0.5, 9.0], "continuous", limits=(0, 1)))
    assert codes.tolist() == [0, 0, 127, 254]


def test_a_colouring_without_any_value_is_all_missing():
    for kind in ("categorical", "continuous"):
        codes, described = encode(Colouring("nothing", [np.nan] * 3, kind))
        assert codes.tolist() == [255] * 3
        assert described["missing"]["count"] == 3


def test_one_place_for_all_cells_is_no_division_by_zero():
    levels, x, y = quantise_map(np.full((4, 2), 7.5))
    assert levels.tolist() == [[0, 0]] * 4
    assert x == y == [7.5, 7.5]


def test_equal_columns_are_stored_once(cells):
    xy = cells.components[:, :2]
    twice = Scatter(
        "twice", {"a": xy, "b": xy}, [Colouring("a", cells.label), Colouring("b", cells.label)]
    )
    assert len(pack(twice)["columns"]) == 2


def test_label_and_prediction_agree_on_colours_and_studies_start_anew(scatter):
    label, prediction, study = (
        dict(zip(described["categories"], described["colours"], strict=True))
        for described in pack(scatter)["colourings"][:3]
    )
    assert prediction.items() <= label.items()
    assert len(set(label.values())) == len(label)
    assert next(iter(study.values())) == next(iter(label.values()))


def test_thousands_of_categories_share_the_last_code(cells):
    codes, described = encode(Colouring("name", cells.names))
    assert len(described["categories"]) == 255
    assert described["categories"][-1] == f"{len(set(cells.names)) - 254} further"
    assert sum(described["counts"]) == len(cells.names)
    assert codes.max() == 254


def test_ordered_categories_keep_their_order():
    stages = pd.Categorical(["late", "early", "late"], ["early", "mid", "late"], ordered=True)
    codes, described = encode(Colouring("stage", pd.Series(stages)))
    assert described["categories"] == ["early", "late"]
    assert codes.tolist() == [1, 0, 1]


def test_order_of_cells_changes_nothing_but_their_order(scatter):
    order = np.random.default_rng(1).permutation(len(scatter))
    moved = Scatter(
        scatter.name,
        {name: xy[order] for name, xy in scatter.maps.items()},
        [
            Colouring(c.name, np.asarray(c.values)[order], c.kind, c.missing, c.limits)
            for c in scatter.colourings
        ],
        cells=[scatter.cells[row] for row in order],
    )
    before, after = pack(scatter), pack(moved)
    for one, other in zip(before["colourings"], after["colourings"], strict=True):
        assert one == other
        codes = column(before, one["column"], "u1")
        assert (codes[order] == column(after, other["column"], "u1")).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"maps": {}}, "0 maps"),
        ({"maps": {"m": np.zeros((3, 3))}}, r"\(3, 3\)"),
        ({"maps": {"m": np.array([[0.0, np.nan], [1, 1], [2, 2]])}}, "1 of 3 cells"),
        ({"cells": ["a", "b"]}, "different numbers"),
        ({"colourings": [Colouring("c", ["x"])]}, "different numbers"),
    ],
)
def test_scatter_refuses_what_does_not_fit(change, said):
    right = {"maps": {"m": np.zeros((3, 2))}, "colourings": [Colouring("c", list("xyz"))]}
    with pytest.raises(InputError, match=said):
        Scatter("bad", **{**right, **change})


def test_colouring_refuses_words_on_a_scale():
    with pytest.raises(InputError, match="not numbers"):
        Colouring("label", ["alpha", "beta"], "continuous")


def test_colours_stay_apart_when_red_and_green_do_not():
    """Oklab distance after Machado's (2009) dichromacy, over every pair of the first twelve."""
    from pancyte.pl.colours import PALETTE

    rgb = np.array([[int(c[at : at + 2], 16) / 255 for at in (1, 3, 5)] for c in PALETTE[:12]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    machado = {
        "normal": np.eye(3),
        "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    }
    to_lms = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.63]]
    to_lab = [[0.2105, 0.7936, -0.0041], [1.978, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    for seen in machado.values():
        lms = np.clip(linear @ np.array(seen).T, 0, 1) @ np.array(to_lms).T
        lab = np.cbrt(lms) @ np.array(to_lab).T
        apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
        assert apart[np.triu_indices(12, 1)].min() > 0.07
    assert all(one != other for one, other in pairwise(sorted(PALETTE)))
