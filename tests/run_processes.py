"""Processes of a cohort's run, as tests find, start and wait for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.made_cohort import ROOT, hooked_path


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.02)


def children_of(out: Path) -> list[psutil.Process]:
    """Child processes that work for ``out``, by their log."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                "wsiamf.cohort.child" in process.cmdline()
                and Path(f"/proc/{process.pid}/fd/2").readlink().is_relative_to(out)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def start_runner(folder: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return _start("tests.cohort_runner", str(folder), *arguments, **options)


def start_command(*arguments: str) -> subprocess.Popen[str]:
    """``wsiamf`` as a user calls it."""
    return _start("wsiamf", *arguments)


def _start(module: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": hooked_path()},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
