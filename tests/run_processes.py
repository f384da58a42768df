"""Processes of a cohort's run, as tests find, start and wait for them."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.dask_processes import kill_group
from tests.made_cohort import ROOT, hooked_path


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> None:
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


@contextmanager
def killed_on_error(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """``with process``, which waits for its end, without waiting for ever where a test fails; it leads a session."""
    with process:
        try:
            yield process
        except BaseException:
            kill_group(process)
            raise


def first_line(process: subprocess.Popen[str], seconds: float = 300.0) -> str:
    """What a process says first on its stdout."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], seconds)[0], "it says nothing"
    return process.stdout.readline()


def start_runner(folder: Path, *arguments: str, **options: Any) -> AbstractContextManager[subprocess.Popen[str]]:
    return start_python("-m", "tests.cohort_runner", folder, *arguments, **options)


def start_command(*arguments: object, **options: Any) -> AbstractContextManager[subprocess.Popen[str]]:
    """``wsiamf`` as a user calls it."""
    return start_python("-m", "wsiamf", *arguments, **options)


def start_python(*arguments: object, **options: Any) -> AbstractContextManager[subprocess.Popen[str]]:
    """Python with these arguments, and options of ``Popen``; both of its outputs are pipes unless these say otherwise."""
    defaults: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": os.environ | {"PYTHONPATH": hooked_path()},
    }
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, text=True, start_new_session=True, **(defaults | options)
    )
    return killed_on_error(process)


def is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
