"""Processes are killed at random moments, the run is called again, and in the end its results are those of an undisturbed run.

The moments follow from a seed, what is at work at them does not; so each round also checks what must hold at any moment.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cohort_runner import write_run
from tests.dask_processes import DaskProcesses, dask_processes, kill_group
from tests.made_cohort import hooked_path, make_items, make_orders, results
from tests.run_processes import children_of, start_runner
from tests.tiny_model import tiny_bundle
from wsiamf.cohort.children import ChildPool
from wsiamf.cohort.engine import run_serial
from wsiamf.cohort.items import Item
from wsiamf.cohort.running import Orders

SLOW = [f"slow{number}" for number in range(5)]
SHORT = ["worker", "child", "client", "worker process", "scheduler"]
LONG = [*SHORT, "full disk", "local client", "local worker process", "local child", "worker", "child"] * 3
PAUSE_S = 2.5
ROUND_S = 120


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", hooked_path())


class Chaos:
    """A cohort that is run again and again while things are killed.

    Args:
        folder: For everything.
        items: The cohort.
        orders: Of its runs.
        expected: ``results`` of an undisturbed run.
        seed: Of the moments and victims.
    """

    def __init__(self, folder: Path, items: list[Item], orders: Orders, expected: dict[str, str], seed: int) -> None:
        self._folder = folder
        self._items = items
        self.orders = orders
        self._out = orders.places.out
        self._expected = expected
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self.struck: list[str] = []
        write_run(folder, items, orders)

    def strike_all(self, faults: list[str], processes: DaskProcesses) -> None:
        """Inject all faults, in runs as they are needed."""
        waiting = list(faults)
        while waiting:
            self._make_due()
            local = waiting[0].startswith(("local", "full"))
            if waiting[0] == "full disk":
                self._run_on_a_full_disk()
                self.struck.append(waiting.pop(0))
            else:
                self._run_struck(waiting, None if local else processes)
            self.check_what_stands()

    def finish(self, processes: DaskProcesses) -> None:
        """Run once undisturbed; then all is as it should be."""
        self._mend(processes)
        with start_runner(self._folder, str(processes.scheduler_file)) as runner:
            _, errors = runner.communicate(timeout=ROUND_S)
        assert set(errors.splitlines()) <= {"the cluster has no worker; waiting for one"}
        assert results(self._out) == self._expected
        assert [path.name for path in self._out.glob(".wsiamf-*")] == [".wsiamf-cohort"]
        assert list(self.orders.places.locks.glob("*.slide")) == []
        assert children_of(self._out) == []

    def check_what_stands(self) -> None:
        """A folder that stands is whole and right, whatever was killed."""
        found = results(self._out)
        for item in self._items:
            prefix = f"{item.slide_id}/"
            own = {name: digest for name, digest in found.items() if name.startswith(prefix)}
            if own or self.orders.places.folder(item.slide_id).exists():
                assert own == {name: value for name, value in self._expected.items() if name.startswith(prefix)}

    def _make_due(self) -> None:
        """Take results away where little is left to do, so that faults meet slides at work."""
        done = [item.slide_id for item in self._items if self.orders.places.record(item.slide_id).is_file()]
        if len(self._items) - len(done) < len(self._items) // 2:
            for slide_id in self._random.sample(sorted(done), len(done) * 2 // 3):
                shutil.rmtree(self.orders.places.folder(slide_id))

    def _run_struck(self, waiting: list[str], processes: DaskProcesses | None) -> None:
        arguments = []
        if processes is not None:
            self._mend(processes)
            arguments = [str(processes.scheduler_file)]
        with start_runner(self._folder, *arguments) as runner:
            for _ in runner.stdout or ():
                if not waiting or waiting[0].startswith(("local", "full")) != (processes is None):
                    break
                try:
                    runner.wait(self._random.uniform(0, PAUSE_S))
                    break
                except subprocess.TimeoutExpired:
                    if self._strike(waiting[0], runner, processes):
                        self.struck.append(waiting.pop(0))
            runner.communicate(timeout=ROUND_S)

    def _strike(self, kind: str, runner: subprocess.Popen[str], processes: DaskProcesses | None) -> bool:
        """Kill something; False where there is nothing of the kind just now."""
        if "client" in kind:
            runner.kill()
            return True
        if kind == "scheduler" and processes is not None:
            kill_group(processes.scheduler)
            return True
        if kind == "worker" and processes is not None:
            kill_group(processes.workers.pop(self._random.randrange(len(processes.workers))))
            processes.add_worker()
            return True
        if "child" in kind:
            return self._kill_one(children_of(self._out))
        nannies = [psutil.Process(runner.pid)] if processes is None else map(_as_psutil, processes.workers)
        found = [process for nanny in nannies for process in nanny.children(recursive=True)]
        return self._kill_one([process for process in found if "spawn_main" in " ".join(process.cmdline())])

    def _kill_one(self, processes: list[psutil.Process]) -> bool:
        if not processes:
            return False
        os.kill(self._random.choice(processes).pid, signal.SIGKILL)
        return True

    def _mend(self, processes: DaskProcesses) -> None:
        """What a user does after a crash: start again what is gone."""
        if processes.scheduler.poll() is not None:
            for worker in processes.workers:
                kill_group(worker)
            processes.workers.clear()
            processes.start_scheduler()
        while len(processes.workers) < 2:
            processes.add_worker()

    def _run_on_a_full_disk(self) -> None:
        """No file may grow beyond a few kB: as a full disk, but for this run alone."""
        with start_runner(self._folder, preexec_fn=_limit_files) as runner:
            said, _ = runner.communicate(timeout=ROUND_S)
        assert runner.returncode == 1
        assert "File too large" in said


def _as_psutil(process: subprocess.Popen[bytes]) -> psutil.Process:
    return psutil.Process(process.pid)


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "model").folder


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[DaskProcesses]:
    with dask_processes(tmp_path / "dask", 2) as processes:
        yield processes


def undisturbed(items: list[Item], orders: Orders) -> dict[str, str]:
    """What one process gives."""
    run_serial(items, orders, lambda _event: None, pool=ChildPool())
    return results(orders.places.out)


def test_a_few_faults(tmp_path: Path, model: Path, processes: DaskProcesses) -> None:
    items = make_items(tmp_path / "slides", [*SLOW, "abort", "a"])
    expected = undisturbed(items, make_orders(tmp_path / "plain", model))
    chaos = Chaos(tmp_path, items, make_orders(tmp_path / "out", model), expected, seed=1)
    chaos.strike_all(SHORT, processes)
    chaos.finish(processes)
    assert chaos.struck == SHORT


@pytest.mark.long
def test_many_faults(tmp_path: Path, model: Path, processes: DaskProcesses) -> None:
    items = make_items(tmp_path / "slides", [*SLOW, "hang", "abort", "exit", "bug", *"abcdefgh"])
    limits = {"time_limit_s": 6.0}
    expected = undisturbed(items, make_orders(tmp_path / "plain", model, **limits))
    chaos = Chaos(tmp_path, items, make_orders(tmp_path / "out", model, **limits), expected, seed=2)
    chaos.strike_all(LONG, processes)
    chaos.finish(processes)
    assert chaos.struck == LONG
    assert len(chaos.struck) >= 30
