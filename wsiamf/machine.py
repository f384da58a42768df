"""What this process may use of the machine."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Processors that this process may run on, at least 1; fewer than the machine has where a scheduler says so."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
