"""``wsiamf cohort`` as a user calls it: the same bytes on one process, two workers, a TCP cluster and shards."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.cohort_slides import N_DAMAGED, N_SLIDES, SIDE, write_cohort
from tests.dask_processes import dask_processes
from tests.made_cohort import results, untimed
from tests.run_processes import start_python
from tests.sample_cohort import made_item, write_made_plan
from tests.tiny_model import tiny_bundle
from wsiamf.cli.main import run
from wsiamf.cohort.inputs import Cohort, Compute
from wsiamf.cohort.items import Classes
from wsiamf.cohort.locks import run_lock
from wsiamf.cohort.places import RESULT_NAMES, Places
from wsiamf.cohort.screening import screen_cohort
from wsiamf.errors import CohortError
from wsiamf.predictions import read_predictions

THREADS = ("--threads-per-worker", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("model")).folder


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort") / "slides")


Started = AbstractContextManager[subprocess.Popen[str]]


def start(manifest: Path, out: Path, model: Path, *options: object) -> Started:
    words = ("cohort", manifest, "--out", out, "--model", model, "--device", "cpu", "--threshold", "0.53793")
    return start_python("-W", "error", "-m", "wsiamf", *words, *THREADS, *options)


def ended(started: Started) -> tuple[int, str, str]:
    with started as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def serial(manifest: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("serial") / "out"
    code, said, talk = ended(start(manifest, out, model, "--workers", "0"))
    assert code == 1
    assert said == f"{out / 'summary.md'}\n"
    assert f"{N_DAMAGED} slides have no result" in talk
    assert "Traceback" not in talk
    return out


class TestForty:
    """One cohort of forty slides, good ones and damaged ones."""

    def test_every_row_of_the_manifest_is_there(self, serial: Path) -> None:
        table = pd.read_csv(serial / "cohort.csv")
        assert table["slide_id"].tolist() == [f"s{number:03d}" for number in range(N_SLIDES)]
        status = table["status"].value_counts().to_dict()
        assert status["failed"] == N_DAMAGED
        assert status["no_candidates"] == 1
        assert {"done", "few"} < set(status)
        assert (table["reason"].notna() == (table["status"] != "done")).all()
        assert len(pd.read_csv(serial / "failures.csv")) == N_DAMAGED
        assert 0 < table["n_amf"].sum() < table["n_ok"].sum()

    def test_counts_are_those_of_the_slides(self, serial: Path) -> None:
        table = pd.read_csv(serial / "cohort.csv").set_index("slide_id")
        for slide_id in ("s000", "s004", "s039"):
            labels = read_predictions(serial / slide_id / "predictions.parquet")["label"]
            assert table.loc[slide_id, "n_amf"] == (labels == "AMF").sum()
        whole = pd.read_parquet(serial / "predictions")
        assert (whole["label"] == "AMF").sum() == table["n_amf"].sum()

    def test_named_fields_are_counted_on_their_own(self, serial: Path) -> None:
        regions, slides = pd.read_csv(serial / "regions.csv"), pd.read_csv(serial / "cohort.csv").set_index("slide_id")
        assert regions[["slide_id", "case_id", "name"]].to_numpy().tolist() == [
            [slide_id, case_id, name]
            for slide_id, case_id in (("s000", "case-0"), ("s004", "case-2"))
            for name in ("left", "all")
        ]
        for slide_id in ("s000", "s004"):
            counts = regions[regions["slide_id"] == slide_id]
            table = read_predictions(serial / slide_id)
            x = table.loc[table["status"] == "ok", "x"].to_numpy(dtype=float)
            assert counts["n"].tolist() == [(x <= SIDE / 2).sum(), slides.loc[slide_id, "n_ok"]]
            assert counts["n_amf"].tolist()[1] == slides.loc[slide_id, "n_amf"]
        assert regions["n"][0] > 0

    def test_readers_are_compared_in_named_fields(
        self, serial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        counts = tmp_path / "counts.csv"
        counts.write_text("case_id,reader,region,mc\ncase-0,ann,left,9\ns004,ann,left,4\nslide-004.tiff,ann,all,1\n")
        assert run(["agree", str(serial), str(counts), "--json"]) == 0
        compared = json.loads(capsys.readouterr().out)["pairs"]
        n = pd.read_csv(serial / "regions.csv").set_index(["slide_id", "name"])["n"]
        assert [(one["slide_id"], one["region"], one["mc_wsiamf"]) for one in compared] == [
            (slide_id, name, n[slide_id, name])
            for slide_id, name in (("s000", "left"), ("s004", "left"), ("s004", "all"))
        ]

    def test_every_result_of_the_contract_and_nothing_more(self, serial: Path) -> None:
        read = {path.name for path in serial.iterdir() if path.is_dir() and path.name.startswith("s")}
        assert len(read) == N_SLIDES - N_DAMAGED
        assert {path.name for path in serial.iterdir()} == {*RESULT_NAMES, ".wsiamf-cohort", *read}

    def test_verifies(self, serial: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["verify", str(serial)]) == 0, capsys.readouterr()

    def test_two_workers_give_the_same(self, serial: Path, manifest: Path, model: Path, tmp_path: Path) -> None:
        code, _, talk = ended(start(manifest, tmp_path / "out", model, "--workers", "2"))
        assert code == 1, talk
        assert re.search(r"^wsiamf: dashboard: http://127\.0\.0\.1:\d+/status$", talk, re.MULTILINE), talk
        assert untimed(tmp_path / "out") == untimed(serial)

    def test_a_cluster_over_tcp_gives_the_same(self, serial: Path, manifest: Path, model: Path, tmp_path: Path) -> None:
        with dask_processes(tmp_path / "dask", 3) as dask:
            code, _, talk = ended(start(manifest, tmp_path / "out", model, "--scheduler", dask.address))
        assert code == 1, talk
        assert untimed(tmp_path / "out") == untimed(serial)

    def test_four_shards_give_the_same(self, serial: Path, manifest: Path, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        with ExitStack() as stack:
            shards = [
                stack.enter_context(start(manifest, out, model, "--shard", f"{number}/4")) for number in range(1, 5)
            ]
            spoken = [shard.communicate(timeout=300) for shard in shards]
        assert {shard.returncode for shard in shards} <= {0, 1}, spoken
        assert {said for said, _ in spoken} == {""}
        assert run(["cohort", "collect", str(out)]) == 1
        assert untimed(out) == untimed(serial)
        assert run(["diff", str(out), str(serial), "--exit-code"]) == 0


@pytest.fixture
def small(manifest: Path, tmp_path: Path) -> Path:
    """Three good slides."""
    rows = pd.read_csv(manifest).iloc[:3]
    for name in {*rows["slide"], *rows["points"], *rows["regions"].dropna()}:
        shutil.copy(manifest.parent / name, tmp_path / name)
    rows.to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


class TestAgain:
    """What a second run does."""

    def cohort(self, small: Path, model: Path, *options: object) -> int:
        words = ["cohort", small, "--out", small.parent / "out", "--model", model, "--device", "cpu", *THREADS]
        return run([str(word) for word in (*words, "--workers", 0, *options)])

    def times(self, small: Path) -> dict[str, int]:
        return {path.parent.name: path.stat().st_mtime_ns for path in (small.parent / "out").glob("*/run.json")}

    def test_does_nothing_where_nothing_changed(
        self, small: Path, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.cohort(small, model) == 0
        before, hashes = self.times(small), results(small.parent / "out")
        assert self.cohort(small, model) == 0
        assert "0 slides to screen, 3 done already" in capsys.readouterr().err
        assert self.times(small) == before
        assert results(small.parent / "out") == hashes

    def test_does_again_what_changed_and_says_why(
        self, small: Path, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.cohort(small, model) == 0
        before = self.times(small)
        with (small.parent / "slide-001.csv").open("a") as points:
            points.write("300,300,0.5\n")
        assert self.cohort(small, model) == 0
        assert "1 results are done again: points" in capsys.readouterr().err
        after = self.times(small)
        assert [name for name in after if after[name] != before[name]] == ["s001"]
        assert self.cohort(small, model, "--min-score", "0.5") == 0
        assert "3 results are done again: options.min_score" in capsys.readouterr().err

    def test_does_a_slide_again_whose_file_was_replaced(self, small: Path, model: Path) -> None:
        assert self.cohort(small, model) == 0
        shutil.copy(small.parent / "slide-002.tiff", small.parent / "slide-001.tiff")
        assert self.cohort(small, model) == 0
        tables = [pd.read_csv(small.parent / "out" / name / "predictions.csv") for name in ("s001", "s002")]
        assert not tables[0]["uuid"].isin(tables[1]["uuid"]).all()  # its own points, on the other slide's pixels
        assert tables[0]["uuid"].notna().all()

    def test_tries_again_what_failed(self, small: Path, model: Path) -> None:
        slide = small.parent / "slide-001.tiff"
        whole = slide.read_bytes()
        slide.write_bytes(whole[:3000])
        assert self.cohort(small, model) == 1
        slide.write_bytes(whole)
        assert self.cohort(small, model) == 0
        assert pd.read_csv(small.parent / "out" / "failures.csv").empty

    def test_a_redone_slide_that_fails_does_not_keep_its_old_counts(self, small: Path, model: Path) -> None:
        assert self.cohort(small, model) == 0
        (small.parent / "slide-001.csv").write_text("x,y\n1e9,5\n")
        assert self.cohort(small, model) == 1
        table = pd.read_csv(small.parent / "out" / "cohort.csv").set_index("slide_id")
        assert table["status"].to_dict() == {"s000": "done", "s001": "failed", "s002": "done"}
        assert table["n_ok"].isna().tolist() == [False, True, False]

    def test_a_try_that_failed_in_between_is_made_good(self, small: Path, model: Path) -> None:
        points = small.parent / "slide-001.csv"
        assert self.cohort(small, model) == 0
        whole = points.read_text()
        points.write_text("x,y\n1e9,5\n")
        assert self.cohort(small, model) == 1
        points.write_text(whole)  # its result of the first run stands, and is up to date again
        assert self.cohort(small, model) == 0

    def test_a_dry_run_writes_no_result(self, small: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.cohort(small, model, "--dry-run") == 0
        assert "s001: screen (new)" in capsys.readouterr().out
        assert not list((small.parent / "out").glob("*"))

    def test_a_second_run_beside_it_stops(self, small: Path, model: Path) -> None:
        locks = small.parent / "out" / ".wsiamf-cohort" / "locks"
        locks.mkdir(parents=True)
        with run_lock(locks):
            code, _, talk = ended(start(small, small.parent / "out", model, "--workers", 0))
        assert code == 1
        assert str(os.getpid()) in talk
        assert len(talk.splitlines()) == 1


class TestMixed:
    """Backends side by side in one cohort."""

    def test_it_stops_where_backends_would_mix_unless_allowed(
        self, small: Path, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = small.parent / "out"
        torch = ("--backend", "torch")

        def said(code: int, *options: str) -> str:
            words = ["cohort", small, "--out", out, "--model", model, "--device", "cpu", *THREADS, *options]
            assert run([str(word) for word in words]) == code
            return capsys.readouterr().err

        said(0, "--shard", "1/2")
        assert "s000 is done with openvino f32 cpu, and this shard computes with torch f32 cpu; name --backend" in said(
            1, "--shard", "2/2", *torch
        )
        refused = said(1, "--workers", "0", *torch)
        assert (
            "2 slides are done with another backend, precision or device class (s000: backend openvino -> " in refused
        )
        assert "or pass --allow-mixed" in refused
        assert [path.parent.name for path in sorted(out.glob("*/run.json"))] == ["s000", "s002"]
        said(0, "--shard", "2/2", *torch, "--allow-mixed")
        assert run(["cohort", "collect", str(out)]) == 0
        assert "2 backends, precisions or device classes" in capsys.readouterr().err
        assert pd.read_csv(out / "cohort.csv")["backend"].tolist() == ["openvino", "torch", "openvino"]

    @pytest.mark.parametrize(
        ("other", "allowed", "said"),
        [
            ({"backend": "torch"}, False, "the workers differ (2 on openvino f32 cpu; 1 on torch f32 cpu)"),
            ({"device_class": "cuda"}, False, "the workers differ"),
            ({"model_sha256": "b" * 64}, False, "the workers hold different models under one name"),
            ({"model_sha256": "b" * 64}, True, "the workers hold different models under one name"),
        ],
    )
    def test_workers_that_differ_are_refused(
        self, other: dict[str, str], allowed: bool, said: str, small: Path, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = Classes("openvino", "f32", "cpu", "a" * 64)
        found = {"tcp://a": ours, "tcp://b": ours, "tcp://c": replace(ours, **other)}
        monkeypatch.setattr("wsiamf.cohort.screening.probe", lambda _client, _orders: found)
        monkeypatch.setattr("wsiamf.cohort.screening._cluster", lambda _where: nullcontext(object()))
        cohort = Cohort(small, small.parent / "out", compute=Compute(model=str(model)))
        with pytest.raises(CohortError, match=re.escape(said)):
            screen_cohort(cohort, allow_mixed=allowed)
        assert not list((small.parent / "out").glob("*/run.json"))

    def test_shards_by_another_plan_wait_for_those_at_work(
        self, small: Path, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["cohort", small, "--out", small.parent / "out", "--model", model, "--device", "cpu", *THREADS]
        places = Places(small.parent / "out")
        assert run([str(word) for word in (*words, "--shard", "1/3")]) == 0
        before = places.plan.read_bytes()
        with run_lock(places.locks, shard=(1, 3)):
            assert run([str(word) for word in (*words, "--shard", "2/3", "--min-score", "0.5")]) == 1
        assert "other shards are at work there by another plan" in capsys.readouterr().err
        assert places.plan.read_bytes() == before

    def test_a_collection_waits_for_a_silent_shard_of_another_host(
        self, sample_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        places = write_made_plan(tmp_path / "out", [made_item(sample_data, 1, "a")])
        lock = places.locks / "shard-1-of-2.run"
        owner = {"host": "elsewhere", "pid": 1, "started": 1.0, "kind": "run", "token": "t", "since": 1.0}
        lock.write_text(json.dumps(owner))
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            os.utime(lock, (0, 0))

        monkeypatch.setattr("wsiamf.cohort.locks.time.sleep", sleep)
        assert run(["cohort", "collect", str(places.out)]) == 1  # of a slide that nobody screened
        said = capsys.readouterr().err
        assert "shard-1-of-2.run: held by process 1 on elsewhere; waiting" in said
        assert "1 slides have no result" in said
        assert waits


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", "2", "--shard", "1/2"), "--workers and --shard: do not go together"),
        (("--shard", "3/2"), "'3/2' is not I/N"),
        (("--scheduler", "tcp://127.0.0.1:9"), "no Dask scheduler answers"),
        (("--points", "x"), "is a manifest, which names each slide's points"),
        (("--regions", "x"), "is a manifest, which names each slide's regions"),
        (("--cluster", "gone.yaml"), "gone.yaml"),
    ],
)
def test_wrong_usage_is_named(
    manifest: Path, tmp_path: Path, options: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cohort", str(manifest), "--out", str(tmp_path / "out"), *options]) in (1, 2)
    assert said in capsys.readouterr().err


def test_files_of_others_are_not_replaced(
    manifest: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cohort.csv").write_text("mine\n")
    screen = ["cohort", str(manifest), "--out", str(tmp_path), "--model", str(model), "--workers", "0"]
    for words, said in (
        (screen, "holds cohort.csv, but no cohort of wsiamf"),
        (["cohort", "collect", str(tmp_path)], "holds no plan of a cohort"),
        (screen, "holds cohort.csv, but no cohort of wsiamf"),
    ):
        assert run(words) == 1
        assert said in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["cohort.csv"]
        assert (tmp_path / "cohort.csv").read_text() == "mine\n"


def test_a_run_that_wrote_nothing_does_not_make_the_folder_a_cohorts(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".wsiamf-cohort" / "locks").mkdir(parents=True)
    (tmp_path / "cohort.csv").write_text("mine\n")
    assert run(["cohort", str(manifest), "--out", str(tmp_path), "--workers", "0"]) == 1
    assert "holds cohort.csv, but no cohort of wsiamf" in capsys.readouterr().err
    assert (tmp_path / "cohort.csv").read_text() == "mine\n"


def test_problems_of_a_manifest_come_one_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.csv"
    path.write_text("slide,points\na.svs,a.csv\nb.svs,b.csv\n")
    assert run(["cohort", str(path), "--out", str(tmp_path / "out")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 5
    assert not (tmp_path / "out").exists()


def test_a_folder_of_slides_with_one_points_file(tmp_path: Path, model: Path, manifest: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in ("slide-004.tiff", "slide-009.tiff"):
        shutil.copy(manifest.parent / name, slides / name)
    words = [
        "cohort",
        slides,
        "--points",
        manifest.parent / "regions.json",
        "--out",
        tmp_path / "out",
        "--model",
        model,
    ]
    assert run([str(word) for word in (*words, "--workers", 0, *THREADS, "--device", "cpu")]) == 0
    record = json.loads((tmp_path / "out" / "slide-004" / "run.json").read_text())
    assert record["points"]["format"] == "midog-json"
