"""The machine's examination: every check passes here, and fails on a machine that was spoilt for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import tiny_bundle
from wsiamf.cli.main import run
from wsiamf.doctor import cgroups, limits, software, storage
from wsiamf.doctor.cluster import cluster, judge_workers
from wsiamf.doctor.finding import carry_out

ROOT = Path(__file__).resolve().parent.parent
Checks = dict[str, dict[str, Any]]


def examined(*arguments: str | Path, path: Path | None = None, before: str = "") -> tuple[int, Checks, str]:
    """Exit code, findings by check and stderr of ``wsiamf doctor`` in its own process; modules in ``path`` come first."""
    search = os.pathsep.join([*([str(path)] if path else []), str(ROOT)])
    command = [sys.executable, "-m", "wsiamf", "doctor", "--json", *map(str, arguments)]
    if before:
        command = ["bash", "-c", f'{before}; exec "$@"', "bash", *command]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": search}, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    shown = json.loads(done.stdout)
    assert shown["schema"] == "wsiamf.doctor/1"
    return done.returncode, {one["check"]: one for one in shown["checks"]}, done.stderr


def levels(checks: Checks, *names: str) -> list[str]:
    return [checks[name]["level"] for name in names]


def test_this_machine_passes_what_the_tests_need(tmp_path: Path) -> None:
    code, checks, _ = examined("--out", tmp_path / "not" / "yet")
    needed = ("Python", "wsiamf", "OpenVINO", "telemetry", "torch", "OpenSlide", "image codecs", "model", "int8 form")
    assert levels(checks, *needed) == ["PASS"] * len(needed)
    assert levels(checks, "cache", "results folder") == ["PASS", "PASS"]
    assert "aperio" in checks["OpenSlide"]["found"]
    assert code == (1 if any(one["level"] == "FAIL" for one in checks.values()) else 0)
    assert all((one["remedy"] is None) == (one["level"] == "PASS") for one in checks.values())
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--out", str(tmp_path), "--model", "nothing"]) == 1
    lines = capsys.readouterr().out.splitlines()
    model = next(k for k, line in enumerate(lines) if line.startswith("FAIL  model "))
    assert "no such model" in lines[model]
    assert lines[model + 1].strip().startswith("-> ")


def test_two_clusters_are_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--scheduler", "tcp://a:1", "--scheduler-file", str(tmp_path / "s.json")]) == 2


def test_a_check_that_breaks_is_a_failure_of_one_line() -> None:
    def broken() -> Any:
        raise RuntimeError("first\nsecond")

    finding = carry_out("some", broken)
    assert (finding.level, finding.found) == ("FAIL", "RuntimeError: first second")
    assert finding.remedy


def test_broken_libraries_fail_one_by_one(tmp_path: Path) -> None:
    for name in ("torch", "openvino", "openslide"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('lib{name}.so: cannot open shared object file')\n")
    (tmp_path / "imagecodecs.py").write_text(
        "__version__ = '0'\n"
        "def lzw_encode(data): return data\n"
        "def lzw_decode(data): return data\n"
        "def webp_encode(image, lossless): return image\n"
        "def webp_decode(image): return image\n"
    )
    code, checks, _ = examined(path=tmp_path)
    assert code == 1
    assert levels(checks, "OpenVINO", "torch", "OpenSlide", "image codecs") == ["FAIL"] * 4
    assert levels(checks, "telemetry", "GPU") == ["WARN", "WARN"]
    assert "libtorch.so: cannot open" in checks["torch"]["found"]
    assert "libopenslide.so: cannot open" in checks["OpenSlide"]["found"]
    assert checks["image codecs"]["found"] == "cannot decode JPEG, JPEG 2000"
    assert levels(checks, "Python", "model") == ["PASS", "PASS"]


def test_a_library_that_kills_its_process_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os; os.abort()\n")
    code, checks, _ = examined(path=tmp_path)
    assert code == 1
    assert checks["torch"]["level"] == "FAIL"
    assert "signal 6" in checks["torch"]["found"]


def test_a_gpu_that_is_seen_but_fails() -> None:
    facts = {"version": "2", "gpu": "cuda", "name": None, "error": "RuntimeError: out of memory"}
    assert software.gpu(facts).level == "WARN"
    assert software.gpu(facts | {"error": None, "name": "A GPU"}).level == "PASS"


def test_telemetry_that_could_load() -> None:
    assert software.telemetry({"telemetry_barred": False}).level == "FAIL"


def test_another_wsiamf_is_installed(tmp_path: Path) -> None:
    folder = tmp_path / "wsiamf-9.9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: wsiamf\nVersion: 9.9\n")
    _, checks, _ = examined(path=tmp_path)
    assert checks["wsiamf"]["level"] == "WARN"
    assert "9.9" in checks["wsiamf"]["found"]


class TestModel:
    def test_damaged_weights(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "tiny")
        assert software.model(str(bundle.folder)).level == "PASS"
        assert software.int8_form(str(bundle.folder)).level == "WARN"  # it holds none
        weights = bundle.folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        finding = carry_out("model", lambda: software.model(str(bundle.folder)))
        assert finding.level == "FAIL"
        assert "altered or damaged" in finding.found

    def test_an_int8_form_of_another_bundle(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "tiny")
        shutil.copytree(ROOT / "wsiamf" / "bundles" / "default" / "openvino", bundle.folder / "openvino")
        finding = carry_out("int8", lambda: software.int8_form(str(bundle.folder)))
        assert finding.level == "FAIL"
        assert "compiled from another bundle" in finding.found


class TestStorage:
    def test_places_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("x")
        assert storage.writable(tmp_path / "file").level == "FAIL"
        monkeypatch.setenv("WSIAMF_CACHE", str(tmp_path / "file" / "cache"))
        assert storage.cache_folder().level == "WARN"
        monkeypatch.setenv("WSIAMF_CACHE", str(tmp_path / "cache"))
        assert storage.cache_folder().level == "PASS"

    def test_little_disk(self, tmp_path: Path) -> None:
        grades = [storage.judge_disk(tmp_path, gib << 30).level for gib in (0, 5, 50)]
        assert grades == ["FAIL", "WARN", "PASS"]
        assert storage.free_disk(tmp_path / "a" / "b").found.endswith(str(tmp_path))

    def test_file_systems(self, tmp_path: Path) -> None:
        assert storage.file_system(tmp_path).level in ("PASS", "WARN")
        assert storage.mounted_as(Path("/proc")) == "proc"
        assert storage.judge_file_system("ext4", [], 0.0).level == "PASS"
        assert storage.judge_file_system("nfs4", [], 0.0).level == "WARN"
        assert storage.judge_file_system("ext4", ["SQLite fails: disk I/O error"], 0.0).level == "FAIL"
        assert [storage.judge_file_system("ext4", [], skew).level for skew in (-6.0, 40.0)] == ["WARN", "FAIL"]


class TestLimits:
    def test_few_open_files(self) -> None:
        code, checks, _ = examined(before="ulimit -n 200")
        assert (code, checks["open files"]["level"]) == (1, "FAIL")
        assert checks["open files"]["found"] == "200 at once"
        assert limits.judge_open_files(512, 4096).remedy == "ulimit -n 4096"
        assert limits.judge_open_files(None, None).level == "PASS"

    def test_memory_and_its_limit(self) -> None:
        assert limits.judge_memory(8 << 30, None).level == "PASS"
        assert limits.judge_memory(8 << 30, 2 << 30).level == "WARN"
        assert limits.judge_memory(8 << 30, 1 << 30).level == "FAIL"

    def test_quota_of_cores(self) -> None:
        assert limits.judge_cores(8, 8, None).level == "PASS"
        verdict = limits.judge_cores(8, 4, 2.5)
        assert verdict.level == "WARN"
        assert verdict.remedy is not None
        assert verdict.remedy.endswith("at most 2")

    def test_control_groups_of_both_versions(self, tmp_path: Path) -> None:
        own = tmp_path / "own"
        inner = tmp_path / "v2" / "slurm" / "job"
        inner.mkdir(parents=True)
        own.write_text("0::/slurm/job\n")
        assert cgroups.memory_left(tmp_path / "v2", own) is None
        (inner / "memory.max").write_text("max\n")
        (inner.parent / "memory.max").write_text("1000\n")
        (inner.parent / "memory.current").write_text("400\n")
        (inner / "cpu.max").write_text("150000 100000\n")
        assert cgroups.memory_left(tmp_path / "v2", own) == 600
        assert cgroups.core_quota(tmp_path / "v2", own) == 1.5
        first = tmp_path / "v1"
        (first / "memory" / "job").mkdir(parents=True)
        (first / "cpu,cpuacct" / "job").mkdir(parents=True)
        own.write_text("5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n")
        (first / "memory" / "job" / "memory.limit_in_bytes").write_text("500\n")
        (first / "memory" / "memory.limit_in_bytes").write_text(f"{(1 << 63) - 4096}\n")
        (first / "cpu,cpuacct" / "job" / "cpu.cfs_quota_us").write_text("200000\n")
        (first / "cpu,cpuacct" / "job" / "cpu.cfs_period_us").write_text("100000\n")
        assert cgroups.memory_left(first, own) == 500
        assert cgroups.core_quota(first, own) == 2.0
        assert cgroups.memory_left(first, tmp_path / "gone") is None


@contextmanager
def dask_cluster(folder: Path, worker_path: Path | None, *, worker: bool = True) -> Iterator[Path]:
    """A scheduler and a worker in processes of their own; gives the scheduler's file."""
    file = folder / "scheduler.json"
    log = (folder / "log").open("w")
    dask = [sys.executable, "-m", "dask"]
    quiet = ["--no-dashboard", "--scheduler-file", str(file)]
    at = ["--host", "127.0.0.1"]
    environment = dict(os.environ)
    if worker_path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(worker_path), environment.get("PYTHONPATH", "")])
    commands = [([*dask, "scheduler", *quiet, *at, "--port", "0"], dict(os.environ))]
    if worker:
        commands.append(([*dask, "worker", *quiet, *at, "--no-nanny", "--nthreads", "1"], environment))
    running = [subprocess.Popen(command, stdout=log, stderr=log, env=own, cwd=folder) for command, own in commands]
    try:
        yield file
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()
        log.close()


def wait_for(file: Path, *, workers: int) -> None:
    import time

    from distributed import Client

    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        if workers:
            client.wait_for_workers(workers, timeout=30)


class TestCluster:
    def test_a_cluster_of_one_environment(self, tmp_path: Path) -> None:
        with dask_cluster(tmp_path, None) as file:
            wait_for(file, workers=1)
            verdict = cluster(None, file, timeout_s=10)
            assert verdict.level == "PASS", verdict
            address = json.loads(file.read_text())["address"]
            assert "1 worker(s)" in cluster(address, None, timeout_s=10).found

    def test_a_worker_of_another_version(self, tmp_path: Path) -> None:
        other = tmp_path / "other" / "wsiamf-9.9.dist-info"
        other.mkdir(parents=True)
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: wsiamf\nVersion: 9.9\n")
        with dask_cluster(tmp_path, other.parent) as file:
            wait_for(file, workers=1)
            verdict = cluster(None, file, timeout_s=10)
        assert verdict.level == "FAIL"
        assert "wsiamf 9.9 (here" in verdict.found

    def test_a_scheduler_without_workers(self, tmp_path: Path) -> None:
        with dask_cluster(tmp_path, None, worker=False) as file:
            wait_for(file, workers=0)
            assert cluster(None, file, timeout_s=10).level == "WARN"

    def test_nobody_answers(self, tmp_path: Path) -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))  # bound and not listening: refused
            verdict = cluster(f"tcp://127.0.0.1:{reserved.getsockname()[1]}", None, timeout_s=0.5)
        assert verdict.level == "FAIL"
        assert "\n" not in verdict.found
        assert cluster(None, tmp_path / "gone.json", timeout_s=0.5).level == "FAIL"
        (tmp_path / "broken.json").write_text("{")
        assert cluster(None, tmp_path / "broken.json", timeout_s=0.5).level == "FAIL"

    def test_a_worker_without_wsiamf(self) -> None:
        here = {"Python": "3.11.7", "wsiamf": "1"}
        verdict = judge_workers("tcp://a:1", here, {"tcp://w:1": {"Python": "3.11.7"}})
        assert verdict.level == "FAIL"
        assert "wsiamf none (here 1)" in verdict.found
