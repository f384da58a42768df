"""Where a cohort stands, from real results, locks of living and of dead processes, and files that are half there."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.run_processes import first_line, start_command, start_python
from tests.sample_cohort import OPTIONS, copy_result, fail, made_item, write_made_plan
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.cli.main import run
from wsiamf.cohort.places import Places
from wsiamf.cohort.status import read_status
from wsiamf.errors import CohortError
from wsiamf.spec import ErrorRates


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Path:
    root = tmp_path_factory.mktemp("result")
    model = tiny_bundle(root / "tiny").folder
    slide, points = sample_data / "sample.tiff", sample_data / "points.csv"
    return screen_slide(slide, points, out=root / "out", model=model, hotspot_mm2=0.1).folder


@pytest.fixture
def places(tmp_path: Path, result: Path, sample_data: Path) -> Places:
    """Slides a to d; a is done, d has no candidates."""
    items = [made_item(sample_data, k + 1, name, points=name != "d") for k, name in enumerate("abcd")]
    made = write_made_plan(tmp_path / "out", items, model=str(result.parent.parent / "tiny"))
    copy_result(result, made.folder("a"))
    return made


@pytest.fixture
def living() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process.pid
    process.kill()
    process.wait()


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def lock(places: Places, name: str, pid: int, **changes: Any) -> Path:
    path = places.locks / name
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": pid, "started": 1.0, "kind": "x"} | changes))
    return path


def ended(places: Places, slide_id: str, *, seconds_ago: float) -> None:
    path = places.record(slide_id)
    record = json.loads(path.read_text())
    record["times"]["ended"] = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat(timespec="seconds")
    path.write_text(json.dumps(record))


def test_done_waiting_and_without_candidates(places: Places) -> None:
    seen = read_status(places)
    assert (seen.n_slides, seen.done, seen.waiting, seen.no_candidates) == (4, 1, 2, 1)
    assert (seen.running, seen.failed, seen.slides_per_hour, seen.eta_seconds) == ((), (), None, None)
    assert seen.is_over


def test_a_living_lock_is_running_and_a_dead_one_is_not(places: Places, living: int) -> None:
    lock(places, "b.slide", living, since=1_700_000_000.0)
    lock(places, "c.slide", dead_pid())
    seen = read_status(places)
    assert [(one.what, one.host, one.pid) for one in seen.running] == [("b", socket.gethostname(), living)]
    assert seen.running[0].since == 1_700_000_000.0
    assert seen.waiting == 1


def test_a_lock_of_another_host_lives_by_its_heartbeat(places: Places) -> None:
    path = lock(places, "b.slide", 1, host="far")
    assert read_status(places).running[0].host == "far"
    os.utime(path, (time.time() - 61,) * 2)
    assert read_status(places).running == ()


def test_failed_with_reason(places: Places) -> None:
    fail(places, "b", "b.tiff: is\ndamaged")
    places.failure("c").write_text("{")
    seen = read_status(places)
    assert seen.failed == (("b", "b.tiff: is damaged"), ("c", "its failure record cannot be read"))
    assert seen.waiting == 0


@pytest.mark.parametrize("other", ["options", "mpp", "model", "error_rates", "algorithm_version", "key"])
def test_results_that_are_not_the_plans_wait(
    other: str, places: Places, result: Path, sample_data: Path, tmp_path: Path
) -> None:
    item = dataclasses.replace(made_item(sample_data, 1, "a"), mpp=0.3 if other == "mpp" else None)
    plan: dict[str, Any] = {"model": str(result.parent.parent / "tiny")}
    if other == "options":
        plan |= {"options": OPTIONS | {"min_score": 0.5}}
    elif other == "model":
        plan |= {"model": None}
    elif other == "error_rates":
        rates = ErrorRates(domain="mine", threshold="count", n_amf=50, n_nmf=200, sensitivity=0.8, specificity=0.9)
        (tmp_path / "rates.json").write_text(rates.model_dump_json())
        plan |= {"error_rates": str(tmp_path / "rates.json")}
    elif other in ("algorithm_version", "key"):
        record = json.loads(places.record("a").read_text())
        record["key"] = record["key"] | {"algorithm_version": 1} if other == "algorithm_version" else "none"
        places.record("a").write_text(json.dumps(record))
    write_made_plan(places.out, [item], **plan)
    seen = read_status(places)
    assert (seen.done, seen.waiting, seen.outdated) == (0, 1, 1)


@pytest.mark.parametrize("options", [None, ["min_score"]])
def test_a_damaged_record_is_judged_by_its_key(places: Places, options: object) -> None:
    record = json.loads(places.record("a").read_bytes())
    places.record("a").write_text(json.dumps(record | {"options": options}))
    seen = read_status(places)
    assert (seen.done, seen.waiting, seen.outdated) == (1, 2, 0)  # as a run would; `verify` names the damage


def test_speed_and_time_to_go_of_the_run_at_work(places: Places, living: int) -> None:
    fail(places, "b", "from the run before")
    os.utime(places.failure("b"), (time.time() - 1000,) * 2)
    began = time.time() - 100
    lock(places, "plain.run", living, since=began)
    ended(places, "a", seconds_ago=500)
    assert read_status(places).slides_per_hour is None  # a was done by an earlier run
    ended(places, "a", seconds_ago=0)
    seen = read_status(places)
    assert seen.slides_per_hour == pytest.approx(36, rel=0.05)
    assert (seen.waiting, seen.failed) == (2, ())  # b is tried again
    assert seen.eta_seconds == pytest.approx(200, rel=0.05)
    assert seen.runs[0].what == "plain"
    fail(places, "c", "now")
    assert read_status(places).slides_per_hour == pytest.approx(72, rel=0.05)


def test_a_run_without_a_stated_start_began_with_its_process(places: Places, living: int) -> None:
    lock(places, "shard-3-of-8.run", living)
    (one,) = read_status(places).runs
    assert one.since is not None
    assert abs(time.time() - one.since) < 600


def test_no_plan_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CohortError, match="no plan"):
        read_status(Places(tmp_path))
    assert run(["status", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_files_that_vanish_or_are_half_there(places: Places, result: Path) -> None:
    """Another thread breaks and mends files as fast as it can; no look may raise, or lose a slide."""
    whole = places.record("a").read_bytes()
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            for content in (b"", whole[:100], whole):
                places.record("a").write_bytes(content)
            for path in (places.locks / "b.slide", places.locks / "plain.run", places.failure("c")):
                path.write_text("{")
                path.unlink()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(200):
            seen = read_status(places)
            counted = seen.done + len(seen.running) + len(seen.failed) + seen.waiting + seen.no_candidates
            assert counted == seen.n_slides == 4
    finally:
        stop.set()
        thread.join()


def test_it_writes_nothing(places: Places, living: int) -> None:
    lock(places, "b.slide", living)

    def state() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in places.out.rglob("*")}

    before = state()
    read_status(places)
    assert state() == before


def test_command(places: Places, living: int, capsys: pytest.CaptureFixture[str]) -> None:
    lock(places, "b.slide", living)
    fail(places, "c", "c.tiff: is damaged")
    assert run(["status", str(places.out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 slides: 1 done, 1 running, 1 failed, 0 waiting, 1 without candidates"
    assert f"process {living}" in lines[1]
    assert lines[2] == "failed   c  c.tiff: is damaged"
    assert run(["status", str(places.out), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "wsiamf.cohort-status/1"
    assert shown["failed"] == [{"slide_id": "c", "reason": "c.tiff: is damaged"}]


def test_watching_ends_with_the_last_run(places: Places) -> None:
    with start_python("-c", "import time; time.sleep(600)") as working:
        lock(places, "plain.run", working.pid)
        with start_command("status", places.out, "--watch", "0.1", "--json") as watching:
            first = json.loads(first_line(watching))
            working.kill()
            working.wait()
            rest, errors = watching.communicate(timeout=300)
    assert watching.returncode == 0, errors
    assert [one["what"] for one in first["runs"]] == ["plain"]
    assert json.loads(rest.splitlines()[-1])["runs"] == []


def test_ten_thousand_slides(tmp_path: Path, result: Path, sample_data: Path) -> None:
    """Every one of them is counted; the time is measured by hand, not here."""
    names = [f"s{number}" for number in range(10_000)]
    items = [made_item(sample_data, k + 1, name) for k, name in enumerate(names)]
    places = write_made_plan(tmp_path / "out", items, model=str(result.parent.parent / "tiny"))
    record = (result / "run.json").read_bytes()
    for name in names[:6000]:
        places.folder(name).mkdir()
        places.record(name).write_bytes(record)
    seen = read_status(places)
    assert (seen.done, seen.waiting) == (6000, 4000)
