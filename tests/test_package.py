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


def test_benchmark_and_settings_stay_themselves_once_their_modules_are_loaded():
    import pancyte
    import pancyte.benchmark.results
    from pancyte.errors import UsageError

    for _ in range(2):
        with pytest.raises(UsageError, match="is no method"):
            pancyte.benchmark([3], tasks=["annotation"], datasets=[])
        assert pancyte.settings.device == "auto"
