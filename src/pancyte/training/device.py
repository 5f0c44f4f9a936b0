"""What the device can do: its name, its fastest matrix product, its free memory."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import torch

SIDE = {"cpu": 512, "mps": 2048, "cuda": 8192}
"""Side of the square matrices whose product is timed."""
REPEATS = 12


def peak(device: torch.device) -> float:
    """Measure the device's rate in floating-point operations a second, the best of a dozen.

    A square matrix product in the precision that training uses: bf16 of 8192³ on CUDA, fp32 of
    512³ on a CPU, short enough that other programs rarely interrupt it. What a network reaches of
    it is the model FLOPs utilisation (MFU).
    """
    side = SIDE.get(device.type, SIDE["cpu"])
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    one = torch.ones(side, side, device=device, dtype=kind)
    best = float("inf")
    for _ in range(REPEATS + 1):
        began = clock(device)
        torch.mm(one, one)
        best = min(best, clock(device) - began)
    return 2.0 * side**3 / best


def clock(device: torch.device) -> float:
    """Return the time in seconds once the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def name(device: torch.device) -> str:
    """Return what the device is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    told = Path("/proc/cpuinfo")
    for line in told.read_text(encoding="utf-8").splitlines() if told.exists() else ():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, threads: {torch.get_num_threads()}"
    return platform.processor() or platform.machine()


def free_memory(device: torch.device) -> float:
    """Return the bytes that this process could still take on the device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free)
    told = Path("/proc/meminfo")
    for line in told.read_text(encoding="utf-8").splitlines() if told.exists() else ():
        if line.startswith("MemAvailable"):
            return float(line.split()[1]) * 1024
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
