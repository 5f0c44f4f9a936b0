"""The command line as a user meets it: exit statuses, one clear message, outputs left alone."""

import json
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.sparse import csr_matrix

from pancyte.cli.main import run
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig


@pytest.fixture
def model_folder(cells, tmp_path):
    model = Model.create(
        ContinuousTokenizer(TokenizerConfig(max_length=64)).fit(cells),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny", species=["human"]),
    )
    model.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def call(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return stop.value.code, captured.out, captured.err

    return call


def test_check_for_people_and_machines(call, cells_file):
    status, out, _ = call("check", cells_file)
    assert status == 0
    assert "100 cells × 3,310 genes" in out
    status, out, _ = call("check", cells_file, "--json")
    found = json.loads(out)
    assert (status, found["schema"], found["species"]) == (0, 1, "human")


def test_one_reference_of_a_mixed_run(call, data_dir, model_folder, tmp_path):
    barnyard, out = data_dir / "hgmm_1k" / "hgmm_1k.h5ad", tmp_path / "out.h5ad"
    status, said, _ = call("check", barnyard, "--genome", "mm10", "--json")
    assert (status, json.loads(said)["species"]) == (0, "mouse")
    status, _, told = call("embed", barnyard, "-m", model_folder, "-o", out)
    assert (status, out.exists()) == (3, False)
    assert "--genome hg19" in told
    status, _, _ = call("embed", barnyard, "-m", model_folder, "-o", out, "--genome", "hg19")
    assert status == 0
    assert ad.read_h5ad(out).obsm["X_tiny"].shape == (320, 16)


def test_annotate_writes_labels_and_how_they_were_made(call, cells_file, model_folder, tmp_path):
    out = tmp_path / "out.h5ad"
    common = ("annotate", cells_file, "-r", cells_file, "-m", model_folder, "-o", out)
    status, said, _ = call(*common, "--label-key", "cell_type", "--method", "knn")
    assert status == 0
    assert "wrote" in said
    written = ad.read_h5ad(out)
    assert written.obs["pancyte_probability"].between(0, 1).all()
    assert set(written.obs["pancyte_label"]) <= set(written.obs["cell_type"])
    (how,) = json.loads(written.uns["pancyte"])
    assert how["verb"] == "annotate"
    assert how["model"]["name"] == "tiny"
    assert how["method"] == "knn"


def test_annotate_tries_ways_and_says_why(call, cells_file, model_folder, tmp_path):
    out = tmp_path / "out.h5ad"
    common = ("annotate", cells_file, "-r", cells_file, "--label-key", "cell_type", "-o", out)
    status, said, told = call(*common, "-m", model_folder, "--alpha", "0.2", "--json")
    answer = json.loads(said)
    assert status == 0
    assert {"tiny (knn)", "l1-logistic"} < {row["route"] for row in answer["cross_validation"]}
    assert answer["chosen"] in answer["why"]
    assert answer["why"] in told
    assert "pancyte_set" in ad.read_h5ad(out).obs
    status, _, err = call(*common, "--donor-key", "patient", "--force")
    assert (status, "no column 'patient'" in err) == (3, True)
    assert call("annotate", cells_file, "-o", tmp_path / "x.h5ad")[0] == 2


def test_cells_that_are_empty_are_not_counted_as_unsure(call, cells_file, tmp_path):
    cells = ad.read_h5ad(cells_file)
    cells.X = csr_matrix(cells.X.multiply(np.arange(cells.n_obs)[:, None] >= 30))
    cells.write_h5ad(tmp_path / "some_empty.h5ad")
    options = ("-r", cells_file, "--label-key", "cell_type", "-o", tmp_path / "out.h5ad", "--json")
    status, said, _ = call("annotate", tmp_path / "some_empty.h5ad", *options)
    written, answer = ad.read_h5ad(tmp_path / "out.h5ad").obs, json.loads(said)
    assert (status, answer["labels"]["unassigned: empty"]) == (0, 30)
    assert answer["below_half"] == (written["pancyte_probability"][30:] < 0.5).mean()


def test_annotate_by_a_marker_file(call, cells_file, tmp_path):
    out, markers = tmp_path / "out.h5ad", tmp_path / "markers.gmt"
    genes = list(ad.read_h5ad(cells_file).var_names[:8])
    markers.write_text("\n".join(["a\t\t" + "\t".join(genes[:4]), "b\t\t" + "\t".join(genes[4:])]))
    status, said, _ = call("annotate", cells_file, "--markers", markers, "-o", out, "--json")
    assert (status, sum(json.loads(said)["labels"].values())) == (0, 100)


def test_embed(call, cells_file, model_folder, tmp_path):
    out = tmp_path / "out.h5ad"
    status, said, _ = call("embed", cells_file, "-m", model_folder, "-o", out, "--json")
    assert (status, json.loads(said)["key"]) == (0, "X_tiny")
    assert ad.read_h5ad(out).obsm["X_tiny"].shape == (100, 16)


def test_dry_run_writes_nothing(call, cells_file, model_folder, tmp_path):
    out = tmp_path / "out.h5ad"
    assert call("embed", cells_file, "-m", model_folder, "-o", out, "--dry-run")[0] == 0
    assert not out.exists()


def test_pretrain_dry_run_says_what_it_would_cost(call, cells_file, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "train": [str(cells_file)]}))
    status, out, _ = call("pretrain", path, "--dry-run", "--json")
    planned = json.loads(out)
    assert status == 0
    assert planned["cells"] == 95
    assert planned["parameters"]["backbone"] > planned["features"]


def damaged(kind, cells_file, tmp_path):
    path = tmp_path / f"{kind}.h5ad"
    adata = ad.read_h5ad(cells_file)
    if kind == "truncated":
        path.write_bytes(cells_file.read_bytes()[:5000])
        return path
    if kind == "html":
        path.write_text("<!DOCTYPE html><html><body>404</body></html>")
        return path
    if kind == "negative":
        adata.X = adata.X.toarray().astype(np.float32) - 1.5
    if kind == "empty":
        adata = adata[:0].copy()
    if kind == "other genes":
        adata.var_names = [f"Gm{i}" for i in range(adata.n_vars)]
        adata.var = adata.var.drop(columns="ensembl_id")
    adata.write_h5ad(path)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "truncated"),
        ("html", "HTML"),
        ("negative", "negative"),
        ("empty", "0 cells"),
        ("other genes", "vocabulary"),
    ],
)
@pytest.mark.parametrize("verb", ["annotate", "embed"])
def test_bad_input_is_one_message_and_leaves_the_output(
    call, cells_file, model_folder, tmp_path, kind, words, verb
):
    out = tmp_path / "precious.h5ad"
    out.write_text("precious")
    given = [verb, damaged(kind, cells_file, tmp_path), "-m", model_folder, "-o", out, "--force"]
    if verb == "annotate":
        given += ["-r", cells_file, "--label-key", "cell_type"]
    status, _, err = call(*given)
    assert status == 3
    assert err.count("error[") == 1
    assert words in err
    assert out.read_text() == "precious"


def test_mouse_on_a_human_model(call, data_dir, cells_file, model_folder, tmp_path):
    mouse = data_dir / "baron_pancreas_human_mouse" / "baron_mouse.h5ad"
    out = tmp_path / "out.h5ad"
    status, _, err = call("embed", mouse, "-m", model_folder, "-o", out)
    assert status == 3
    assert "mouse" in err
    assert not out.exists()


def test_missing_label_key_names_the_columns(call, cells_file, model_folder, tmp_path):
    status, _, err = call(
        "annotate", cells_file, "-r", cells_file, "-m", model_folder, "--label-key", "celltype",
        "-o", tmp_path / "out.h5ad",
    )  # fmt: skip
    assert status == 3
    assert "'celltype'" in err
    assert "cell_type" in err


def test_existing_output_is_kept_without_force(call, cells_file, model_folder, tmp_path):
    out = tmp_path / "out.h5ad"
    out.write_text("precious")
    status, _, err = call("embed", cells_file, "-m", model_folder, "-o", out)
    assert (status, out.read_text()) == (2, "precious")
    assert "--force" in err


def test_missing_model_and_wrong_options(call, cells_file):
    assert call("embed", cells_file, "-m", "nowhere")[0] == 4
    assert call("embed", cells_file)[0] == 2
    assert call("nonsense")[0] == 2
    assert call("bench", "no-such-suite")[0] == 2
    assert call("list", "nonsense")[0] == 2


def test_mixed_columns_are_told_before_the_work(call, cells_file, model_folder, tmp_path):
    adata = ad.read_h5ad(cells_file)
    adata.obs["note"] = pd.Categorical(np.where(np.arange(100) % 2, "a", "b"))
    adata.obs["mixed"] = pd.Series([1, "two"] * 50, index=adata.obs_names, dtype=object)
    from pancyte.corpus.write import prepare_obs, write_h5ad

    assert prepare_obs(adata) == ["mixed"]
    write_h5ad(adata, tmp_path / "mixed.h5ad")
    assert ad.read_h5ad(tmp_path / "mixed.h5ad").obs["mixed"].tolist()[:2] == ["1", "two"]


def test_bench_and_report(call, cells_file, model_folder, tmp_path):
    suite = {
        "name": "mini",
        "seeds": 2,
        "runs": [
            {
                "name": "pancreas",
                "tasks": ["annotation"],
                "reference": {
                    "source": str(cells_file),
                    "label_key": "cell_type",
                    "batch_key": "study",
                },
                "split_by": "study",
                "held_out": ["Fasolino 2022"],
            }
        ],
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    results = tmp_path / "results.json"
    status, out, _ = call("bench", tmp_path / "suite.yaml", "-m", model_folder, "-o", results)
    assert status == 0
    assert "baseline" in out
    page = tmp_path / "report.html"
    annotated = tmp_path / "annotated.h5ad"
    call(
        "annotate", cells_file, "-r", cells_file, "-m", model_folder, "--label-key", "cell_type",
        "-o", annotated,
    )  # fmt: skip
    status, _, _ = call(
        "report", "-c", annotated, "-r", results, "--label-key", "cell_type", "-o", page
    )
    assert status == 0
    text = page.read_text()
    for piece in ("True and predicted labels", "macro", "pancyte report", "default-src"):
        assert piece in text


def test_nothing_to_report_on(call, tmp_path):
    status, _, err = call("report", "-o", tmp_path / "r.html")
    assert status == 3
    assert "nothing to report" in err


def test_ctrl_c_is_130(tmp_path):
    code = (
        "import sys; from pancyte.cli import check, main\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "import pancyte.corpus.read as r; r.settled = stop\n"
        f"main.run(['check', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_embed_many_goes_on_where_it_was(call, cells_file, model_folder, tmp_path):
    few = ad.read_h5ad(cells_file)
    files = [tmp_path / f"part{number}.h5ad" for number in range(3)]
    for number, file in enumerate(files):
        few[number::3].copy().write_h5ad(file)
    out = tmp_path / "out"
    assert call("embed", *files, "-m", model_folder)[0] == 2
    assert call("embed", *files[:2], "-m", model_folder, "-o", out)[0] == 0
    first = out / "part0.embedded.h5ad"
    stamp = first.stat().st_mtime_ns
    status, said, err = call("embed", *files, "-m", model_folder, "-o", out, "--json")
    assert status == 0
    assert "2 of 3 are done" in err
    assert [item["out"] for item in json.loads(said)["files"]] == [str(out / "part2.embedded.h5ad")]
    assert first.stat().st_mtime_ns == stamp
    vectors = [ad.read_h5ad(path).n_obs for path in sorted(out.iterdir())]
    assert sum(vectors) == few.n_obs


def test_embed_many_names_the_file_that_failed(call, cells_file, model_folder, tmp_path):
    page = tmp_path / "page.h5ad"
    page.write_text("<html></html>")
    status, _, err = call("embed", page, cells_file, "-m", model_folder, "-o", tmp_path / "out")
    assert status == 3
    assert "1 of 2 files" in err
    assert "page.h5ad" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cells.embedded.h5ad"]


def test_embed_on_a_cluster_gives_the_same(call, cells_file, model_folder, tmp_path):
    pytest.importorskip("distributed", reason="needs pancyte[dask]")
    few = ad.read_h5ad(cells_file)
    files = [tmp_path / f"part{number}.h5ad" for number in range(2)]
    for number, file in enumerate(files):
        few[number::2].copy().write_h5ad(file)
    for out, options in (("here", ()), ("there", ("--dask", "local"))):
        assert call("embed", *files, "-m", model_folder, "-o", tmp_path / out, *options)[0] == 0
    for name in ("part0.embedded.h5ad", "part1.embedded.h5ad"):
        here, there = (ad.read_h5ad(tmp_path / out / name) for out in ("here", "there"))
        (key,) = here.obsm
        assert np.allclose(here.obsm[key], there.obsm[key], atol=1e-6)


def test_corpus_from_the_command_line(call, cells_file, tmp_path):
    folder = tmp_path / "corpus"
    status, said, err = call("corpus", "build", folder, cells_file, "--json")
    assert status == 0
    assert "cells: 100 cells" in err
    (about,) = json.loads(said)["datasets"]
    assert (about["name"], about["cells"], about["species"]) == ("cells", 100, "human")
    assert "in the corpus already" in call("corpus", "build", folder, cells_file)[2]
    assert "cells" in call("corpus", "show", folder)[1]
    assert call("corpus", "verify", folder)[0] == 0
    assert call("corpus", "export", folder, "-o", tmp_path / "all.h5ad")[0] == 0
    assert ad.read_h5ad(tmp_path / "all.h5ad").n_obs == 100
    part = folder / "parts" / "cells.h5ad"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 255
    part.write_bytes(content)
    assert call("corpus", "verify", folder)[0] == 6
    assert call("corpus", "remove", folder, "nix")[0] == 2
    assert call("corpus", "remove", folder, "cells")[0] == 0
    assert call("corpus", "show", tmp_path)[0] == 4
