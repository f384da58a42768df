"""Memory, cores and open files: what the machine has, and what of it this process may use."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Final

import psutil

from wsiamf.doctor.cgroups import core_quota, memory_left
from wsiamf.doctor.finding import FAIL, PASS, WARN, Verdict
from wsiamf.machine import usable_cores

GIB: Final = 1 << 30
LEAST_MEMORY: Final = 1.5 * GIB  # the first start with a model converts it, which took 1.1 GiB; later ones took 0.4
ENOUGH_MEMORY: Final = 3 * GIB
LEAST_FILES: Final = 256
ENOUGH_FILES: Final = 1024


def memory() -> Verdict:
    """Memory that is free, and what a control group leaves of it."""
    return judge_memory(int(psutil.virtual_memory().available), memory_left())


def judge_memory(free: int, left: int | None) -> Verdict:
    """The verdict on free bytes of the machine and bytes that a limit leaves (None: no limit)."""
    usable = free if left is None else min(free, left)
    limited = "" if left is None else f", a limit of the control group leaves {left / GIB:.1f} GiB"
    found = f"{free / GIB:.1f} GiB free{limited}"
    if usable < LEAST_MEMORY:
        return Verdict(FAIL, found, "free memory, or ask the scheduler for more")
    if usable < ENOUGH_MEMORY:
        return Verdict(WARN, found, "use one worker (--workers 1)")
    return Verdict(PASS, found)


def cores() -> Verdict:
    """Cores that the machine has, that this process may run on, and whose time it may use."""
    return judge_cores(os.cpu_count() or 1, usable_cores(), core_quota())


def judge_cores(seen: int, usable: int, quota: float | None) -> Verdict:
    """The verdict on cores seen, cores allowed, and the share of time allowed (None: all of it)."""
    found = f"{usable} of {seen} usable"
    if quota is not None and quota < usable:
        whole = max(1, int(quota))
        return Verdict(
            WARN,
            f"{found}, but a quota allows the time of {quota:g}",
            f"let --workers times --threads-per-worker be at most {whole}",
        )
    return Verdict(PASS, found)


def open_files() -> Verdict:
    """Files that a process may hold open."""
    try:
        resource = import_module("resource")
    except ImportError:  # Windows
        return Verdict(PASS, "this system sets no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    return judge_open_files(None if unlimited else soft, None if hard == resource.RLIM_INFINITY else hard)


def judge_open_files(soft: int | None, hard: int | None) -> Verdict:
    """The verdict on the limit in force and the one it may be raised to (None: none)."""
    if soft is None or soft >= ENOUGH_FILES:
        return Verdict(PASS, "no limit" if soft is None else f"{soft} at once")
    raised = 4096 if hard is None else min(4096, hard)
    remedy = f"ulimit -n {raised}" if raised > soft else "ask the administrator to raise it (ulimit -Hn)"
    return Verdict(FAIL if soft < LEAST_FILES else WARN, f"{soft} at once", remedy)
