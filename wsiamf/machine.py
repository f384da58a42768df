"""What this process may use of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

_GPU_DRIVERS: Final = (
    *("/dev/nvidiactl", "/proc/driver/nvidia", "/sys/module/nvidia", "/dev/nvhost-ctrl-gpu"),  # NVIDIA; Jetson's
    "/dev/kfd",  # AMD
    "/dev/dxg",  # Windows' subsystem
)
"""What the Linux drivers of GPUs put there; the first of them only once a GPU was used."""


def usable_cores() -> int:
    """Processors that this process may run on, at least 1; fewer than the machine has where a scheduler says so."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def may_have_gpu() -> bool:
    """Whether torch is worth asking for a GPU, which takes seconds to load; False where Linux shows no driver of one."""
    return sys.platform != "linux" or any(Path(driver).exists() for driver in _GPU_DRIVERS)
