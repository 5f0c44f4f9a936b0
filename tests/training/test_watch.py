import numpy as np
import pytest
import torch

from pancyte.training.energy import Meter
from pancyte.training.flops import Work
from pancyte.training.watch import Watch

CPU = torch.device("cpu")


@pytest.fixture
def powercap(tmp_path):
    """Lay out counters as Linux does for a machine with two packages."""
    for package in range(2):
        zone = tmp_path / f"intel-rapl:{package}"
        zone.mkdir()
        (zone / "energy_uj").write_text("5000000\n")
        (zone / "max_energy_range_uj").write_text("9000000\n")
    return tmp_path


def test_energy_is_the_sum_of_the_packages(powercap):
    meter = Meter(CPU, powercap)
    (powercap / "intel-rapl:0" / "energy_uj").write_text("6500000\n")
    (powercap / "intel-rapl:1" / "energy_uj").write_text("5500000\n")
    assert meter.joules() == pytest.approx(2.0)
    assert meter.source == "RAPL"


def test_a_counter_that_began_anew_is_no_negative_energy(powercap):
    meter = Meter(CPU, powercap)
    (powercap / "intel-rapl:0" / "energy_uj").write_text("1000000\n")
    assert meter.joules() == pytest.approx(5.0)


def test_a_device_that_does_not_tell_has_no_energy(tmp_path):
    assert Meter(CPU, tmp_path).joules() is None


def test_a_resumed_run_goes_on_counting():
    work = Work(per_token=10.0, per_pair=1.0)
    first = Watch(CPU, work=work, peak=1e6)
    first.begin({})
    told = first.step([np.array([3, 2])])
    assert told["tokens"] == 5
    assert told["mfu"] > 0
    second = Watch(CPU, work=work, peak=1e6)
    second.begin({**first.cost, "joules": 7.0})
    second.step([np.array([4])])
    assert second.cost["tokens"] == 9
    assert second.cost["flops"] == (50 + 9 + 4) + (40 + 16)
    assert second.cost["seconds"] > first.cost["seconds"] - 1e-3


def test_energy_that_was_not_measured_for_a_part_is_not_known():
    watch = Watch(CPU)
    watch.begin({"joules": None})
    assert watch.cost["joules"] is None
