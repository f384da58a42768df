"""The engine on real clusters: the same results wherever a slide is screened, and what is left when something is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from distributed import Client

from tests.cohort_runner import write_run
from tests.dask_processes import DaskProcesses, dask_processes, kill_group
from tests.made_cohort import hooked_path, make_items, make_orders, results
from tests.run_processes import children_of, first_line, is_running, start_runner, wait_until
from tests.tiny_model import tiny_bundle
from wsiamf.cohort.children import ChildPool
from wsiamf.cohort.cluster import cluster
from wsiamf.cohort.engine import Progress, probe, run_on_dask, run_serial, worker_number
from wsiamf.cohort.items import Item
from wsiamf.cohort.locks import living_holder, read_owner
from wsiamf.cohort.running import Outcome
from wsiamf.errors import CohortError

NAMES = ["a", "b", "abort", "c", "gone", "slow", "d", "flaky", "e"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("tiny")).folder


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    made = make_items(tmp_path_factory.mktemp("slides"), NAMES)
    for item in made:
        if item.slide_id == "gone":
            Path(str(item.slide)).unlink()
    return made


@pytest.fixture(scope="module", autouse=True)
def _hooked() -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = hooked_path()
    yield
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def on_tcp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    with dask_processes(tmp_path_factory.mktemp("dask"), 2) as processes:
        yield processes


@pytest.fixture(scope="module")
def client(on_tcp: DaskProcesses) -> Iterator[Client]:
    with cluster(0, 1, scheduler=on_tcp.address) as client:
        client.wait_for_workers(2, timeout=120)
        yield client


@pytest.fixture(scope="module")
def undisturbed(
    items: list[Item], model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, str], list[Outcome]]:
    """What a run in one process gives."""
    out = tmp_path_factory.mktemp("serial")
    (Path(str(items[0].slide)).parent / "flaky.flaked").unlink(missing_ok=True)
    seen: list[Outcome | Progress] = []
    tally = run_serial(items, make_orders(out, model), seen.append, pool=ChildPool())
    assert tally == {"done": 7, "failed": 2}
    assert Progress("a", 3, 3) in seen
    return results(out), [event for event in seen if isinstance(event, Outcome)]


def plain(events: Sequence[Outcome | Progress]) -> set[Outcome]:
    return {replace(event, seconds=0.0) for event in events if isinstance(event, Outcome)}


class TestInOneProcess:
    def test_an_interruption_within_a_slide_leaves_nothing(
        self, items: list[Item], model: Path, tmp_path: Path
    ) -> None:
        def interrupt(event: Outcome | Progress) -> None:
            if isinstance(event, Progress):
                raise KeyboardInterrupt

        pool = ChildPool()
        with pytest.raises(KeyboardInterrupt):
            run_serial(items, make_orders(tmp_path, model), interrupt, pool=pool)
        assert pool.children() == []
        assert children_of(tmp_path) == []
        assert list(tmp_path.glob(".wsiamf-*")) == [tmp_path / ".wsiamf-cohort"]
        assert list((tmp_path / ".wsiamf-cohort" / "locks").glob("*.slide")) == []


class TestOnTcp:
    def test_the_same_bytes_as_in_one_process(
        self,
        client: Client,
        items: list[Item],
        model: Path,
        undisturbed: tuple[dict[str, str], list[Outcome]],
        tmp_path: Path,
    ) -> None:
        (Path(str(items[0].slide)).parent / "flaky.flaked").unlink(missing_ok=True)
        orders = make_orders(tmp_path, model)
        found = probe(client, orders)
        assert len(found) == 2
        assert {(one.backend, one.precision, one.device_class) for one in found.values()} == {
            ("openvino", "f32", "cpu")
        }
        seen: list[Outcome | Progress] = []
        orders = replace(orders, classes=next(iter(found.values())))
        tally = run_on_dask(items, client, orders, seen.append)
        assert tally == {"done": 7, "failed": 2}
        assert results(tmp_path) == undisturbed[0]
        assert plain(seen) == plain(undisturbed[1])
        assert list(orders.places.locks.glob("*.slide")) == []
        assert children_of(tmp_path) == []

    def test_slides_wait_outside_the_cluster(
        self, client: Client, items: list[Item], model: Path, tmp_path: Path
    ) -> None:
        taken = 0
        ahead = []
        by_name = {item.slide_id: item for item in items}

        def many() -> Iterator[Item]:
            nonlocal taken
            for number in range(30):
                taken += 1
                yield replace(by_name["a"], slide_id=f"a{number}", slide=tmp_path / "absent.tiff")

        ended = 0

        def tell(_event: object) -> None:
            nonlocal ended
            ended += 1
            ahead.append(taken - ended)

        assert run_on_dask(many(), client, make_orders(tmp_path, model), tell) == {"failed": 30}
        assert 1 < max(ahead) <= 6

    def test_a_model_that_a_worker_lacks_is_named(self, client: Client, items: list[Item], tmp_path: Path) -> None:
        orders = make_orders(tmp_path, Path("/nowhere/model"))
        with pytest.raises(CohortError, match=r"worker tcp://.*/nowhere/model"):
            probe(client, orders)
        with pytest.raises(CohortError, match="/nowhere/model"):
            run_on_dask(items, client, orders, lambda _event: None)
        assert not (tmp_path / ".wsiamf-cohort" / "failures").exists()

    def test_workers_without_gpu_do_not_take_cuda_slides_of_tagged_ones(
        self, client: Client, on_tcp: DaskProcesses, items: list[Item], model: Path, tmp_path: Path
    ) -> None:
        orders = make_orders(tmp_path, model)
        classes = replace(next(iter(probe(client, orders).values())), device_class="cuda")
        worker = on_tcp.add_worker("--resources", "GPU=1", "--name", "tagged-0")
        try:
            client.wait_for_workers(3, timeout=120)
            # Every child here computes on the CPU, so the first slide ends the run: by the tagged worker's hand.
            asked = replace(orders, classes=classes, child=replace(orders.child, device="auto"))
            with pytest.raises(CohortError, match="device_class cpu in place of cuda"):
                run_on_dask(items[:1], client, asked, lambda _event: None)
            who = [child.ppid() for child in children_of(tmp_path)]
            logs = list(orders.places.logs.glob("child-*.log"))
            assert who == []
            assert len(logs) == 3  # two of the probe, and one of the tagged worker
        finally:
            on_tcp.kill_worker(worker)
            wait_until(lambda: len(client.nthreads()) == 2)


def test_of_tagged_and_plain_workers_only_the_tagged_are_asked(
    on_tcp: DaskProcesses, client: Client, model: Path, tmp_path: Path
) -> None:
    orders = make_orders(tmp_path, model)
    worker = on_tcp.add_worker("--resources", "GPU=1", "--name", "tagged-1")
    try:
        client.wait_for_workers(3, timeout=120)
        assert len(probe(client, orders)) == 3  # --device cpu
        assert len(probe(client, replace(orders, child=replace(orders.child, device="auto")))) == 1
    finally:
        on_tcp.kill_worker(worker)
        wait_until(lambda: len(client.nthreads()) == 2)


def test_where_devices_may_mix_tagged_workers_still_do_the_work(
    on_tcp: DaskProcesses, client: Client, items: list[Item], model: Path, tmp_path: Path
) -> None:
    orders = make_orders(tmp_path, model)
    orders = replace(orders, child=replace(orders.child, device="auto"), mixed=True)
    worker = on_tcp.add_worker("--resources", "GPU=1", "--name", "tagged-2")
    try:
        client.wait_for_workers(3, timeout=120)
        (classes,) = probe(client, orders).values()
        tally = run_on_dask(items[:2], client, replace(orders, classes=classes), lambda _event: None)
        assert tally == {"done": 2}
        assert len(list(orders.places.logs.glob("child-*.log"))) == 1  # the tagged worker's alone
    finally:
        on_tcp.kill_worker(worker)
        wait_until(lambda: len(client.nthreads()) == 2)


class TestKilled:
    def test_a_worker_that_dies_is_no_slides_fault(
        self, on_tcp: DaskProcesses, client: Client, items: list[Item], model: Path, tmp_path: Path
    ) -> None:
        slow = [item for item in items if item.slide_id in ("slow", "a", "b")]
        orders = make_orders(tmp_path, model)
        killed: list[subprocess.Popen[bytes]] = []

        def kill_one(_event: object) -> None:
            if not killed:
                killed.append(on_tcp.workers[0])
                on_tcp.kill_worker(killed[0])
                on_tcp.add_worker()

        assert run_on_dask(slow, client, orders, kill_one) == {"done": 3}
        assert killed
        assert list(orders.places.failures.glob("*")) == []

    def test_a_worker_that_takes_an_outcome_along_loses_no_slide(
        self, on_tcp: DaskProcesses, client: Client, items: list[Item], model: Path, tmp_path: Path
    ) -> None:
        orders = make_orders(tmp_path, model, since=time.time())
        orders = replace(orders, classes=next(iter(probe(client, orders).values())))
        killed: list[subprocess.Popen[bytes]] = []
        seen: list[Outcome | Progress] = []

        def kill_those_that_are_done(event: Outcome | Progress) -> None:
            seen.append(event)
            if killed:
                return
            wait_until(lambda: len(list(tmp_path.glob("*/run.json"))) == 3)
            wait_until(lambda: list(orders.places.locks.glob("*.slide")) == [])
            killed.extend(on_tcp.workers)
            for worker in killed:
                on_tcp.kill_worker(worker)
            wait_until(lambda: not client.nthreads())
            on_tcp.add_worker()
            on_tcp.add_worker()

        tally = run_on_dask(items[:2] + items[3:4], client, orders, kill_those_that_are_done)
        client.wait_for_workers(2, timeout=120)
        assert tally == {"done": 3}
        assert sorted(one.attempts for one in plain(seen)) == [0, 0, 1]  # those run again find their slide done

    @pytest.mark.parametrize(
        ("deaths", "becomes"), [(2, {"hang": ("crash", 2)}), (1, {"slow": (None, 1), "a": (None, 1)})]
    )
    def test_slides_whose_workers_die_are_tried_again_and_then_set_aside(
        self,
        deaths: int,
        becomes: dict[str, tuple[str | None, int]],
        model: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
        orders = make_orders(tmp_path / "out", model, retries=1)
        names = list(becomes)
        lock = orders.places.locks / f"{names[0]}.slide"
        killed: list[int] = []

        def new_holder() -> bool:
            owner = living_holder(lock)
            return owner is not None and owner.pid not in (0, *killed)

        def kill_each() -> None:
            for _ in range(deaths):
                wait_until(new_holder)
                owner = read_owner(lock)
                assert owner is not None
                killed.append(owner.pid)
                os.kill(owner.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_each)
        seen: list[Outcome | Progress] = []
        with (
            dask_processes(tmp_path / "dask", 1) as processes,
            cluster(0, 1, scheduler_file=processes.scheduler_file) as client,
        ):
            client.wait_for_workers(1, timeout=120)
            killer.start()
            run_on_dask(make_items(tmp_path / "slides", names), client, orders, seen.append)
            killer.join()
        blamed = [text.partition(":")[0] for text in caplog.messages if "workers that were given it died" in text]
        assert sorted(blamed) == sorted(names * deaths)  # the slide that waited there, too
        assert {one.slide_id: (one.kind, one.attempts) for one in plain(seen)} == becomes
        failed = [name for name, (kind, _) in becomes.items() if kind]
        assert [path.stem for path in orders.places.failures.glob("*")] == failed

    def test_a_killed_client_leaves_nothing_that_runs(
        self, items: list[Item], model: Path, undisturbed: tuple[dict[str, str], list[Outcome]], tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        write_run(tmp_path, items, make_orders(out, model, retries=1))
        with start_runner(tmp_path) as runner:
            assert first_line(runner) == "begins\n"
            started = [psutil.Process(runner.pid), *psutil.Process(runner.pid).children(recursive=True)]
            assert len(children_of(out)) == 2
            runner.kill()
            wait_until(lambda: not any(is_running(process) for process in started), 120)
        with start_runner(tmp_path) as runner:
            said, errors = runner.communicate(timeout=120)
        assert runner.returncode == 1, errors
        assert "abort failed its process was killed (SIGABRT): pixman: the sky fell" in said
        assert results(out) == undisturbed[0]

    def test_ctrl_c_ends_children_and_releases_locks(self, items: list[Item], model: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        write_run(tmp_path, make_items(tmp_path / "slides", ["hang", "hang2", "hang3"]), make_orders(out, model))
        with start_runner(tmp_path) as runner:
            assert first_line(runner) == "begins\n"
            wait_until(lambda: len(list((out / ".wsiamf-cohort" / "locks").glob("*.slide"))) == 2)
            os.killpg(runner.pid, signal.SIGINT)  # as a terminal does: to the workers, too
            _, errors = runner.communicate(timeout=120)
        assert errors == "interrupted\n"
        assert runner.returncode == 1
        assert children_of(out) == []
        assert list((out / ".wsiamf-cohort" / "locks").glob("*.*")) == [out / ".wsiamf-cohort" / "locks" / ".takeover"]

    def test_a_second_run_stops_with_a_clear_line(self, items: list[Item], model: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        write_run(tmp_path, make_items(tmp_path / "slides", ["hang"]), make_orders(out, model))
        with start_runner(tmp_path) as first:
            assert first_line(first) == "begins\n"
            with start_runner(tmp_path) as second:
                _, errors = second.communicate(timeout=120)
            kill_group(first)
        assert second.returncode == 1
        assert "another run works in this folder" in errors
        assert f"process {first.pid} on" in errors

    def test_a_lost_scheduler_ends_the_run_with_what_is_done(
        self, items: list[Item], model: Path, undisturbed: tuple[dict[str, str], list[Outcome]], tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        orders = make_orders(out, model)
        with dask_processes(tmp_path / "dask", 1) as processes:
            with cluster(0, 1, scheduler_file=processes.scheduler_file) as client:
                done: list[str] = []

                def tell(event: Outcome | Progress) -> None:
                    if isinstance(event, Outcome) and event.status == "done":
                        done.append(event.slide_id)
                        if len(done) == 2:
                            kill_group(processes.scheduler)

                with pytest.raises(CohortError, match=r"the scheduler was lost; the [2-4] slides .* are kept"):
                    run_on_dask(items, client, orders, tell)
                assert len(done) >= 2
                assert all(orders.places.record(slide_id).is_file() for slide_id in done)
            wait_until(lambda: children_of(out) == [], 60)
        seen: list[Outcome | Progress] = []
        rest = [item for item in items if not orders.places.record(item.slide_id).is_file()]
        assert len(rest) < len(items)
        again = make_orders(out, model)
        run_serial(rest, again, seen.append, pool=ChildPool())
        assert results(out) == undisturbed[0]


@pytest.mark.parametrize(
    ("name", "number"), [(3, 3), ("SLURMCluster-0-2", 2), ("tcp://10.0.0.1:3457", 0), ("tagged", 0), ("node7", 7)]
)
def test_workers_have_numbers(name: object, number: int) -> None:
    assert worker_number(name) == number
