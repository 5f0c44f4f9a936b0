import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from pancyte.errors import InputError, MissingError
from pancyte.priors.file import File, FileConfig, read_vectors

NAMES = ["TP53", "CD3D", "INS", "GAPDH", "NA"]
VECTORS = np.arange(15, dtype=np.float32).reshape(5, 3) ** 1.5


def written(path):
    table = pd.DataFrame(VECTORS, index=pd.Index(NAMES, name="gene"), columns=list("abc"))
    match path.name.partition(".")[2]:
        case "parquet":
            table.to_parquet(path)
        case "tsv" | "tsv.gz":
            table.to_csv(path, sep="\t")
        case "csv":
            table.reset_index().to_csv(path, index=False)
        case "npz":
            np.savez(path, genes=np.array(NAMES), emb=VECTORS)
        case "safetensors":
            text = np.frombuffer("\n".join(NAMES).encode(), np.uint8)
            save_file({"vectors": VECTORS, "names": text}, path)
    return path


@pytest.mark.parametrize("kind", ["parquet", "tsv", "tsv.gz", "csv", "npz", "safetensors"])
def test_every_format_says_the_same(tmp_path, kind):
    names, vectors = read_vectors(written(tmp_path / f"v.{kind}"))
    assert names == NAMES
    np.testing.assert_allclose(vectors, VECTORS, rtol=1e-6)


def test_leading_components_keep_what_matters(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"G{i}" for i in range(50)]
    wide = rng.standard_normal((50, 2)) @ rng.standard_normal((2, 30))
    pd.DataFrame(wide, index=names).rename(columns=str).to_parquet(tmp_path / "w.parquet")
    whole, short = (
        File(FileConfig(file=str(tmp_path / "w.parquet"), dims=dims)).table(None) for dims in (0, 2)
    )
    assert (whole.dims, short.dims) == (30, 2)
    np.testing.assert_allclose(
        whole.vectors @ whole.vectors.T, short.vectors @ short.vectors.T, atol=0.01
    )


def test_files_that_could_execute_code_are_refused(tmp_path):
    np.savez(tmp_path / "o.npz", genes=np.array(NAMES, object), emb=VECTORS)
    with pytest.raises(InputError, match="execute code"):
        read_vectors(tmp_path / "o.npz")
    (tmp_path / "v.pkl").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(InputError, match="no kind of file"):
        read_vectors(tmp_path / "v.pkl")


def test_what_are_no_vectors_is_refused(tmp_path):
    with pytest.raises(MissingError, match=r"v\.tsv"):
        read_vectors(tmp_path / "v.tsv")
    np.savez(tmp_path / "two.npz", genes=np.array(NAMES[:4]), emb=VECTORS)
    with pytest.raises(InputError, match="a row for every name"):
        read_vectors(tmp_path / "two.npz")
    pd.DataFrame({"a": ["x"], "b": ["y"], "c": [1.0]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="2 columns of text"):
        read_vectors(tmp_path / "t.csv")
    (tmp_path / "d.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_vectors(tmp_path / "d.parquet")
