"""Work on many files, here and on a Dask cluster of this machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from pancyte.cluster import workers
from pancyte.errors import ResourceError

LISTENS = "0A"


def test_alone_it_is_map():
    with workers() as spread:
        assert list(spread(len, ["a", "bb"])) == [1, 2]


def test_a_local_cluster_keeps_the_order_and_to_itself():
    pytest.importorskip("distributed", reason="needs pancyte[dask]")
    if not Path("/proc/net/tcp").exists():
        pytest.skip("needs /proc to see who listens")
    # a process of its own: warnings of Dask's threads come after the test that made them
    code = (
        "from pathlib import Path\n"
        "from pancyte.cluster import workers\n"
        "def listening():\n"
        "    lines = [line.split() for file in ('tcp', 'tcp6')\n"
        "             for line in Path('/proc/net', file).read_text().splitlines()[1:]]\n"
        f"    return {{line[1] for line in lines if line[3] == {LISTENS!r}}}\n"
        "if __name__ == '__main__':\n"
        "    before = listening()\n"
        "    with workers('local') as spread:\n"
        "        print(list(spread(len, ['a', 'bb', 'ccc'])))\n"
        "        print(sorted({place.split(':')[0] for place in listening() - before}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    results, places = done.stdout.splitlines()
    assert results == "[1, 2, 3]"
    assert places == "['0100007F']"


def test_a_scheduler_that_is_not_there_is_told():
    pytest.importorskip("distributed", reason="needs pancyte[dask]")
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ResourceError, match="No Dask scheduler answers at"),
        workers("tcp://127.0.0.1:9"),
    ):
        pass
