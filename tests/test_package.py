"""What `import pancyte` and `pancyte --help` may load, checked by what is imported, not a clock."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "scanpy", "anndata", "numpy", "pandas", "matplotlib", "sklearn", "numba", "rich"}


def loaded_after(code):
    probe = f"import sys\n{code}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_is_light():
    assert not HEAVY & loaded_after("import pancyte")


def test_command_line_is_light():
    assert not HEAVY - {"rich"} & loaded_after("import pancyte.cli.main")


def test_unknown_attribute():
    import pancyte

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pancyte.nonsense


def test_every_public_name_is_there():
    import pancyte

    for name in pancyte.__all__:
        assert getattr(pancyte, name) is not None
