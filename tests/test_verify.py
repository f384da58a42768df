"""Results that were spoilt in every way: each is found, in one line; results that were not are found whole."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.sample_cohort import OPTIONS, copy_result, fail, made_item, write_made_plan
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.cli.main import run
from wsiamf.cohort.collecting import collect
from wsiamf.cohort.faults import PROBLEM, WARNING, Fault
from wsiamf.cohort.places import Places
from wsiamf.cohort.verifying import verify
from wsiamf.errors import CohortError


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Path:
    """Slide, points, regions and model of the module's own."""
    root = tmp_path_factory.mktemp("inputs")
    for name in ("sample.tiff", "points.csv", "regions.geojson"):
        shutil.copy(sample_data / name, root / name)
    square = {"type": "Polygon", "coordinates": [[[0, 0], [900, 0], [900, 900], [0, 900], [0, 0]]]}
    fields = [{"type": "Feature", "geometry": square, "properties": {"name": name}} for name in ("A", "B, C")]
    (root / "fields.geojson").write_text(json.dumps(fields))
    tiny_bundle(root / "tiny")
    return root


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory, inputs: Path) -> Path:
    out = tmp_path_factory.mktemp("out")
    return screen_slide(
        inputs / "sample.tiff",
        inputs / "points.csv",
        roi=inputs / "regions.geojson",
        regions=inputs / "fields.geojson",
        out=out,
        model=inputs / "tiny",
        hotspot_mm2=0.1,
    ).folder


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory, inputs: Path, screened: Path) -> Path:
    """Slides a and b are done, c failed, the points file does not list d."""
    out = tmp_path_factory.mktemp("cohort") / "out"
    items = [made_item(inputs, k + 1, name, points=name != "d") for k, name in enumerate("abcd")]
    items = [dataclasses.replace(item, regions=inputs / "fields.geojson") for item in items]
    places = write_made_plan(out, items, model=str(inputs / "tiny"))
    for name in "ab":
        copy_result(screened, places.folder(name))
    fail(places, "c", "c.tiff: is damaged")
    collect(places)
    return out


@pytest.fixture
def slide(tmp_path: Path, screened: Path) -> Path:
    return copy_result(screened, tmp_path / "sample")


@pytest.fixture
def cohort(tmp_path: Path, collected: Path) -> Places:
    return Places(copy_result(collected, tmp_path / "out"))


def problems(faults: list[Fault]) -> list[str]:
    return [f"{fault.where}: {fault.text}" for fault in faults if fault.level == PROBLEM]


def warnings(faults: list[Fault]) -> list[str]:
    return [f"{fault.where}: {fault.text}" for fault in faults if fault.level == WARNING]


def edit_record(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "run.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def of_algorithm_2(record: dict[str, Any]) -> None:
    """As that version wrote it, which kept every option in the key."""
    record["algorithm_version"] = record["key"]["algorithm_version"] = 2
    record["key"]["options"] = record["options"]


def edit_summary(folder: Path, **changes: Any) -> None:
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def drop_line(path: Path, number: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    del lines[number]
    path.write_text("".join(lines))


def drop_parquet_row(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)


def edit_part(path: Path) -> None:
    """Change one probability; the metadata, which say what the part was made from, stay."""
    table = pq.read_table(path)
    values = table["p_atypical"].to_pylist()
    values[0] = 0.123
    place = table.schema.get_field_index("p_atypical")
    pq.write_table(table.set_column(place, table.schema.field(place), [values]), path)


def repeat_id(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[1]
    path.write_text("".join(lines))


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


class TestSlide:
    def test_an_untouched_folder_is_whole(self, slide: Path) -> None:
        assert verify(slide) == []
        assert verify(slide.parent) == []

    @pytest.mark.parametrize(
        ("spoil", "found"),
        [
            (lambda f: (f / "run.json").write_text("{"), "run.json cannot be read"),
            (lambda f: edit_record(f, lambda r: r.update(schema="wsiamf.run/9")), "is of wsiamf.run/9"),
            (lambda f: edit_record(f, lambda r: r["key"].update(backend="torch")), "its key's backend is not that"),
            (lambda f: edit_record(f, lambda r: r["options"].update(merge_um=1)), "its key's options is not that"),
            (lambda f: (f / "contact_sheet.png").unlink(), "contact_sheet.png is missing"),
            (lambda f: edit_record(f, lambda r: r["outputs"].remove("summary.json")), "does not list summary.json"),
            (lambda f: (f / ".wsiamf-abc.csv").write_text("x"), ".wsiamf-abc.csv is a leftover"),
            (lambda f: append(f / "contact_sheet.png"), "contact_sheet.png was changed"),
            (lambda f: edit_record(f, lambda r: r["output_sha256"].pop("review.geojson")), "no hash of review.geojson"),
            (lambda f: replace(f / "predictions.csv", "NMF", "AMF"), "differ, first in row 1"),
            (lambda f: drop_line(f / "predictions.csv", 5), "predictions.csv has 61 rows, predictions.parquet 62"),
            (lambda f: replace(f / "predictions.csv", "candidate_id,", "id,"), "have different columns"),
            (lambda f: replace(f / "predictions.csv", "0.753", "high"), "cannot be compared"),
            (lambda f: (f / "predictions.parquet").write_text("x"), "predictions.parquet: not a readable"),
            (lambda f: drop_parquet_row(f / "predictions.parquet"), "says n_candidates 62, the table 61"),
            (lambda f: edit_summary(f, n_amf=7), "says n_amf 7, the table"),
            (lambda f: edit_summary(f, n_hard=1), "says n_hard 1, the table"),
            (lambda f: edit_summary(f, n_by_status={"ok": 3}), "counts the statuses {'ok': 3}"),
            (lambda f: (f / "summary.json").write_text("["), "summary.json cannot be read"),
            (lambda f: drop_line(f / "hard_cases.csv", 1), "hard cases"),
            (lambda f: drop_line(f / "regions.csv", 1), "regions.csv and summary.json count the regions differently"),
            (lambda f: (f / "regions.csv").write_text("x"), "regions.csv and summary.json count"),
            (lambda f: (f / "regions.csv").unlink(), "regions.csv cannot be read"),
            (lambda f: edit_summary(f, regions=None), "summary.json counts no regions"),
            (lambda f: edit_record(f, lambda r: r["outputs"].remove("regions.csv")), "does not list regions.csv"),
            (lambda f: edit_record(f, lambda r: r.update(named_regions=None)), "its key's named_regions is not that"),
            (lambda f: drop_line(f / "detections.geojson", 1), "detections.geojson has 58 features, the table 59"),
            (lambda f: repeat_id(f / "detections.geojson"), "1 features whose id another one has"),
            (lambda f: replace(f / "detections.geojson", '"id":"', '"id":"0'), "names other figures"),
            (lambda f: drop_line(f / "detections.geojson", -1), "detections.geojson cannot be read: it ends too early"),
            (lambda f: drop_line(f / "review.geojson", 1), "review.geojson has"),
            (lambda f: (f / "review.geojson").write_text("{}"), "review.geojson cannot be read"),
        ],
    )
    def test_a_spoilt_folder_is_found(self, slide: Path, spoil: Callable[[Path], Any], found: str) -> None:
        spoil(slide)
        told = problems(verify(slide))
        assert any(found in line for line in told), told
        assert all(line.startswith("sample: ") and "\n" not in line for line in told)

    @pytest.mark.parametrize("part", ["options", "slide", "host", "outputs"])
    @pytest.mark.parametrize("value", [None, 3, "x"])
    def test_a_record_with_a_part_of_another_kind(self, slide: Path, part: str, value: Any) -> None:
        edit_record(slide, lambda record: record.update({part: value}))
        assert problems(verify(slide)) == ["sample: run.json cannot be read"]

    @pytest.mark.parametrize(
        ("part", "value"), [("host", {"paths": 3}), ("host", {"paths": {"slide": 3}}), ("points", "x"), ("model", None)]
    )
    def test_a_record_with_inner_parts_of_another_kind(self, slide: Path, part: str, value: Any) -> None:
        edit_record(slide, lambda record: record.update({part: value}))
        assert problems(verify(slide)) == ["sample: run.json cannot be read"]

    def test_a_record_without_paths(self, slide: Path) -> None:
        edit_record(slide, lambda record: record.update({"host": {}}))
        assert verify(slide) == []

    def test_compressed_geojson(self, inputs: Path, tmp_path: Path) -> None:
        folder = screen_slide(
            inputs / "sample.tiff", inputs / "points.csv", out=tmp_path, model=inputs / "tiny", gzip_geojson=True
        ).folder
        assert verify(folder) == []
        packed = folder / "detections.geojson.gz"
        packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes())[:-200]))
        assert any("detections.geojson.gz cannot be read" in line for line in problems(verify(folder)))

    def test_texts_with_line_ends_and_quotes_agree(self, inputs: Path, tmp_path: Path) -> None:
        points = tmp_path / "points.csv"
        points.write_text('id,x,y\n"a ""b"", c",579,1821.5\n"two\nlines",2104,598\n')
        folder = screen_slide(inputs / "sample.tiff", points, out=tmp_path / "out", model=inputs / "tiny").folder
        assert problems(verify(folder)) == []

    def test_results_of_older_versions_are_warned_of(self, slide: Path) -> None:
        edit_record(slide, lambda record: record.pop("output_sha256"))
        assert (problems(verify(slide)), len(warnings(verify(slide)))) == ([], 1)
        edit_record(slide, lambda record: (record.pop("key"), record["points"].pop("rows_sha256")))
        told = verify(slide)
        assert problems(told) == []
        assert sum("older version" in line for line in warnings(told)) == 3


class TestInputs:
    @pytest.fixture
    def own(self, tmp_path: Path, inputs: Path, slide: Path) -> Path:
        """Inputs of this test's own, which the record names."""
        root = copy_result(inputs, tmp_path / "inputs")
        names = {"slide": "sample.tiff", "points": "points.csv", "regions": "regions.geojson", "model": "tiny"}
        names |= {"named_regions": "fields.geojson"}
        paths = {name: str(root / file) for name, file in names.items()}
        edit_record(slide, lambda record: record["host"]["paths"].update(paths))
        assert verify(slide) == []
        return root

    @pytest.mark.parametrize(
        ("file", "name"),
        [("sample.tiff", "slide"), ("regions.geojson", "regions"), ("fields.geojson", "named_regions")],
    )
    def test_a_changed_file(self, own: Path, slide: Path, file: str, name: str) -> None:
        append(own / file)
        assert problems(verify(slide)) == [f"sample: {file} ({name}) is not what the result was made from; run again"]

    def test_changed_points_and_model(self, own: Path, slide: Path) -> None:
        drop_line(own / "points.csv", 3)
        spec = own / "tiny" / "spec.json"
        replace(spec, '"version": "0"', '"version": "1"')
        told = problems(verify(slide))
        assert [line.split(" ")[1] for line in told] == ["points.csv", "tiny"]
        append(own / "tiny" / "model.safetensors")
        assert "altered or damaged" in problems(verify(slide))[1]

    def test_files_that_are_gone_are_warned_of(self, own: Path, slide: Path) -> None:
        shutil.rmtree(own)
        told = verify(slide)
        assert problems(told) == []
        assert len(warnings(told)) == 5


class TestCohort:
    def test_an_untouched_cohort_has_no_problem(self, cohort: Places) -> None:
        told = verify(cohort.out)
        assert problems(told) == []
        assert warnings(told) == ["c: there is no result: the slide failed or was not screened yet"]

    @pytest.mark.parametrize(
        ("spoil", "found"),
        [
            (lambda p: append(p.folder("b") / "summary.json"), "b: summary.json was changed"),
            (lambda p: replace(p.out / "cohort.csv", "sample.tiff", "other.tiff"), "cohort.csv: cohort.csv and"),
            (lambda p: drop_line(p.out / "cohort.csv", 2), "cohort.csv has 3 rows, cohort.parquet 4"),
            (
                lambda p: drop_parquet_row(p.out / "cohort.parquet"),
                "cohort.csv: has 3 rows, the plan 4 slides (first a)",
            ),
            (lambda p: (p.out / "cohort.parquet").write_text("x"), "cohort.parquet: cannot be read"),
            (lambda p: edit_summary(p.folder("a"), n_amf=5), "cohort.csv: says n_amf"),
            (lambda p: edit_summary(p.folder("a"), mf_per_mm2=5.5), "says mf_per_mm2"),
            (lambda p: shutil.rmtree(p.folder("a")), "cohort.csv: says status done of a, its result failed"),
            (lambda p: fail(p, "a", "a.csv: is damaged"), "cohort.csv: says status done of a, its result failed"),
            (lambda p: p.failure("c").unlink(), "of c, its result not screened yet; collect again"),
            (
                lambda p: edit_record(p.folder("a"), lambda r: r["key"].update(slide="0" * 64)),
                "predictions: a.parquet was made from another result of its slide; collect again",
            ),
            (lambda p: replace(p.out / "cases.csv", "59", "59 "), "cases.csv: was changed after it was written"),
            (lambda p: append(p.out / "cohort.json"), "cohort.json: was changed after it was written"),
            (lambda p: append(p.out / "summary.md"), "summary.md: was changed after it was written"),
            (lambda p: append(p.out / "failures.csv"), "failures.csv: was changed"),
            (lambda p: (p.out / "methods.md").unlink(), "methods.md: is missing; collect again"),
            (lambda p: drop_line(p.out / "failures.csv", 1), "failures.csv: has 0 rows, cohort.csv 1"),
            (lambda p: (p.out / "failures.csv").unlink(), "failures.csv: cannot be read"),
            (
                lambda p: drop_line(p.out / "regions.csv", 3),
                "regions.csv: has 3 rows, the slides 4 regions (first b); collect again",
            ),
            (lambda p: (p.out / "regions.csv").write_text("slide_id\na\n"), "regions.csv: cannot be read"),
            (lambda p: drop_line(p.out / "cases.csv", 1), "cases.csv: sums 3 slides, cohort.csv has 4"),
            (lambda p: (p.out / "cases.csv").write_text("x\n"), "cases.csv: "),
            (lambda p: (p.out / "predictions" / "a.parquet").unlink(), "predictions: a.parquet is missing"),
            (lambda p: drop_parquet_row(p.out / "predictions" / "a.parquet"), "a.parquet has 61 rows, cohort.csv 62"),
            (
                lambda p: shutil.copy(p.out / "predictions" / "a.parquet", p.out / "predictions" / "c.parquet"),
                "c.parquet is",
            ),
            (
                lambda p: edit_part(p.out / "predictions" / "a.parquet"),
                "a.parquet has other rows than a/predictions.parquet",
            ),
            (lambda p: p.collected.write_text("{}"), "collected.json: cannot be read; collect again"),
            (lambda p: p.collected.write_text('{"output_sha256": ["x"]}'), "collected.json: cannot be read"),
            (lambda p: p.collected.write_text('{"output_sha256": {"cases.csv": 3}}'), "cases.csv: was changed"),
            (lambda p: p.collected.write_text("["), "collected.json: cannot be read"),
            (lambda p: edit_summary(p.folder("a"), hotspots=["x"]), "a: the result lacks fields or holds others"),
            (lambda p: edit_summary(p.folder("a"), hotspots=3), "a: the result lacks fields or holds others"),
            (lambda p: edit_summary(p.folder("a"), n_by_status=["x"]), "a: summary.json counts the statuses {}"),
            (
                lambda p: edit_record(p.folder("a"), lambda r: r["times"].update(seconds="abc")),
                "a: the result lacks fields or holds others; remove the folder and run again",
            ),
            (
                lambda p: edit_record(p.folder("a"), lambda r: r.update(key=[])),
                "of a, its result failed; collect again",
            ),
            (lambda p: (p.out / "cohort.json").write_text('{"n_by_status": ["x"]}'), "counts the statuses {}"),
            (
                lambda p: pq.write_table(
                    pq.read_table(p.out / "cohort.parquet").drop(["row"]), p.out / "cohort.parquet"
                ),
                "cohort.parquet: cannot be read",
            ),
            (lambda p: (p.out / "cohort.json").write_text("{}"), "cohort.json: counts the statuses {}"),
            (lambda p: (p.out / "cohort.json").unlink(), "cohort.json: cannot be read"),
            (lambda p: (p.out / ".wsiamf-a-abcdefgh").mkdir(), ".wsiamf-a-abcdefgh: a leftover"),
        ],
    )
    def test_a_spoilt_cohort_is_found(self, cohort: Places, spoil: Callable[[Places], Any], found: str) -> None:
        spoil(cohort)
        told = problems(verify(cohort.out))
        assert any(found in line for line in told), told

    def test_what_a_killed_run_left_half_written_is_no_slide_of_its_own(self, cohort: Places) -> None:
        told = warnings(verify(cohort.out))
        shutil.copytree(cohort.folder("a"), cohort.out / ".wsiamf-a-abcdefgh")
        left = verify(cohort.out)
        assert [line.partition(":")[0] for line in problems(left)] == [".wsiamf-a-abcdefgh"]
        assert warnings(left) == told

    @pytest.mark.parametrize("options", [None, ["min_score"]])
    def test_a_result_without_options(self, cohort: Places, options: Any) -> None:
        edit_record(cohort.folder("a"), lambda record: record.update(options=options))
        assert "a: run.json cannot be read" in problems(verify(cohort.out))

    def test_what_is_not_wrong_but_not_done_is_warned_of(self, cohort: Places, inputs: Path) -> None:
        items = [made_item(inputs, k + 1, name) for k, name in enumerate("ac")]
        write_made_plan(cohort.out, items, model=str(inputs / "tiny"), options=OPTIONS | {"min_score": 0.2})
        fail(cohort, "gone", "x")
        (cohort.out / "cohort.csv").unlink()
        (cohort.locks / "a.slide").write_text('{"host": "far", "pid": 1}')
        import os

        os.utime(cohort.locks / "a.slide", (0, 0))
        told = verify(cohort.out)
        assert problems(told) == []
        said = " | ".join(warnings(told))
        for words in (
            "b: the folder is no slide's",
            "a: its result was made with other options",
            "c: there is no result",
        ):
            assert words in said
        for words in ("gone: a failure is recorded", "cohort.csv: is missing", "locks of runs that were killed"):
            assert words in said

    @pytest.mark.parametrize("other", ["model", "error_rates", "algorithm_version"])
    def test_a_result_of_another_model_rates_or_algorithm_is_warned_of(self, cohort: Places, other: str) -> None:
        edit_record(cohort.folder("a"), lambda record: record["key"].update({other: "other"}))
        assert any(line.startswith("a: its result was made with") for line in warnings(verify(cohort.out)))

    def test_whole_results_of_an_older_algorithm_are_to_be_run_again_and_nothing_else(self, cohort: Places) -> None:
        for name in "ab":
            edit_record(cohort.folder(name), of_algorithm_2)
        told = verify(cohort.out)
        assert problems(told) == []
        another = "its result was made with another version of wsiamf's algorithm; run again"
        assert f"2 slides, the first a: {another}" in warnings(told)

    def test_tables_of_older_versions_are_warned_of(self, cohort: Places) -> None:
        cohort.collected.unlink()
        assert problems(verify(cohort.out)) == []
        assert any("could not be checked against hashes" in line for line in warnings(verify(cohort.out)))

    def test_warnings_of_many_slides_are_one_line(self, cohort: Places) -> None:
        for name in "ab":
            edit_record(cohort.folder(name), lambda record: record.pop("output_sha256"))
        assert sum("kept none" in line for line in warnings(verify(cohort.out))) == 1
        assert any(line.startswith("2 slides, the first a: files") for line in warnings(verify(cohort.out)))

    def test_a_run_at_work_is_left_alone(self, cohort: Places) -> None:
        import socket

        (cohort.out / ".wsiamf-c-abcdefgh").mkdir()
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        owner = {"host": socket.gethostname(), "pid": process.pid, "started": 1, "kind": "slide"}
        (cohort.locks / "c.slide").write_text(json.dumps(owner))
        try:
            told = verify(cohort.out)
        finally:
            process.kill()
            process.wait()
        assert problems(told) == []
        assert any("a run is at work here" in line for line in warnings(told))


def test_command(cohort: Places, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["verify", str(cohort.out)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "warning: c: there is no result: the slide failed or was not screened yet\n"
    assert "0 problems, 1 warnings" in shown.err
    (cohort.folder("a") / "predictions.csv").unlink()
    assert run(["verify", str(cohort.out), "--json"]) == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert {"level": "problem", "where": "a", "text": "predictions.csv is missing"} in faults
    (tmp_path / "empty").mkdir()
    assert run(["verify", str(tmp_path / "empty")]) == 1
    assert "holds neither a cohort nor a slide's results" in capsys.readouterr().err
    with pytest.raises(CohortError):
        verify(tmp_path / "gone")


def test_the_made_cohort_is_what_the_tests_take_it_for(collected: Path) -> None:
    assert pd.read_csv(collected / "cohort.csv")["status"].tolist() == ["done", "done", "failed", "no_candidates"]
