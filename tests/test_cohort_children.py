"""Child processes: what they answer, how they end, and that they never outlive their parent."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.made_cohort import hooked_path, make_items, make_orders, results
from tests.run_processes import first_line, is_running, start_python, wait_until
from tests.tiny_model import tiny_bundle
from wsiamf.cohort.child_process import (
    ChildCrashedError,
    ChildStoppedError,
    ChildTimedOutError,
    ModelFailedError,
    Request,
    SlideFailedError,
)
from wsiamf.cohort.children import ChildPool
from wsiamf.cohort.items import Classes, Item
from wsiamf.cohort.locks import Lock, slide_lock
from wsiamf.cohort.running import Orders, check_classes, screen_item, sweep
from wsiamf.errors import CohortError, OutputError

NAMES = ["good", "other", "noisy", "bug", "abort", "exit", "flaky", "hang"]


def nothing(_done: int, _total: int) -> None:
    """No progress to show."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("tiny")).folder


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Item]:
    return {item.slide_id: item for item in make_items(tmp_path_factory.mktemp("slides"), NAMES)}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildPool]:
    """Shared by the module, so that the children stay warm."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = hooked_path()
    pool = ChildPool()
    yield pool
    pool.close()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def orders(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Orders:
    return make_orders(tmp_path_factory.mktemp("out"), model)


def request(item: Item, orders: Orders) -> Request:
    return Request(item, orders.options, None, orders.places.record(item.slide_id).exists())


def failure(orders: Orders, slide_id: str) -> dict[str, object]:
    values: dict[str, object] = json.loads(orders.places.failure(slide_id).read_text())
    return values


class TestOneSlide:
    def test_a_child_stays_warm(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        seen = []
        assert screen_item(items["good"], orders, pool=pool, on_progress=lambda *n: seen.append(n)).status == "done"
        first = [child.pid for child in pool.children()]
        outcome = screen_item(items["other"], orders, pool=pool)
        assert (outcome.status, outcome.attempts, outcome.n_crops) == ("done", 1, 3)
        assert [child.pid for child in pool.children()] == first
        assert seen[-1] == (3, 3)
        assert orders.places.record("good").is_file()
        assert list(orders.places.locks.glob("*.slide")) == []

    def test_a_second_time_replaces_with_the_same_bytes(
        self, pool: ChildPool, items: dict[str, Item], orders: Orders
    ) -> None:
        screen_item(items["good"], orders, pool=pool)
        before = results(orders.places.out / "good")
        assert screen_item(items["good"], orders, pool=pool).status == "done"
        assert results(orders.places.out / "good") == before

    def test_what_another_run_did_since_the_slide_was_planned_stands(
        self, pool: ChildPool, items: dict[str, Item], orders: Orders
    ) -> None:
        screen_item(items["good"], orders, pool=pool)
        record = orders.places.record("good")
        written = record.stat().st_mtime
        with pool.lend(orders.child) as child:
            classes = child.classes()
        planned = replace(orders, classes=classes, since=written - 1)
        assert screen_item(items["good"], planned, pool=pool).attempts == 0
        other = replace(classes, precision="bf16")
        assert screen_item(items["good"], replace(planned, classes=other, mixed=True), pool=pool).attempts == 0
        assert record.stat().st_mtime == written
        gone = screen_item(items["good"], replace(planned, error_rates=str(orders.places.out / "gone.json")), pool=pool)
        assert (gone.status, gone.kind, "gone.json" in str(gone.reason)) == ("failed", "error", True)
        for again in (
            replace(planned, since=written + 1),
            replace(planned, options=orders.options | {"merge_um": 3.0}),
        ):
            assert screen_item(items["good"], again, pool=pool).attempts == 1

    def test_mixed_children_share_the_model(self, orders: Orders) -> None:
        ours = Classes("openvino", "f32", "cpu", "a" * 64)
        mixed = replace(orders, classes=ours, mixed=True)
        check_classes(Classes("torch", "bf16", "cuda", "a" * 64), mixed)
        with pytest.raises(CohortError, match=r"model_sha256 bbb.* in place of aaa.*same bundle"):
            check_classes(replace(ours, model_sha256="b" * 64), mixed)
        with pytest.raises(CohortError, match="backend torch in place of openvino; use workers of one kind"):
            check_classes(replace(ours, backend="torch"), replace(mixed, mixed=False))

    def test_prints_do_not_break_the_protocol(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        with pool.lend(orders.child) as child:
            child.screen(request(items["noisy"], orders), limit_s=None, on_progress=nothing)
            log = next(orders.places.logs.glob(f"child-*-{child.pid}.log")).read_text()
        assert log.count("stray\n") == 2

    def test_an_error_is_not_tried_again(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        gone = replace(items["good"], slide_id="gone", slide=Path("/nowhere/gone.tiff"))
        outcome = screen_item(gone, replace(orders, retries=3), pool=pool)
        assert (outcome.status, outcome.kind, outcome.attempts) == ("failed", "error", 1)
        assert outcome.reason is not None
        assert "gone.tiff" in outcome.reason
        assert failure(orders, "gone") == {
            "schema": "wsiamf.cohort-failure/1",
            "slide_id": "gone",
            "kind": "error",
            "reason": outcome.reason,
            "attempts": 1,
        }

    def test_what_nobody_foresaw_is_a_line_and_a_traceback(
        self, pool: ChildPool, items: dict[str, Item], orders: Orders
    ) -> None:
        with pool.lend(orders.child) as child:
            pid = child.pid
            with pytest.raises(SlideFailedError, match=r"^KeyError: 'nobody\\nforesaw'$"):
                child.screen(request(items["bug"], orders), limit_s=None, on_progress=nothing)
            child.screen(request(items["good"], orders), limit_s=None, on_progress=nothing)
        assert "Traceback" in next(orders.places.logs.glob(f"child-*-{pid}.log")).read_text()

    def test_a_crash_twice_sets_the_slide_aside(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        outcome = screen_item(items["abort"], replace(orders, retries=5), pool=pool)
        assert (outcome.status, outcome.kind, outcome.attempts) == ("failed", "crash", 2)
        assert outcome.reason == "its process was killed (SIGABRT): pixman: the sky fell"
        assert failure(orders, "abort")["attempts"] == 2

    def test_a_crash_once_is_tried_again(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        outcome = screen_item(items["flaky"], orders, pool=pool)
        assert (outcome.status, outcome.attempts) == ("done", 2)
        assert not orders.places.failure("flaky").exists()

    def test_an_exit_names_its_code(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        outcome = screen_item(items["exit"], replace(orders, retries=0), pool=pool)
        assert (outcome.kind, outcome.attempts) == ("crash", 1)
        assert outcome.reason == "its process ended by itself with exit code 3"

    def test_a_hanging_slide_is_ended(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        outcome = screen_item(items["hang"], replace(orders, retries=0, time_limit_s=0.5), pool=pool)
        assert (outcome.kind, outcome.attempts) == ("timeout", 1)
        assert outcome.reason == "took longer than the time limit of 0.5 s; its process was ended"
        assert pool.children() == []

    def test_leftovers_and_an_old_failure_go(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        out = orders.places.out
        for name in (".wsiamf-good-abcd_123", ".wsiamf-good-2-abcd_123", ".wsiamf-other-abcd_123"):
            (out / name).mkdir()
        orders.places.failures.mkdir(parents=True, exist_ok=True)
        orders.places.failure("good").write_text("{}")
        assert screen_item(items["good"], orders, pool=pool).status == "done"
        assert not orders.places.failure("good").exists()
        left = sorted(path.name for path in out.glob(".wsiamf-*-????????"))
        assert left == [".wsiamf-good-2-abcd_123", ".wsiamf-other-abcd_123"]
        for name in left:
            (out / name).rmdir()

    def test_a_sweep_removes_what_nobody_works_on(
        self, pool: ChildPool, items: dict[str, Item], orders: Orders, tmp_path: Path
    ) -> None:
        own = replace(orders, child=replace(orders.child, out=str(tmp_path)))
        places = own.places
        places.locks.mkdir(parents=True)
        for name in (".wsiamf-good-abcd_123", ".wsiamf-other-abcd_123", ".wsiamf-strange-abcd_123"):
            (tmp_path / name).mkdir()
        dead = {
            "host": socket.gethostname(),
            "pid": 2**22 + 1,
            "started": 1.0,
            "kind": "slide",
            "token": "t",
            "since": 1.0,
        }
        (places.locks / "bug.slide").write_text(json.dumps(dead))
        with slide_lock(places.locks, "other", wait_s=0):
            sweep(places, ["good", "other", "bug", "none"])
            assert [path.name for path in places.locks.glob("*.slide")] == ["other.slide"]
        assert {path.name for path in tmp_path.glob(".wsiamf-*-????????")} == {
            ".wsiamf-other-abcd_123",
            ".wsiamf-strange-abcd_123",
        }

    def test_a_slide_that_another_run_works_on(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        lock = Lock(orders.places.locks / "good.slide", "slide")
        try:
            outcome = screen_item(items["good"], replace(orders, lock_wait_s=0.3), pool=pool)
        finally:
            lock.release()
        assert (outcome.status, outcome.kind) == ("failed", "error")
        assert outcome.reason is not None
        assert f"process {os.getpid()} on " in outcome.reason
        assert screen_item(items["good"], orders, pool=pool).status == "done"

    def test_an_unwritable_folder_is_an_outcome(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        with pytest.raises(OutputError, match="/proc/wsiamf"), pool.lend(replace(orders.child, out="/proc/wsiamf")):
            pass
        nowhere = replace(orders, child=replace(orders.child, out="/proc/wsiamf"))
        outcome = screen_item(items["good"], nowhere, pool=pool)
        assert (outcome.status, outcome.kind) == ("failed", "error")


class TestModels:
    def test_a_model_that_is_not_there_ends_the_run(
        self, pool: ChildPool, items: dict[str, Item], orders: Orders
    ) -> None:
        child = replace(orders.child, model="/nowhere/model")
        with pool.lend(child) as lent, pytest.raises(ModelFailedError, match="/nowhere/model"):
            lent.classes()
        with pytest.raises(CohortError, match="/nowhere/model"):
            screen_item(items["good"], replace(orders, child=child), pool=pool)
        assert not orders.places.failure("good").exists()

    def test_a_child_of_another_kind_ends_the_run(
        self, pool: ChildPool, items: dict[str, Item], orders: Orders
    ) -> None:
        with pool.lend(orders.child) as child:
            classes = child.classes()
        other = replace(orders, classes=replace(classes, backend="torch", device_class="cuda"))
        with pytest.raises(CohortError, match="backend openvino in place of torch, device_class cpu in place of cuda"):
            screen_item(items["good"], other, pool=pool)

    def test_threads_and_gpu_are_set_by_us(
        self, pool: ChildPool, orders: Orders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
        monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
        with pool.lend(replace(orders.child, threads=3, cuda_visible="1")) as child:
            child.classes()
            environment = psutil.Process(child.pid).environ()
        assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "3"
        assert environment["CUDA_VISIBLE_DEVICES"] == "1"
        assert environment["ARROW_DEFAULT_MEMORY_POOL"] == "system"
        assert "MALLOC_TRIM_THRESHOLD_" not in environment


class TestEnds:
    def test_a_stopped_run_ends_a_busy_child(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        stopped = replace(orders, child=replace(orders.child, run="to be stopped"))
        told: list[BaseException] = []

        def work() -> None:
            try:
                screen_item(items["hang"], stopped, pool=pool)
            except ChildStoppedError as error:
                told.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: any(child.settings.run == "to be stopped" for child in pool.children()))
        pool.stop("to be stopped")
        thread.join(20)
        assert len(told) == 1
        assert all(child.settings.run != "to be stopped" for child in pool.children())
        assert list(orders.places.locks.glob("hang*")) == []
        assert not orders.places.failure("hang").exists() or failure(orders, "hang")["kind"] == "timeout"
        with pytest.raises(ChildStoppedError):
            screen_item(items["good"], stopped, pool=pool)

    def test_an_idle_child_that_died_is_replaced(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        with pool.lend(orders.child) as child:
            child.classes()
        os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: not child.alive)
        assert screen_item(items["good"], orders, pool=pool).attempts == 1

    def test_a_kill_names_the_signal(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        with pytest.raises(ChildCrashedError, match=r"killed \(SIGKILL; memory may have run out\)"):  # noqa: SIM117
            with pool.lend(orders.child) as child:
                child.classes()
                threading.Timer(0.2, os.kill, [child.pid, signal.SIGKILL]).start()
                child.screen(request(items["hang"], orders), limit_s=None, on_progress=nothing)

    def test_signals_to_the_whole_group_are_left_to_the_parent(
        self, pool: ChildPool, items: dict[str, Item], orders: Orders
    ) -> None:
        with pool.lend(orders.child) as child:
            child.classes()
            os.kill(child.pid, signal.SIGINT)
            os.kill(child.pid, signal.SIGTERM)
            child.screen(request(items["good"], orders), limit_s=None, on_progress=nothing)

    def test_a_time_limit_ends_the_process(self, pool: ChildPool, items: dict[str, Item], orders: Orders) -> None:
        with pytest.raises(ChildTimedOutError), pool.lend(orders.child) as child:
            child.screen(request(items["hang"], orders), limit_s=0.2, on_progress=nothing)
        assert not psutil.pid_exists(child.pid)

    @pytest.mark.parametrize("name", ["hang", "idle"])
    def test_no_child_outlives_its_parent(
        self, name: str, items: dict[str, Item], orders: Orders, tmp_path: Path
    ) -> None:
        code = (
            "import sys, pickle, time\n"
            "from wsiamf.cohort.children import POOL\n"
            "from wsiamf.cohort.running import screen_item\n"
            "item, orders, hang = pickle.load(open(sys.argv[1], 'rb'))\n"
            "with POOL.lend(orders.child) as child: child.classes(); print(child.pid, flush=True)\n"
            "screen_item(item, orders) if hang else time.sleep(600)\n"
        )
        given = tmp_path / "given"
        given.write_bytes(pickle.dumps((items["hang"], orders, name == "hang")))
        with start_python("-c", code, given) as parent:
            child = psutil.Process(int(first_line(parent)))
            log = f"child-*-{child.pid}.log"
            if name == "hang":
                wait_until(lambda: "hang: begins" in next(orders.places.logs.glob(log)).read_text())
            assert is_running(child)
            parent.kill()
        wait_until(lambda: not is_running(child), 60)
