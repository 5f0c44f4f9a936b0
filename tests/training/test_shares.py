import json
import multiprocessing
import resource

import pytest

from pancyte.errors import ResourceError
from pancyte.training.log import LOSS, read_log
from pancyte.training.memory import Need
from pancyte.training.pretrain import pretrain
from pancyte.training.shares import Shares, fitting

NEED = Need(weights=100, gradients=100, optimizer=200, average=0, activations=0, per_token=10)


@pytest.mark.parametrize(
    ("memory", "world", "shares"), [(10_400, 1, 1), (5_400, 1, 2), (3_000, 1, 4), (5_400, 4, 4)]
)
def test_the_fewest_shares_that_fit(memory, world, shares):
    assert fitting(NEED, 1000, memory, world=world) == shares


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ResourceError, match="for weights, gradients and optimizer"):
        fitting(NEED, 1000, 300)


def test_what_was_chosen_is_kept_for_resuming(tmp_path):
    shares = Shares(tmp_path, "auto")
    assert not shares.settled
    shares.settle(2)
    assert shares.double(7) == 4
    again = Shares(tmp_path, "auto")
    assert [again.at(step) for step in (0, 6, 7, 99)] == [2, 2, 4, 4]
    assert Shares(tmp_path, 3).at(99) == 3


def test_no_end_of_doubling(tmp_path):
    shares = Shares(tmp_path, "auto")
    shares.settle(4096)
    with pytest.raises(ResourceError, match="even in 4096 shares"):
        shares.double(0)


def test_a_small_memory_means_more_shares(small, tmp_path):
    pretrain(small(shares="auto", memory=0.004), tmp_path / "auto")
    ((start, number),) = json.loads((tmp_path / "auto.run" / "shares.json").read_text())
    assert start == 0
    assert number > 1
    pretrain(small(shares=number), tmp_path / "given")
    one, two = (tmp_path / f"{name}.run" / LOSS for name in ("auto", "given"))
    assert one.read_bytes() == two.read_bytes()


def starved(run, out, spare):
    """Train with little more address space than is taken when the first step begins."""
    from pancyte.training.loop import Loop

    begin = Loop._steps

    def limited(loop, done):
        with open("/proc/self/statm") as told:
            taken = int(told.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + spare, resource.RLIM_INFINITY))
        return begin(loop, done)

    Loop._steps = limited
    pretrain(run, out)


@pytest.mark.slow
def test_a_step_that_does_not_fit_is_taken_in_more_shares(small, tmp_path):
    """An allocator that refuses; about 1 GB is asked for, and 300 MB are there."""
    large = {"backbone": {"name": "transformer", "depth": 4, "width": 256}}
    run = small(large, shares="auto", tokens_per_step=32_768, steps=3)
    # a process of its own has no memory left over from other tests
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=starved, args=(run, tmp_path / "model", 300_000_000))
    child.start()
    child.join()
    assert child.exitcode == 0
    history = json.loads((tmp_path / "model.run" / "shares.json").read_text())
    assert history[-1][1] > 1
    log = (tmp_path / "model.run" / LOSS).read_bytes()
    again = tmp_path / "again.run"
    again.mkdir()
    (again / "shares.json").write_text(json.dumps(history))
    pretrain(run, tmp_path / "again")
    assert (again / LOSS).read_bytes() == log
    assert len(read_log(again)["loss"].dropna()) == 3
