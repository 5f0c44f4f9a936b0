"""Islet cells by their textbook markers, with no reference at all."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from pancyte.corpus.cells import column, to_cells
from pancyte.deciding.markers import decide_by_markers, read_markers
from pancyte.errors import InputError, MissingError

MARKERS = {
    "type B pancreatic cell": ["INS", "IAPP", "MAFA", "NKX6-1"],
    "pancreatic A cell": ["GCG", "TTR", "ARX"],
    "pancreatic D cell": ["SST", "RBP4", "HHEX"],
    "pancreatic acinar cell": ["PRSS1", "CPA1", "CTRB1", "CELA3A"],
    "pancreatic ductal cell": ["KRT19", "CFTR", "SPP1"],
}


@pytest.fixture(scope="module")
def islets(pancreas):
    kept = (pancreas.obs["study"] == "Fasolino 2022") & pancreas.obs["cell_type"].isin(MARKERS)
    few = pancreas[kept.to_numpy()][::2]
    wanted = few.var_names.isin(np.concatenate(list(MARKERS.values())))
    wanted |= np.arange(few.n_vars) % 6 == 0
    return to_cells(few[:, wanted].copy())


def test_cells_are_labelled_right(islets):
    decision = decide_by_markers(islets, MARKERS)
    truth = column(islets, "cell_type")
    labelled = decision.reasons == ""
    assert labelled.mean() > 0.2
    assert (decision.labels == truth)[labelled].mean() > 0.85
    assert (decision.best == truth)[labelled].mean() > (decision.best == truth).mean()


def test_the_p_value_is_fishers(islets):
    decision = decide_by_markers(islets, MARKERS)
    expressed = islets.counts.getnnz(axis=0) > 0
    for cell in range(5):
        genes = islets.features.index.isin(MARKERS[decision.best[cell]])
        found = islets.counts[cell].toarray().ravel() > 0
        both = (genes & found).sum()
        table = [
            [both, genes.sum() - both],
            [found.sum() - both, expressed.sum() - genes.sum() - found.sum() + both],
        ]
        exact = fisher_exact(table, alternative="greater").pvalue
        assert decision.p_values[cell] == pytest.approx(min(1, exact * len(MARKERS)), rel=1e-6)


def test_markers_of_one_type_named_twice_do_not_help_it(islets):
    doubled = {name: genes * 2 for name, genes in MARKERS.items()}
    first, second = (decide_by_markers(islets, given) for given in (MARKERS, doubled))
    np.testing.assert_array_equal(first.scores, second.scores)


def test_gmt_and_dictionary_say_the_same(tmp_path):
    path = tmp_path / "markers.gmt"
    path.write_text("".join(f"{name}\tnote\t" + "\t".join(g) + "\n" for name, g in MARKERS.items()))
    assert read_markers(path) == MARKERS == read_markers(MARKERS)


def test_what_cannot_be_used_is_told(islets, tmp_path):
    with pytest.raises(MissingError, match="no marker file"):
        read_markers(tmp_path / "none.gmt")
    (tmp_path / "bad.gmt").write_text("beta\tINS\n")
    with pytest.raises(InputError, match="Line 1 of"):
        read_markers(tmp_path / "bad.gmt")
    with pytest.raises(InputError, match="markers of 1 type"):
        read_markers({"beta": ["INS"]})
    with pytest.raises(InputError, match="Of 2 types 0 have 2"):
        decide_by_markers(islets, {"a": ["Ins1", "Ins2"], "b": ["Gcg", "Sst"]})
