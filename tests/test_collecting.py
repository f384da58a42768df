"""A cohort's tables and pages from its slides' folders: every row of the manifest, the same bytes, nothing foreign touched."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from tests.made_results import (
    OPTIONS,
    made_item,
    made_record,
    read_json,
    write_failure,
    write_plan,
    write_result,
)
from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.cohort.collecting import Collected, collect
from wsiamf.cohort.items import Item
from wsiamf.cohort.places import RESULT_NAMES, Places
from wsiamf.cohort.rows import COLUMNS
from wsiamf.errors import CohortError
from wsiamf.inference import load_model
from wsiamf.predictions import read_predictions
from wsiamf.screen.key import ALGORITHM_VERSION
from wsiamf.spec import ErrorRates


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "out")


def slides_csv(places: Places) -> pd.DataFrame:
    return pd.read_csv(places.out / "cohort.csv")


def failures_csv(places: Places) -> pd.DataFrame:
    return pd.read_csv(places.out / "failures.csv")


def written(places: Places) -> dict[str, bytes]:
    paths = [path for path in places.out.rglob("*") if path.is_file()]
    names = {str(path.relative_to(places.out)): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if name.split("/")[0] in RESULT_NAMES}


def write_mixture(places: Places, order: tuple[int, ...] = (0, 1, 2, 3, 4)) -> list[Item]:
    """A slide of every status, its folders written in some order."""
    items = [
        made_item(1, case_id="A", tumor="breast", scanner="S1"),
        made_item(2, case_id="A", tumor="breast", scanner="S2"),
        made_item(3, case_id="B", tumor="lung"),
        made_item(4, case_id="B", tumor="lung"),
        made_item(5, case_id="C", points=None),
    ]
    steps: list[Callable[[], object]] = [
        lambda: write_result(places, items[0], 5, 25),
        lambda: write_result(places, items[1], 1, 2, warnings=["s2.svs: 3 blocks of the overview are unreadable."]),
        lambda: write_result(places, items[2], 0, 0),
        lambda: write_failure(places, "s4", reason="/made/slides/s4.svs: damaged | torn", kind="crash", attempts=2),
        lambda: write_plan(places, items),
    ]
    for step in order:
        steps[step]()
    return items


class TestRows:
    def test_every_row_of_the_manifest_in_its_order(self, places: Places) -> None:
        write_mixture(places)
        found = collect(places)
        rows = slides_csv(places)
        assert rows.columns.tolist() == COLUMNS.names
        assert rows["slide_id"].tolist() == ["s1", "s2", "s3", "s4", "s5"]
        assert rows["row"].tolist() == [1, 2, 3, 4, 5]
        assert rows["status"].tolist() == ["done", "few", "no_candidates", "failed", "no_candidates"]
        assert found.n_by_status == {"done": 1, "few": 1, "no_candidates": 2, "failed": 1}
        assert (found.n_failed, found.n_cases) == (1, 3)
        assert rows["slide"].tolist() == ["s1.svs", "s2.svs", "s3.svs", "s4.svs", "s5.svs"]
        assert rows["reason"][1] == "3 figures count, fewer than 10"

    def test_values_are_those_of_the_slide(self, places: Places) -> None:
        write_mixture(places)
        collect(places)
        row, summary = slides_csv(places).iloc[0], read_json(places.folder("s1") / "summary.json")
        assert (row["n_ok"], row["n_amf"], row["n_nmf"]) == (30, 5, 25)
        assert row["n_hard"] == summary["n_hard"]
        for name in ("amf_fraction", "amf_fraction_expected", "amf_to_nmf_ratio", "area_mm2", "mf_per_mm2"):
            assert row[name] == summary[name]
        for name in ("amf_fraction_sampling_interval", "amf_fraction_expected_interval95"):
            assert (row[f"{name}_low"], row[f"{name}_high"]) == (summary[name]["low"], summary[name]["high"])
        hotspot = summary["hotspots"][0]
        assert (row["hotspot_n"], row["hotspot_x_um"]) == (hotspot["n"], hotspot["x_um"])
        assert (row["mpp"], row["resampled"], row["backend"], row["seconds"]) == (0.25, False, "openvino", 1.5)
        assert rows_of(places, "n_warnings") == [0, 1, 0, None, None]
        assert rows_of(places, "warnings") == [
            None,
            "s2.svs: 3 blocks of the overview are unreadable.",
            None,
            None,
            None,
        ]
        assert rows_of(places, "flags") == [None, "n<10", "n<10; not_estimable", None, None]

    def test_types_do_not_depend_on_what_is_there(self, places: Places) -> None:
        write_plan(places, [made_item(1)])
        collect(places)
        assert pq.read_schema(places.out / "cohort.parquet").equals(COLUMNS)

    def test_only_the_last_column_holds_a_time(self, places: Places) -> None:
        items = write_mixture(places)
        collect(places)
        first = written(places)
        record = made_record(items[0]) | {"times": {"started": "2026-02-03T04:05:06+00:00", "seconds": 99.0}}
        places.record("s1").write_text(json.dumps(record))
        collect(places)
        changed = {name for name, content in written(places).items() if content != first[name]}
        assert changed == {"cohort.csv", "cohort.parquet"}
        assert COLUMNS.names[-1] == "seconds"


def rows_of(places: Places, column: str) -> list[Any]:
    values: list[Any] = pq.read_table(places.out / "cohort.parquet")[column].to_pylist()
    return values


class TestFailures:
    def test_reasons_come_from_the_engine_without_its_paths(self, places: Places) -> None:
        write_mixture(places)
        collect(places)
        row = failures_csv(places).iloc[0]
        assert row.tolist() == ["s4", 4, "crash", 2, "s4.svs: damaged | torn"]
        assert slides_csv(places)["reason"][3] == "s4.svs: damaged | torn"

    def test_a_failure_goes_before_a_result_that_stands_which_is_older(self, places: Places) -> None:
        write_mixture(places)
        write_failure(places, "s1")
        collect(places)
        assert slides_csv(places)["status"][0] == "failed"

    def test_all_failed_still_writes_everything(self, places: Places) -> None:
        write_plan(places, [made_item(1, case_id="A"), made_item(2)])
        found = collect(places)
        assert found.n_failed == 2
        assert {path.name for path in places.out.iterdir()} == {*RESULT_NAMES, ".wsiamf-cohort"}
        assert failures_csv(places)["reason"].tolist() == ["not screened yet", "not screened yet"]
        document = read_json(places.out / "cohort.json")
        assert document["overall"]["pooled_amf_fraction"] is None
        assert "not estimable" in document["overall"]["pooled_amf_fraction_status"]
        assert "nothing can be estimated" in (places.out / "summary.md").read_text()

    def test_no_row_at_all(self, places: Places) -> None:
        write_plan(places, [])
        assert collect(places).n_cases == 0
        assert slides_csv(places).empty

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"options": OPTIONS | {"min_score": 0.5}}, "other options than the plan's"),
            ({"options": OPTIONS | {"mpp": 0.5}}, "other options than the plan's"),
            ({"algorithm_version": "0", "options": {}}, "another version of wsiamf's algorithm"),
            ({"model": "00" * 32}, "another model than the plan's"),
            ({"error_rates": {"domain": "mine"}}, "other error rates than the plan's"),
        ],
    )
    def test_a_result_of_another_plan_is_not_taken(self, places: Places, changes: dict[str, Any], said: str) -> None:
        item = made_item(1)
        write_plan(places, [item])
        write_result(places, item, 5, 25, key=made_record(item)["key"] | changes)
        collect(places)
        assert failures_csv(places)["reason"].tolist() == [f"its result was made with {said}; run again"]
        assert list((places.out / "predictions").iterdir()) == []

    def test_the_rows_own_mpp_and_the_users_error_rates_are_in_the_plan(self, places: Places, tmp_path: Path) -> None:
        rates = ErrorRates(domain="mine", threshold="count", n_amf=50, n_nmf=200, sensitivity=0.8, specificity=0.9)
        (tmp_path / "rates.json").write_text(rates.model_dump_json())
        item = made_item(1, mpp=0.5)
        write_plan(places, [item], error_rates=str(tmp_path / "rates.json"))
        write_result(places, item, 5, 25, key=made_record(item)["key"] | {"error_rates": rates.model_dump(mode="json")})
        assert collect(places).n_failed == 0
        assert "corrected for error rates measured on mine" in (places.out / "methods.md").read_text()

    @pytest.mark.parametrize("name", ["run.json", "summary.json", "predictions.parquet"])
    def test_a_damaged_result_fails_by_name(self, places: Places, name: str) -> None:
        item = made_item(1)
        write_plan(places, [item])
        write_result(places, item, 5, 25)
        (places.folder("s1") / name).write_bytes(b"{}")
        collect(places)
        row = failures_csv(places).iloc[0]
        assert row["kind"] == "damaged"
        assert name in row["reason"]

    @pytest.mark.parametrize(
        ("name", "fields"), [("summary.json", {"hotspots": [3]}), ("run.json", {"times": {"seconds": "abc"}})]
    )
    def test_a_result_with_fields_of_another_kind_is_damaged(
        self, places: Places, name: str, fields: dict[str, Any]
    ) -> None:
        item = made_item(1)
        write_plan(places, [item])
        write_result(places, item, 5, 25)
        path = places.folder("s1") / name
        path.write_text(json.dumps(read_json(path) | fields))
        collect(places)
        row = failures_csv(places).iloc[0]
        assert (row["kind"], row["reason"]) == (
            "damaged",
            "s1: its result lacks fields; remove the folder and run again",
        )

    @pytest.mark.parametrize("attempts", ["1e400", "null", '"two"'])
    def test_a_damaged_record_of_a_failure_counts_for_none(self, places: Places, attempts: str) -> None:
        write_plan(places, [made_item(1)])
        write_failure(places, "s1")
        path = places.failure("s1")
        whole = path.read_text()
        path.write_text(whole.replace('"attempts": 1', f'"attempts": {attempts}'))
        assert path.read_text() != whole
        collect(places)
        assert failures_csv(places)["reason"].tolist() == ["not screened yet"]

    def test_without_a_plan_there_is_no_cohort(self, places: Places) -> None:
        places.out.mkdir()
        with pytest.raises(CohortError, match="no plan"):
            collect(places)
        assert list(places.out.iterdir()) == []


class TestSameBytes:
    def test_whatever_the_order_in_which_slides_were_done(self, tmp_path: Path) -> None:
        outputs = []
        for name, order in (("a", (0, 1, 2, 3, 4)), ("b", (4, 3, 2, 1, 0))):
            places = Places(tmp_path / name)
            write_mixture(places, order)
            collect(places)
            outputs.append(written(places))
        assert outputs[0] == outputs[1]
        assert len(outputs[0]) == 12

    def test_collecting_again_changes_nothing_and_leaves_parts_alone(self, places: Places) -> None:
        write_mixture(places)
        collect(places)
        part = places.out / "predictions" / "s1.parquet"
        first, inode = written(places), part.stat().st_ino
        collect(places)
        assert written(places) == first
        assert part.stat().st_ino == inode

    def test_no_path_or_host(self, places: Places) -> None:
        write_mixture(places)
        collect(places)
        for name, content in written(places).items():
            for word in (str(places.out), "/made/", socket.gethostname()):
                assert word.encode() not in content, name

    def test_the_seed_moves_intervals_alone(self, places: Places) -> None:
        items = [made_item(row, case_id=str(row)) for row in range(1, 13)]
        write_plan(places, items)
        for item in items:
            write_result(places, item, item.row % 4, 3 + item.row)
        first, second = collect(places, seed=0).document["overall"], collect(places, seed=1).document["overall"]
        assert first["pooled_amf_fraction_interval95"] != second["pooled_amf_fraction_interval95"]
        assert {name: value for name, value in first.items() if "interval95" not in name} == {
            name: value for name, value in second.items() if "interval95" not in name
        }


class TestPredictions:
    def test_one_data_set_of_all_slides(self, places: Places) -> None:
        write_mixture(places)
        collect(places)
        folder = places.out / "predictions"
        table = pd.read_parquet(folder)
        assert table.columns[:3].tolist() == ["slide_id", "case_id", "candidate_id"]
        assert table.groupby("slide_id").size().to_dict() == {"s1": 30, "s2": 3}
        assert set(table["case_id"]) == {"A"}
        assert pyarrow.dataset.dataset(folder).count_rows() == 33
        own = read_predictions(places.folder("s1"))
        kept = table[table["slide_id"] == "s1"].drop(columns=["slide_id", "case_id"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, own)

    def test_a_part_follows_its_result_and_its_case(self, places: Places) -> None:
        item = made_item(1, case_id="A")
        write_plan(places, [item])
        write_result(places, item, 5, 25)
        collect(places)
        write_plan(places, [made_item(1, case_id="B")])
        collect(places)
        assert set(pd.read_parquet(places.out / "predictions")["case_id"]) == {"B"}

    def test_parts_of_other_slides_go_and_foreign_files_stay(self, places: Places) -> None:
        items = write_mixture(places)
        collect(places)
        folder = places.out / "predictions"
        pd.DataFrame({"x": [1]}).to_parquet(folder / "mine.parquet")
        (folder / "notes.txt").write_text("mine")
        (folder / ".wsiamf-abcd1234.parquet").write_bytes(b"torn")
        (places.out / ".wsiamf-abcd1234.csv").write_bytes(b"torn")
        write_plan(places, items[1:])
        collect(places)
        assert {path.name for path in folder.iterdir()} == {"s2.parquet", "s3.parquet", "mine.parquet", "notes.txt"}
        assert not (places.out / ".wsiamf-abcd1234.csv").exists()


class TestPages:
    def test_summary_opens_with_the_flow(self, places: Places) -> None:
        write_mixture(places)
        collect(places)
        page = (places.out / "summary.md").read_text()
        opening = page.split("\n\n")[1]
        assert opening.startswith(
            "5 slides listed; 3 read, 1 failed; 2 with candidates, 2 with a figure that counts, 1 with 10"
        )
        assert "3 cases, 1 with figures, 1 incomplete" in opening
        assert "33 figures of 1 case: 6 atypical (AMF), 27 normal (NMF)" in page
        assert "18.2%" in page
        assert "fewer than 10 cases" in page
        assert "Research use only" in page
        assert "| s4 | crash | 2 | s4.svs: damaged \\| torn |" in page
        assert "- 1 slide: 3 blocks of the overview are unreadable." in page
        assert "1 case has slides with several values of scanner (A: S1, S2)" in page

    def test_a_warning_keeps_the_numbers_that_are_the_same_on_all_slides(self, places: Places) -> None:
        items = [made_item(1, case_id="A"), made_item(2, case_id="B")]
        for item, n in zip(items, (3, 40), strict=True):
            said = f"{n} rows closer than 7.5 um were merged"
            write_result(places, item, 1, 2, warnings=[f"s{n}.svs: {said}", f"s{n}.svs: 2 of 9 tiles are blank"])
        write_plan(places, items)
        assert collect(places).document["warnings"]["slides"] == [
            {"text": "2 of 9 tiles are blank", "n_slides": 2},
            {"text": "… rows closer than 7.5 um were merged", "n_slides": 2},
        ]

    def test_methods_say_what_was_done(self, places: Places) -> None:
        items = write_mixture(places)
        collect(places)
        page = (places.out / "methods.md").read_text()
        record = made_record(items[0])
        for said in (
            f"wsiamf 0.1.0 (algorithm version {ALGORITHM_VERSION})",
            f"{record['model']['title']} (sha256 {record['model']['sha256']})",
            "openvino, f32, on cpu",
            "Crops were read at the slides' own resolution.",
            "`ami-br-2025`",
            "probability of 0.4 (`count`)",
            "closer than 7.5 µm",
            "a tissue mask (3 slides)",
            "rectangle of 2.37 mm²",
            "10,000 draws, seed 0",
            "Measured coverage",
            "5 slides listed; 3 read",
            "doi:10.1038/s41379-021-00825-7",
        ):
            assert said in page
        assert "score below" not in page

    def test_methods_name_resampled_slides(self, places: Places) -> None:
        items = write_mixture(places)
        reading = {"level": 0, "resampled": True, "upsampled": True}
        places.record("s2").write_text(json.dumps(made_record(items[1]) | {"reading": reading}))
        collect(places)
        page = (places.out / "methods.md").read_text()
        assert "Crops of 1 of 3 slides were resampled to the model's resolution, 1 of them from a coarser one." in page

    def test_mixed_backends_are_said(self, places: Places) -> None:
        items = write_mixture(places)
        places.record("s2").write_text(json.dumps(made_record(items[1]) | {"backend": "torch"}))
        found = collect(places)
        assert any("2 backends" in text for text in found.warnings)


class TestScreened:
    """Results of the screening itself."""

    @pytest.fixture
    def screened(self, tmp_path: Path, sample_data: Path) -> Collected:
        model = tiny_bundle(tmp_path / "tiny")
        places = Places(tmp_path / "out")
        item = Item(1, "sample", sample_data / "sample.tiff", sample_data / "points.csv", case_id="A")
        classifier = load_model(model.folder, device="cpu", backend="torch")
        screen_slide(item.slide, str(item.points), out=places.out, model=classifier, slide_id="sample", hotspot_mm2=0.1)
        record = read_json(places.record("sample"))
        write_plan(places, [item], model=str(model.folder), options=record["options"])
        return collect(places)

    def test_a_screened_slide_is_collected(self, screened: Collected) -> None:
        assert screened.n_failed == 0
        row = pd.read_csv(screened.out / "cohort.csv").iloc[0]
        summary = read_json(screened.out / "sample" / "summary.json")
        assert (row["status"], row["n_ok"], row["n_amf"]) == ("done", summary["n_ok"], summary["n_amf"])
        assert len(pd.read_parquet(screened.out / "predictions")) == summary["n_candidates"]
        assert screened.document["overall"]["n_ok"] == summary["n_ok"]
