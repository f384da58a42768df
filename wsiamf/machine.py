"""What this process may use of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

_GPU_DRIVERS: Final = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What the Linux drivers of NVIDIA, of AMD and of Windows' subsystem put there."""


def usable_cores() -> int:
    """Processors that this process may run on, at least 1; fewer than the machine has where a scheduler says so."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def may_have_gpu() -> bool:
    """Whether torch is worth asking for a GPU, which takes seconds to load; False only where no driver is installed."""
    return sys.platform != "linux" or any(Path(driver).exists() for driver in _GPU_DRIVERS)
