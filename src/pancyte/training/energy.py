"""How much energy a run took, where the device tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

POWERCAP = Path("/sys/class/powercap")


class Meter:
    """Reads energy counters: NVML's for a GPU, RAPL's for a CPU on Linux.

    RAPL counts a whole processor package, whoever uses it; NVML the whole GPU. So the figure is an
    upper bound where others work beside the run. GPUs need the package ``nvidia-ml-py``; RAPL needs
    read access to ``/sys/class/powercap``.

    Parameters
    ----------
    device
        Where the run computes.
    powercap
        Where the system keeps RAPL's counters.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP) -> None:
        self._gpu = _gpu_counter(device) if device.type == "cuda" else None
        packages = sorted(powercap.glob("intel-rapl:?")) if device.type == "cpu" else []
        self._packages = [zone for zone in packages if _number(zone / "energy_uj") is not None]
        self.source = "NVML" if self._gpu else "RAPL" if self._packages else ""
        self._last = self._read()
        self._joules = 0.0

    def joules(self) -> float | None:
        """Return the energy since the meter was made, or None if the device does not tell."""
        if not self.source:
            return None
        now = self._read()
        for place, (before, after) in enumerate(zip(self._last, now, strict=True)):
            self._joules += (after - before if after >= before else self._wrapped(place, after)) / (
                1e3 if self._gpu else 1e6
            )
        self._last = now
        return self._joules

    def _wrapped(self, place: int, after: float) -> float:
        """Return what a counter went through that began anew at its upper end."""
        if self._gpu:
            return after
        end = _number(self._packages[place] / "max_energy_range_uj") or 0.0
        return end - self._last[place] + after

    def _read(self) -> list[float]:
        if self._gpu:
            return [float(self._gpu())]
        return [_number(zone / "energy_uj") or 0.0 for zone in self._packages]


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _gpu_counter(device: torch.device) -> Any:
    """Return a function that reads a GPU's energy in millijoules, or None."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except (pynvml.NVMLError, RuntimeError):
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
