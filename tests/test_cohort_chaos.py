"""Processes are killed at random moments, the run is called again, and in the end its results are those of an undisturbed run.

What is ``local`` happens to ``wsiamf cohort`` as a user calls it, and so does the last run, whose tables are compared too; the
other faults happen to a runner that takes the same slides. The moments follow from a seed, what is at work at them does not;
so each round also checks what must hold at any moment.
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
from typing import Any

import psutil
import pytest

from tests.cohort_runner import write_run
from tests.dask_processes import DaskProcesses, dask_processes, kill_group
from tests.made_cohort import hooked_path, make_items, make_orders, results, untimed, write_manifest
from tests.run_processes import children_of, start_command, start_runner, wait_until
from tests.tiny_model import tiny_bundle
from wsiamf.cli.main import run
from wsiamf.cohort.items import Item
from wsiamf.cohort.locks import living_holder
from wsiamf.cohort.running import Orders

SLOW = [f"slow{number}" for number in range(5)]
SHORT = ["worker", "child", "client", "worker process", "scheduler", "local client"]
LONG = [*SHORT, "full disk", "local worker process", "local child", "worker", "child"] * 3
PAUSE_S = 2.5
ROUND_S = 600  # ends what hangs, and nothing else


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", hooked_path())


class Chaos:
    """A cohort that is run again and again while things are killed.

    Args:
        folder: For everything.
        items: The cohort.
        orders: Of its runs.
        expected: ``untimed`` of an undisturbed run.
        seed: Of the moments and victims.
    """

    def __init__(self, folder: Path, items: list[Item], orders: Orders, expected: dict[str, Any], seed: int) -> None:
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
            if waiting[0] == "full disk":
                self._run_on_a_full_disk()
                self.struck.append(waiting.pop(0))
            elif waiting[0].startswith("local"):
                self._strike_command(waiting)
            else:
                self._strike_runner(waiting, processes)
            self.check_what_stands()

    def finish(self, processes: DaskProcesses) -> None:
        """Run once undisturbed; then all is as it should be."""
        self._mend(processes)
        with start_command(*arguments(self.orders), "--scheduler-file", str(processes.scheduler_file)) as command:
            _, errors = command.communicate(timeout=ROUND_S)
        assert command.returncode == 1, errors  # some slides cannot be done
        assert "Traceback" not in errors
        assert untimed(self._out) == self._expected
        assert [path.name for path in self._out.glob(".wsiamf-*")] == [".wsiamf-cohort"]
        assert list(self.orders.places.locks.glob("*.slide")) == []
        assert children_of(self._out) == []

    def check_what_stands(self) -> None:
        """A folder that stands is whole and right, whatever was killed, once those who outlived their client have ended."""
        wait_until(lambda: not any(map(living_holder, self.orders.places.locks.glob("*.slide"))), ROUND_S)
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

    def _strike_runner(self, waiting: list[str], processes: DaskProcesses) -> None:
        self._mend(processes)
        with start_runner(self._folder, str(processes.scheduler_file)) as runner:
            for _ in runner.stdout or ():
                if not waiting or waiting[0].startswith(("local", "full")):
                    break
                if not self._wait_and_strike(waiting, runner, processes):
                    break
            runner.communicate(timeout=ROUND_S)

    def _strike_command(self, waiting: list[str]) -> None:
        said = self._folder / "stderr.txt"
        with (
            said.open("w") as stderr,
            start_command(*arguments(self.orders), "--workers", "2", stderr=stderr) as command,
        ):
            wait_until(lambda: "slides to screen" in said.read_text() or command.poll() is not None, ROUND_S)
            while waiting and waiting[0].startswith("local") and self._wait_and_strike(waiting, command, None):
                pass
            command.communicate(timeout=ROUND_S)
        assert "Traceback" not in said.read_text()

    def _wait_and_strike(
        self, waiting: list[str], runner: subprocess.Popen[str], processes: DaskProcesses | None
    ) -> bool:
        """Strike once at some moment; False where the run ended before."""
        try:
            runner.wait(self._random.uniform(0, PAUSE_S))
        except subprocess.TimeoutExpired:
            if self._strike(waiting[0], runner, processes):
                self.struck.append(waiting.pop(0))
            return True
        return False

    def _strike(self, kind: str, runner: subprocess.Popen[str], processes: DaskProcesses | None) -> bool:
        """Kill something; False where there is nothing of the kind just now."""
        if "client" in kind:
            runner.kill()
            return True
        if kind == "scheduler" and processes is not None:
            kill_group(processes.scheduler)
            return True
        if kind == "worker" and processes is not None:
            processes.kill_worker(self._random.choice(processes.workers))
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
            for worker in tuple(processes.workers):
                processes.kill_worker(worker)
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


def arguments(orders: Orders) -> list[str]:
    """Of ``wsiamf cohort``: what the orders are."""
    out, child = orders.places.out, orders.child
    limit = [] if orders.time_limit_s is None else ["--timeout", str(orders.time_limit_s)]
    model = ["--model", str(child.model), "--device", child.device, "--threads-per-worker", str(child.threads)]
    return ["cohort", str(out.parent / "manifest.csv"), "--out", str(out), *model, *limit]


def undisturbed(orders: Orders) -> dict[str, Any]:
    """What one process gives."""
    assert run([*arguments(orders), "--workers", "0"]) == 1
    return untimed(orders.places.out)


def test_a_few_faults(tmp_path: Path, model: Path, processes: DaskProcesses) -> None:
    items = make_items(tmp_path / "slides", [*SLOW, "abort", "a"])
    write_manifest(tmp_path / "manifest.csv", items)
    expected = undisturbed(make_orders(tmp_path / "plain", model))
    chaos = Chaos(tmp_path, items, make_orders(tmp_path / "out", model), expected, seed=1)
    chaos.strike_all(SHORT, processes)
    chaos.finish(processes)
    assert chaos.struck == SHORT


@pytest.mark.long
def test_many_faults(tmp_path: Path, model: Path, processes: DaskProcesses) -> None:
    items = make_items(tmp_path / "slides", [*SLOW, "hang", "abort", "exit", "bug", *"abcdefgh"])
    limits = {"time_limit_s": 6.0}
    write_manifest(tmp_path / "manifest.csv", items)
    expected = undisturbed(make_orders(tmp_path / "plain", model, **limits))
    chaos = Chaos(tmp_path, items, make_orders(tmp_path / "out", model, **limits), expected, seed=2)
    chaos.strike_all(LONG, processes)
    chaos.finish(processes)
    assert chaos.struck == LONG
    assert len(chaos.struck) >= 30
