"""Locks that other processes and hosts see: one owner at a time, and none that is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import wsiamf.cohort.locks as module
from tests.made_cohort import ROOT
from tests.run_processes import first_line, start_python, wait_until
from wsiamf.cohort.locks import Lock, LockHeldError, living_holder, read_owner, run_lock, slide_lock, wait_for_silent
from wsiamf.errors import CohortError, OutputError


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    return tmp_path / "out" / ".wsiamf-cohort" / "locks"


@contextmanager
def hold_elsewhere(path: Path, then: str) -> Iterator[subprocess.Popen[str]]:
    """A process that takes a lock, says so, and goes on with ``then``."""
    code = (
        "import os, sys, time; from pathlib import Path; from wsiamf.cohort.locks import Lock\n"
        f"lock = Lock(Path({str(path)!r}), 'slide'); print('held', flush=True)\n{then}"
    )
    with start_python("-c", code) as holder:
        assert first_line(holder) == "held\n"
        yield holder


def of_another_host(path: Path, age_s: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"host": "elsewhere", "pid": 1, "started": 1.0, "kind": "slide", "token": "t", "since": 1.0})
    )
    then = time.time() - age_s
    os.utime(path, (then, then))


class TestLock:
    def test_it_names_its_owner_and_goes_when_released(self, locks: Path) -> None:
        lock = Lock(locks / "a.slide", "slide")
        owner = read_owner(locks / "a.slide")
        assert owner is not None
        assert (owner.pid, owner.kind) == (os.getpid(), "slide")
        assert living_holder(locks / "a.slide") == owner
        with pytest.raises(LockHeldError, match=f"process {os.getpid()} on {owner.host}"):
            Lock(locks / "a.slide", "slide")
        lock.release()
        assert living_holder(locks / "a.slide") is None
        assert not (locks / "a.slide").exists()

    def test_a_killed_process_loses_it_at_once(self, locks: Path) -> None:
        path = locks / "a.slide"
        with hold_elsewhere(path, "time.sleep(600)") as holder:
            with pytest.raises(LockHeldError, match=f"process {holder.pid} "):
                Lock(path, "slide")
            holder.kill()
            # Not waited for yet: a zombie is gone, too.
            wait_until(lambda: psutil.Process(holder.pid).status() == psutil.STATUS_ZOMBIE)
            Lock(path, "slide").release()

    def test_a_number_used_again_is_another_process(self, locks: Path) -> None:
        lock = Lock(locks / "a.slide", "slide")
        values = json.loads((locks / "a.slide").read_text())
        (locks / "a.slide").write_text(json.dumps(values | {"started": values["started"] - 1, "token": "older"}))
        Lock(locks / "a.slide", "slide").release()
        lock.release()

    @pytest.mark.parametrize(("age_s", "held"), [(50.0, True), (70.0, False)])
    def test_another_host_is_judged_by_its_heartbeat(self, age_s: float, held: bool, locks: Path) -> None:
        of_another_host(locks / "a.slide", age_s)
        if held:
            with pytest.raises(LockHeldError, match="process 1 on elsewhere"):
                Lock(locks / "a.slide", "slide")
        else:
            Lock(locks / "a.slide", "slide").release()

    def test_a_torn_file_is_judged_by_its_age(self, locks: Path) -> None:
        of_another_host(locks / "a.slide", 0.0)
        (locks / "a.slide").write_text('{"host"')
        with pytest.raises(LockHeldError):
            Lock(locks / "a.slide", "slide")
        os.utime(locks / "a.slide", (0, 0))
        Lock(locks / "a.slide", "slide").release()

    def test_the_heart_beats(self, locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HEARTBEAT_S", 0.02)
        lock = Lock(locks / "a.slide", "slide")
        os.utime(locks / "a.slide", (0, 0))
        end = time.monotonic() + 10
        while (locks / "a.slide").stat().st_mtime == 0:
            assert time.monotonic() < end
            time.sleep(0.01)
        lock.release()

    def test_a_lock_taken_over_is_left_to_its_new_owner(self, locks: Path) -> None:
        first = Lock(locks / "a.slide", "slide")
        os.utime(locks / "a.slide", (0, 0))
        second = Lock(locks / "a.slide", "slide")
        first.release()
        assert (locks / "a.slide").exists()
        second.release()
        assert not (locks / "a.slide").exists()

    def test_of_many_takers_one_gets_a_stale_lock(self, locks: Path) -> None:
        path = locks / "a.slide"
        for _ in range(20):
            of_another_host(path, 100.0)
            barrier = threading.Barrier(8)

            def take(_number: int, barrier: threading.Barrier = barrier) -> Lock | None:
                barrier.wait()
                try:
                    return Lock(path, "slide")
                except LockHeldError:
                    return None

            with ThreadPoolExecutor(8) as takers:
                taken = [lock for lock in takers.map(take, range(8)) if lock is not None]
            assert len(taken) == 1
            taken[0].release()

    def test_processes_never_hold_it_together(self, locks: Path, tmp_path: Path) -> None:
        # Each adds one to a counter a hundred times, reading and writing it under the lock; some die holding it.
        counter = tmp_path / "counter"
        counter.write_text("0")
        code = (
            "import os, sys; from pathlib import Path; from wsiamf.cohort.locks import slide_lock\n"
            "counter = Path(sys.argv[1])\n"
            "for turn in range(20):\n"
            "    with slide_lock(Path(sys.argv[2]), 'a', wait_s=60):\n"
            "        value = int(counter.read_text()); counter.write_text(str(value + 1))\n"
            "        if turn == 19 and sys.argv[3] == 'dies': os.kill(os.getpid(), 9)\n"
        )
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, str(counter), str(locks)]
        processes = [subprocess.Popen([*command, how], env=environment) for how in ("dies", "lives", "lives")]
        assert [process.wait(60) for process in processes] == [-9, 0, 0]
        assert counter.read_text() == "60"

    def test_a_place_that_cannot_be_written_is_one_clear_error(self) -> None:
        with pytest.raises(OutputError, match=r"/proc/locks/a\.slide: cannot be written"):
            Lock(Path("/proc/locks/a.slide"), "slide")


class TestSlides:
    def test_it_waits_for_another_run(self, locks: Path) -> None:
        with hold_elsewhere(locks / "a.slide", "time.sleep(0.3); lock.release()"), slide_lock(locks, "a", wait_s=30):
            owner = read_owner(locks / "a.slide")
            assert owner is not None
            assert owner.pid == os.getpid()

    def test_it_gives_up(self, locks: Path) -> None:
        with (
            slide_lock(locks, "a", wait_s=0),
            pytest.raises(LockHeldError, match="a: is being worked on by another run"),
            slide_lock(locks, "a", wait_s=0.3),
        ):
            pass

    def test_it_is_released_by_an_error(self, locks: Path) -> None:
        with pytest.raises(KeyboardInterrupt), slide_lock(locks, "a", wait_s=0):
            raise KeyboardInterrupt
        assert list(locks.glob("*.slide")) == []


class TestRuns:
    @pytest.mark.parametrize(
        ("first", "second", "together"),
        [
            (None, None, False),
            (None, (1, 4), False),
            ((1, 4), None, False),
            ((1, 4), (1, 4), False),
            ((1, 4), (2, 4), True),
        ],
    )
    def test_which_runs_go_together(
        self, first: tuple[int, int] | None, second: tuple[int, int] | None, together: bool, locks: Path
    ) -> None:
        with run_lock(locks, shard=first):
            if together:
                with run_lock(locks, shard=second):
                    pass
            else:
                with pytest.raises(CohortError, match=f"another run works in this folder .*process {os.getpid()} on "):  # noqa: SIM117
                    with run_lock(locks, shard=second):
                        pass
            assert len(list(locks.glob("*.run"))) == 1
        assert list(locks.glob("*.run")) == []

    @pytest.mark.parametrize("lives", [False, True])
    def test_a_silent_run_of_another_host_is_waited_for(
        self, lives: bool, locks: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, said, waits = locks / "shard-2-of-8.run", list[str](), list[float]()
        of_another_host(path, 1.0)

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            assert len(waits) < 10, "it waits for ever"
            if len(waits) == 2 and lives:
                path.touch()
            elif len(waits) == 2:
                monkeypatch.setattr(module, "STALE_S", 0.0)

        monkeypatch.setattr("wsiamf.cohort.locks.time.sleep", sleep)
        wait_for_silent(locks, said.append)
        assert [line.split(":")[0] for line in said] == ["shard-2-of-8.run"]
        assert len(waits) == 2
        assert (living_holder(path) is not None) == lives

    def test_a_run_of_this_host_is_not_waited_for(self, locks: Path) -> None:
        with run_lock(locks, shard=(1, 2)):
            wait_for_silent(locks, lambda _line: pytest.fail("it is known to live"))

    def test_a_killed_run_is_in_nobodys_way(self, locks: Path) -> None:
        with hold_elsewhere(locks / "shard-1-of-2.run", "os.kill(os.getpid(), 9)"):
            pass
        with run_lock(locks), pytest.raises(CohortError), run_lock(locks, shard=(1, 2)):
            pass
