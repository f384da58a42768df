"""What this process may use of the machine."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final

_GPU_DRIVERS: Final = (
    *("/dev/nvidiactl", "/proc/driver/nvidia", "/sys/module/nvidia", "/dev/nvhost-ctrl-gpu"),  # NVIDIA; Jetson's
    "/dev/kfd",  # AMD
    "/dev/dxg",  # Windows' subsystem
)
"""What the Linux drivers of GPUs put there; the first of them only once a GPU was used."""

ARROW_MEMORY: Final = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""For the environment of our processes: Arrow's own memory pool keeps 0.2 GiB more in a screening of a million candidates."""

_DEVICES: Final = Path("/dev")
_limits: Final[list[int]] = []
"""What ``limit_cores`` was told, the last one counts."""


def usable_cores() -> int:
    """Processors that this process may run on, at least 1; fewer than the machine has where a scheduler or a limit says so."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(present, core_limit() or present))


def limit_cores(n: int) -> None:
    """Make this process use at most ``n`` cores, for several that share a machine."""
    assert n > 0
    _limits[:] = [n]


def core_limit() -> int | None:
    """What this process was limited to; None for no limit."""
    return _limits[-1] if _limits else None


def gpu_names() -> list[str]:
    """The NVIDIA GPUs that a process started here may use, as ``CUDA_VISIBLE_DEVICES`` names them; found without CUDA."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    present = [path.name for path in _DEVICES.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    return [str(number) for number in range(len(present))]  # CUDA counts what it sees from 0


def may_have_gpu() -> bool:
    """Whether torch is worth asking for a GPU, which takes seconds to load; False where Linux shows no driver of one."""
    return sys.platform != "linux" or any(Path(driver).exists() for driver in _GPU_DRIVERS)
