"""A scheduler and workers of their own, over TCP, as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.made_cohort import hooked_path

DASK = str(Path(sys.executable).with_name("dask"))


class DaskProcesses:
    """One scheduler and its workers, each of one thread; each can be killed alone.

    Args:
        folder: For their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.scheduler_file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start_scheduler()

    def start_scheduler(self) -> None:
        """A new one, after the old one's end."""
        self.scheduler_file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"
        )
        end = time.monotonic() + 120
        while not self.scheduler_file.is_file():
            assert time.monotonic() < end
            assert self.scheduler.poll() is None
            time.sleep(0.02)

    @property
    def address(self) -> str:
        """``tcp://...``."""
        return str(json.loads(self.scheduler_file.read_text())["address"])

    def add_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """One more worker."""
        worker = self._start(
            *("worker", "--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"),
            *("--host", "127.0.0.1", "--local-directory", str(self._folder), "--death-timeout", "20"),
            *options,
        )
        self.workers.append(worker)
        return worker

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill one worker with all that it started, and forget it: its number may be another's by the end."""
        self.workers.remove(worker)
        kill_group(worker)

    def close(self) -> None:
        """End them all."""
        for process in (*self.workers, self.scheduler):
            kill_group(process)

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        log = (self._folder / "dask.log").open("ab")
        with log:
            return subprocess.Popen(
                [DASK, kind, "--scheduler-file", str(self.scheduler_file), *options],
                env=os.environ | {"PYTHONPATH": hooked_path()},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


@contextmanager
def dask_processes(folder: Path, n_workers: int) -> Iterator[DaskProcesses]:
    """A scheduler and ``n_workers`` workers."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = DaskProcesses(folder)
    try:
        for _ in range(n_workers):
            processes.add_worker()
        yield processes
    finally:
        processes.close()
