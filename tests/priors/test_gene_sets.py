import gzip

import numpy as np
import pandas as pd
import pytest

from pancyte.errors import InputError, IntegrityError, MissingError
from pancyte.priors.gene_sets import read_annotations, read_gmt, vectors_of_sets
from pancyte.priors.go import Go, GoConfig
from pancyte.priors.pathways import Pathways, PathwaysConfig

GMT = "ONE\thttp://x\tTP53\tCD3D\tINS\nTWO\thttp://x\tINS\tGCG\tSST\nTHREE\t\tCD3D\tCD8A\tTP53\n"


def test_genes_of_the_same_sets_are_alike(tmp_path):
    path = tmp_path / "sets.gmt.gz"
    path.write_bytes(gzip.compress(GMT.encode()))
    table = Pathways(PathwaysConfig(file=str(path), dims=2)).table(None)
    vectors = dict(zip(table.genes["symbol"], table.vectors, strict=True))
    assert vectors["GCG"] @ vectors["SST"] > 0.99
    assert vectors["TP53"] @ vectors["CD3D"] > 0.99
    assert vectors["TP53"] @ vectors["GCG"] < 0


def test_rare_sets_weigh_more_than_common_ones(tmp_path):
    names = [f"G{i}" for i in range(40)]
    pairs = [(name, "all but one") for name in names[1:]]
    pairs += [(name, f"set {i // 4}") for i, name in enumerate(names)]
    table = vectors_of_sets(pairs, 9, source=tmp_path)
    similar = table.vectors_of(pd.DataFrame(index=names)) @ table.vectors.T
    order = table.genes.index.get_indexer(names)
    similar = similar[:, order]
    assert similar[4, 5:8].min() > 0.9
    assert similar[4, 8:].max() < 0.5


def test_annotations_as_a_table_and_as_gaf(tmp_path):
    table = tmp_path / "go.tsv"
    table.write_text("symbol\tgo_id\tevidence\nTP53\tGO:1\tIDA\nINS\tGO:2\tND\nINS\tGO:3\tTAS\n")
    assert list(read_annotations(table, ("ND",))) == [("TP53", "GO:1"), ("INS", "GO:3")]
    gaf = tmp_path / "go.gaf"
    gaf.write_text(
        "!gaf-version: 2.2\n"
        "UniProtKB\tP04637\tTP53\tenables\tGO:1\tPMID:1\tIDA\n"
        "UniProtKB\tP04637\tTP53\tNOT|enables\tGO:2\tPMID:1\tIDA\n"
    )
    assert list(read_annotations(gaf, ())) == [("TP53", "GO:1")]


def test_what_is_no_knowledge_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.gmt"
    path.write_text("only a name\n")
    with pytest.raises(InputError, match=r"Line 1 .* no gene set"):
        list(read_gmt(path))
    with pytest.raises(InputError, match="where a GO term should be"):
        list(read_annotations(path, ()))
    path.write_bytes(gzip.compress(GMT.encode())[:-9])
    with pytest.raises(IntegrityError, match="damaged"):
        list(read_gmt(path))
    monkeypatch.setattr("pancyte._settings.settings.data_dir", tmp_path)
    with pytest.raises(MissingError, match="PANCYTE_DATA"):
        Go().table(None)
    with pytest.raises(MissingError, match="nowhere"):
        Go(GoConfig(file="nowhere")).table(None)
    with pytest.raises(InputError, match="fewer than two sets"):
        vectors_of_sets([("A", "s"), ("B", "s"), ("C", "s")], 4, source=path)


@pytest.mark.usefixtures("data_dir")
def test_the_gene_ontology_knows_what_insulin_is_like():
    """INS and GCG are hormones of the pancreas, CD3D and CD3E parts of one receptor."""
    table = Go(GoConfig(dims=32)).table(None)
    names = ["INS", "GCG", "CD3D", "CD3E", "RPL3", "RPL4"]
    similar = np.corrcoef(table.vectors_of(pd.DataFrame(index=names)))
    for first in (0, 2, 4):
        others = np.delete(similar[first], [first, first + 1])
        assert similar[first, first + 1] > others.max()
