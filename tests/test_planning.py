"""The plan of a cohort, and what of it is still due."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.candidates.own_rows import own_rows_sha256
from wsiamf.cohort.items import Classes, Item
from wsiamf.cohort.manifest import read_manifest
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import Due, Plan, describe, due, options_of, read_plan, shard, write_plan
from wsiamf.config import ScreenOptions
from wsiamf.errors import CohortError, ConfigError, OutputError
from wsiamf.files import fingerprint, sha256_file
from wsiamf.inference import Classifier
from wsiamf.screen.key import run_key
from wsiamf.slides import open_slide, read_fingerprint
from wsiamf.spec import load_error_rates

CLASSES = Classes("openvino", "f32", "cpu", "b" * 64)


@pytest.fixture(scope="module")
def tiff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pyramid_tiff(tmp_path_factory.mktemp("tiff") / "slide.tiff", coordinate_coded(64, 64), 0.25, levels=1)


@pytest.fixture
def plan(tmp_path: Path, tiff: Path) -> Plan:
    """Five slides, the last without candidates; one with regions, one with an mpp of its own."""
    items = []
    for row, name in enumerate("abcde", start=1):
        slide = tmp_path / "slides" / f"{name}.tiff"
        slide.parent.mkdir(exist_ok=True)
        slide.write_bytes(tiff.read_bytes() + name.encode())
        items.append(Item(row, name, slide, tmp_path / "points.csv", "case"))
    (tmp_path / "points.csv").write_text("slide,x,y\n" + "".join(f"{name}.tiff,1,2\n" for name in "abcd"))
    (tmp_path / "roi.json").write_text("{}")
    items[1] = replace(items[1], roi=tmp_path / "roi.json")
    items[2] = replace(items[2], mpp=0.3)
    items[4] = replace(items[4], points=None)
    options = ScreenOptions().model_dump(mode="json")
    compute = {"backend": "auto", "device": "auto", "batch_size": None, "precision": "auto"}
    manifest = {"name": "manifest.csv", "sha256": "0" * 64}
    return Plan(manifest, None, None, options, compute, tuple(items))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "out")


def record(plan: Plan, places: Places, item: Item, classes: Classes = CLASSES) -> None:
    """Write what a screening of the item would record, computed here from the files themselves."""
    assert item.points is not None
    key = run_key(
        fingerprint=fingerprint([item.slide]),
        points_rows_sha256=own_rows_sha256(item.points, item.slide.name, None),
        regions_sha256=sha256_file(item.roi) if item.roi else None,
        named_regions_sha256=None,
        options=options_of(item, ScreenOptions.model_validate(plan.options)),
        error_rates=load_error_rates(Path(plan.error_rates)) if plan.error_rates else None,
        **asdict(classes),
    )
    folder = places.folder(item.slide_id)
    folder.mkdir(parents=True, exist_ok=True)
    places.record(item.slide_id).write_text(json.dumps({"schema": "wsiamf.run/1", "key": key}))


def fail(places: Places, slide_id: str, reason: str) -> None:
    places.failures.mkdir(parents=True, exist_ok=True)
    places.failure(slide_id).write_text(json.dumps({"slide_id": slide_id, "reason": reason, "attempts": 1}))


def record_all(plan: Plan, places: Places) -> None:
    for item in plan.items[:4]:
        record(plan, places, item)


def ids(items: tuple[Item, ...]) -> str:
    return "".join(item.slide_id for item in items)


def words(found: Due) -> dict[str, str]:
    return {name: str(one) for name, one in found.judged.items()}


def with_options(plan: Plan, **changes: Any) -> Plan:
    return replace(plan, options=plan.options | changes)


class TestPlan:
    def test_it_comes_back_as_it_was_written(self, plan: Plan, places: Places) -> None:
        write_plan(plan, places)
        assert read_plan(places) == plan
        first = places.plan.read_bytes()
        write_plan(plan, places)
        assert places.plan.read_bytes() == first
        assert [path.name for path in places.state.iterdir()] == ["plan.json"]
        assert next(iter(json.loads(first))) == "schema"

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"schema": "wsiamf.cohort-plan/2"}', '{"schema": "wsiamf.cohort-plan/1"}']
    )
    def test_what_is_no_plan(self, places: Places, text: str) -> None:
        with pytest.raises(CohortError, match=r"out: holds no plan of a cohort"):
            read_plan(places)
        places.state.mkdir(parents=True)
        places.plan.write_text(text)
        with pytest.raises(CohortError, match=r"plan\.json: "):
            read_plan(places)

    def test_a_place_that_cannot_be_written_to(self, plan: Plan, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot be written"):
            write_plan(plan, Places(tmp_path / "file"))

    def test_shards_part_the_items(self, plan: Plan) -> None:
        parts = [shard(plan.items, i, 3) for i in (1, 2, 3)]
        assert [ids(part) for part in parts] == ["ad", "be", "c"]
        assert shard(plan.items, 1, 1) == plan.items
        assert shard(plan.items, 9, 9) == ()
        for i, n in ((0, 3), (4, 3), (1, 0)):
            with pytest.raises(ConfigError, match=f"--shard {i}/{n}"):
                shard(plan.items, i, n)


class TestDue:
    def test_nothing_stands_yet(self, plan: Plan, places: Places) -> None:
        seen: list[tuple[int, int]] = []
        found = due(plan, places, CLASSES, on_progress=lambda *n: seen.append(n))
        assert ids(found.todo) == "abcd"
        assert ids(found.without_candidates) == "e"
        assert words(found) == dict.fromkeys("abcd", "new") | {"e": "no candidates"}
        assert seen == [(n, 5) for n in range(1, 6)]

    def test_all_is_done(self, plan: Plan, places: Places) -> None:
        record_all(plan, places)
        found = due(plan, places, CLASSES)
        assert (ids(found.done), found.todo, found.mixed) == ("abcd", (), ())
        assert not found.invalidated

    def test_only_the_items_asked_for(self, plan: Plan, places: Places) -> None:
        record(plan, places, plan.items[0])
        found = due(plan, places, CLASSES, shard(plan.items, 1, 2))
        assert (ids(found.done), ids(found.todo), ids(found.without_candidates)) == ("a", "c", "e")
        assert found.left_alone == ()

    def test_a_changed_option_says_what_it_invalidates(self, plan: Plan, places: Places) -> None:
        record_all(plan, places)
        found = due(with_options(plan, min_score=0.5, mpp=0.25), places, CLASSES)
        assert ids(found.todo) == "abcd"
        assert found.invalidated == {"options.min_score none -> 0.5": 4, "options.mpp none -> 0.25": 3}
        assert words(found)["c"] == "changed: options.min_score none -> 0.5"  # its mpp is the manifest's

    def changed_slide(self, plan: Plan) -> Plan:
        with plan.items[0].slide.open("ab") as stream:
            stream.write(b"more")
        return plan

    def changed_points(self, plan: Plan) -> Plan:
        path = plan.items[0].points
        assert path is not None
        path.write_text(path.read_text().replace("a.tiff,1,2", "a.tiff,1,3"))
        return plan

    def changed_roi(self, plan: Plan) -> Plan:
        assert plan.items[1].roi is not None
        plan.items[1].roi.write_text("[]")
        return plan

    def changed_mpp(self, plan: Plan) -> Plan:
        return replace(plan, items=(*plan.items[:2], replace(plan.items[2], mpp=0.31), *plan.items[3:]))

    def with_fields(self, plan: Plan) -> Plan:
        fields = plan.items[0].slide.with_name("fields.json")
        fields.write_text("[]")
        return replace(plan, items=(replace(plan.items[0], regions=fields), *plan.items[1:]))

    def no_roi(self, plan: Plan) -> Plan:
        return replace(plan, items=(plan.items[0], replace(plan.items[1], roi=None), *plan.items[2:]))

    @pytest.mark.parametrize(
        ("change", "who", "why"),
        [
            (changed_slide, "a", "changed: slide"),
            (changed_points, "a", "changed: points"),
            (changed_roi, "b", "changed: regions"),
            (no_roi, "b", "changed: regions left out"),
            (with_fields, "a", "changed: named_regions given"),
            (changed_mpp, "c", "changed: options.mpp 0.3 -> 0.31"),
        ],
    )
    def test_a_change_of_one_slides_input(
        self, plan: Plan, places: Places, change: Callable[[TestDue, Plan], Plan], who: str, why: str
    ) -> None:
        record_all(plan, places)
        found = due(change(self, plan), places, CLASSES)
        assert (ids(found.todo), words(found)[who]) == (who, why)

    def test_rows_of_another_slide_change_nothing(self, plan: Plan, places: Places) -> None:
        record_all(plan, places)
        path = plan.items[0].points
        assert path is not None
        path.write_text(path.read_text().replace("d.tiff,1,2", "d.tiff,5,5\nnew.tiff,1,1"))
        assert ids(due(plan, places, CLASSES).todo) == "d"

    def test_other_error_rates(self, plan: Plan, places: Places, tmp_path: Path) -> None:
        rates = tmp_path / "rates.json"
        values = {"domain": "x", "threshold": "count", "n_amf": 9, "n_nmf": 9, "sensitivity": 0.8, "specificity": 0.9}
        rates.write_text(json.dumps(values))
        record_all(plan, places)
        measured = replace(plan, error_rates=str(rates))
        assert due(measured, places, CLASSES).invalidated == {"error_rates given": 4}
        record_all(measured, places)
        assert ids(due(measured, places, CLASSES).done) == "abcd"
        rates.write_text("{}")
        with pytest.raises(ConfigError, match=r"rates\.json"):
            due(measured, places, CLASSES)

    def test_another_model_is_a_change_and_another_device_a_mixture(self, plan: Plan, places: Places) -> None:
        record_all(plan, places)
        assert ids(due(plan, places, replace(CLASSES, model_sha256="c" * 64)).todo) == "abcd"
        on_gpu = replace(CLASSES, backend="torch", device_class="cuda")
        found = due(plan, places, on_gpu)
        assert (ids(found.mixed), found.todo, found.done) == ("abcd", (), ())
        assert words(found)["a"] == "mixed: backend openvino -> torch, device_class cpu -> cuda"
        assert not found.invalidated
        record(plan, places, plan.items[0], on_gpu)
        assert (ids(due(plan, places, on_gpu).done), ids(due(plan, places, on_gpu).mixed)) == ("a", "bcd")
        assert ids(due(with_options(plan, seed=1), places, on_gpu).todo) == "abcd"

    def test_failed_before(self, plan: Plan, places: Places) -> None:
        record(plan, places, plan.items[1])
        fail(places, "a", "a.tiff: incomplete\nat byte 7")
        fail(places, "b", "out of memory")
        places.failure("c").write_text("{")
        found = due(with_options(plan, seed=1), places, CLASSES)
        assert words(found)["a"] == "failed before: a.tiff: incomplete at byte 7"
        assert words(found)["b"] == "changed: options.seed 0 -> 1; failed before: out of memory"
        assert words(found)["c"] == "failed before: reason not readable"
        assert ids(found.todo) == "abcd"

    def test_what_cannot_be_read_is_due(self, plan: Plan, places: Places) -> None:
        record_all(plan, places)
        plan.items[0].slide.unlink()
        assert plan.items[1].roi is not None
        plan.items[1].roi.unlink()
        found = due(plan, places, CLASSES)
        assert ids(found.todo) == "ab"
        assert words(found)["a"].startswith("changed: cannot be read as before: ")
        assert plan.items[0].points is not None
        plan.items[0].points.write_text("slide,x,y\nz.tiff,1,1\n")
        assert ids(due(plan, places, CLASSES).todo) == "abcd"

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 3}', '{"schema": "wsiamf.run/1"}'])
    def test_a_record_without_a_key_is_out_of_date(self, plan: Plan, places: Places, text: str) -> None:
        record_all(plan, places)
        places.record("a").write_text(text)
        found = due(plan, places, CLASSES)
        assert words(found)["a"] == "changed: recorded by an older version"
        assert ids(found.done) == "bcd"

    def test_a_folder_without_a_record_is_new(self, plan: Plan, places: Places) -> None:
        places.folder("a").mkdir(parents=True)
        (places.folder("a") / "summary.json").write_text("{}")
        assert words(due(plan, places, CLASSES))["a"] == "new"

    def test_results_of_slides_that_left_the_manifest_are_left_alone(self, plan: Plan, places: Places) -> None:
        record_all(plan, places)
        (places.out / "notes").mkdir()
        found = due(replace(plan, items=plan.items[2:]), places, CLASSES)
        assert found.left_alone == ("a", "b")
        assert places.record("a").is_file()


def test_the_plan_in_words(plan: Plan, places: Places) -> None:
    for item in plan.items[:2]:
        record(plan, places, item)
    fail(places, "c", "timed out")
    changed = with_options(plan, min_score=0.5)
    record(changed, places, plan.items[0])
    shutil.copytree(places.folder("a"), places.folder("old"))
    assert describe(changed, due(changed, places, CLASSES)) == (
        "a: keep (done)\n"
        "b: screen (changed: options.min_score none -> 0.5)\n"
        "c: screen (failed before: timed out)\n"
        "d: screen (new)\n"
        "e: leave out (no candidates)\n"
        "5 slides: 3 to screen (1 new, 1 changed, 1 failed before), 1 done, 1 without candidates.\n"
        "Out of date by options.min_score none -> 0.5: 1 results.\n"
        "Left alone, not in the manifest: 1 folders of results (old).\n"
    )
    on_gpu = replace(CLASSES, device_class="cuda")
    said = describe(changed, due(changed, places, on_gpu, plan.items[:1]))
    assert said.startswith(
        "a: keep or stop (mixed: device_class cpu -> cuda)\n"
        "1 slides: 0 to screen, 0 done, 1 done by another backend, precision or device class (see --allow-mixed).\n"
    )


def test_a_real_screening_is_done(tmp_path: Path) -> None:
    """From the manifest through ``screen_slide`` to the next plan, with regions of both kinds and an mpp of the manifest's."""
    slide = write_pyramid_tiff(tmp_path / "slide.tiff", coordinate_coded(600, 500), 0.25)
    (tmp_path / "points.csv").write_text("slide,x,y\nslide.tiff,200,200\nother.tiff,1,1\n")
    (tmp_path / "roi.json").write_text('{"type": "Polygon", "coordinates": [[[0, 0], [500, 0], [500, 400], [0, 0]]]}')
    square = {"type": "Polygon", "coordinates": [[[9, 9], [300, 9], [300, 300], [9, 9]]]}
    fields = {"type": "Feature", "geometry": square, "properties": {"name": "A"}}
    (tmp_path / "fields.json").write_text(json.dumps(fields))
    header = "slide,points,slide_id,roi,regions,mpp"
    (tmp_path / "m.csv").write_text(f"{header}\nslide.tiff,points.csv,007,roi.json,fields.json,0.26\n")
    items = read_manifest(tmp_path / "m.csv")
    options = ScreenOptions(seed=3)
    model = Classifier(tiny_bundle(tmp_path / "tiny"), device="cpu")
    chosen = options_of(items[0], options).model_dump()
    assert items[0].points is not None
    chosen |= {"roi": items[0].roi, "regions": items[0].regions}
    screen_slide(slide, items[0].points, out=tmp_path / "out", model=model, slide_id="007", **chosen)
    backend = model.backend
    classes = Classes(backend.name, backend.precision, backend.device_class, model.bundle.sha256)
    plan = Plan({}, None, None, options.model_dump(mode="json"), {}, tuple(items))
    found = due(plan, Places(tmp_path / "out"), classes)
    assert words(found) == {"007": "done"}
    fields["properties"] = {"name": "B"}
    (tmp_path / "fields.json").write_text(json.dumps(fields))
    assert words(due(plan, Places(tmp_path / "out"), classes)) == {"007": "changed: named_regions"}


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "boxes.tiff", "boxes_0.dcm", "small.svs"])
def test_the_fingerprint_of_a_slide_that_is_not_opened(shared_data: Path, tmp_path: Path, name: str) -> None:
    for source in ("boxes_0.dcm", "boxes_1.dcm", name):
        if not (tmp_path / source).exists():
            shutil.copyfile(shared_data / "slides" / source, tmp_path / source)
    with open_slide(tmp_path / name) as slide:
        assert read_fingerprint(tmp_path / name) == slide.fingerprint
    os.truncate(tmp_path / name, 100)
    assert read_fingerprint(tmp_path / name) == fingerprint([tmp_path / name])
