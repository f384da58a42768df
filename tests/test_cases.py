"""Slides to cases: sums by hand, incomplete cases, conflicting properties, the densest hotspot."""

from __future__ import annotations

from typing import Any

import pytest

from wsiamf.cohort.cases import COLUMNS, case_row, case_warnings, gather_cases
from wsiamf.cohort.rows import as_table

_NOT_STATED: dict[str, Any] = {"group": None, "tumor": None, "scanner": None}


def slide_row(
    slide_id: str, case_id: str | None = "A", n_amf: int = 4, n_nmf: int = 8, **values: Any
) -> dict[str, Any]:
    n = n_amf + n_nmf
    row: dict[str, Any] = {
        "slide_id": slide_id,
        "case_id": case_id,
        "status": "done",
        "group": None,
        "tumor": None,
        "scanner": None,
    }
    row |= {"n_candidates": n, "n_ok": n, "n_amf": n_amf, "n_nmf": n_nmf, "n_hard": 1, "n_amf_expected": n_amf + 0.5}
    row |= {"area_mm2": 2.0, "hotspot_n": n, "hotspot_n_amf": n_amf, "hotspot_amf_fraction": n_amf / max(1, n)}
    return row | values


def failed(slide_id: str, case_id: str | None = "A", **values: Any) -> dict[str, Any]:
    return {"slide_id": slide_id, "case_id": case_id, "status": "failed"} | _NOT_STATED | values


def only_row(*rows: dict[str, Any]) -> dict[str, Any]:
    (case,) = gather_cases(rows)
    return case_row(case)


class TestSums:
    def test_sums_over_slides(self) -> None:
        row = only_row(slide_row("s1", n_amf=4, n_nmf=8), slide_row("s2", n_amf=1, n_nmf=7, area_mm2=3.0))
        assert (row["n_slides"], row["n_slides_done"], row["status"]) == (2, 2, "complete")
        assert (row["n_ok"], row["n_amf"], row["n_nmf"], row["n_hard"]) == (20, 5, 15, 2)
        assert row["amf_fraction"] == 0.25
        assert row["amf_fraction_expected"] == 0.3
        assert row["amf_to_nmf_ratio"] == pytest.approx(1 / 3, abs=1e-6)
        assert (row["area_mm2"], row["mf_per_mm2"], row["amf_per_mm2"]) == (5.0, 4.0, 1.0)

    def test_the_densest_single_hotspot(self) -> None:
        row = only_row(
            slide_row("s1", hotspot_n=7), slide_row("s2", hotspot_n=9, hotspot_n_amf=2), slide_row("s3", hotspot_n=9)
        )
        assert (row["hotspot_slide_id"], row["hotspot_n"], row["hotspot_n_amf"]) == ("s2", 9, 2)

    def test_no_hotspot_anywhere(self) -> None:
        row = only_row(slide_row("s1", hotspot_n=None))
        assert "hotspot_n" not in row
        assert as_table([row], COLUMNS)["hotspot_n"].to_pylist() == [None]

    def test_no_figure_is_no_share(self) -> None:
        row = only_row(slide_row("s1", n_amf=0, n_nmf=0, n_amf_expected=0.0, status="no_candidates"))
        assert (row["status"], row["n_ok"], row["amf_fraction"], row["mf_per_mm2"]) == ("no_candidates", 0, None, 0.0)
        assert row["amf_fraction_expected"] is None

    def test_only_amf_have_no_ratio(self) -> None:
        assert only_row(slide_row("s1", n_amf=3, n_nmf=0))["amf_to_nmf_ratio"] is None

    def test_hard_is_unknown_without_a_head_for_it(self) -> None:
        assert only_row(slide_row("s1", n_hard=None)).get("n_hard") is None


class TestStatus:
    def test_a_failed_slide_makes_it_incomplete(self) -> None:
        row = only_row(slide_row("s1"), failed("s2"))
        assert (row["status"], row["n_slides"], row["n_slides_done"], row["n_ok"]) == ("incomplete", 2, 1, 12)

    def test_nothing_is_summed_where_all_failed(self) -> None:
        table = as_table([only_row(failed("s1"))], COLUMNS)
        assert table["status"].to_pylist() == ["incomplete"]
        assert table["n_ok"].to_pylist() == [None]

    def test_few_by_the_sum(self) -> None:
        assert only_row(slide_row("s1", n_amf=1, n_nmf=5))["status"] == "few"
        assert only_row(slide_row("s1", n_amf=1, n_nmf=5), slide_row("s2", n_amf=1, n_nmf=5))["status"] == "complete"


class TestIdentity:
    def test_without_case_id_a_slide_is_a_case_and_a_warning_says_so(self) -> None:
        cases = gather_cases([slide_row("s1", None), slide_row("s2", None), slide_row("s3", "s1")])
        assert [(case.name, case.is_slide) for case in cases] == [("s1", True), ("s2", True), ("s1", False)]
        assert case_warnings(cases)[0].startswith("2 of 3 slides have no case_id")

    def test_conflicts_are_named_and_kept_as_mixed(self) -> None:
        rows = [slide_row("s1", tumor="lung", scanner="S1"), slide_row("s2", tumor="breast", scanner="S2")]
        cases = gather_cases(rows)
        row = case_row(cases[0])
        assert (row["tumor"], row["scanner"], row["group"]) == ("mixed", "mixed", None)
        tumor, scanner = case_warnings(cases)
        assert "case A: its slides state several values of tumor (breast, lung)" in tumor
        assert "count more than once" in scanner

    def test_what_one_slide_leaves_out_another_states(self) -> None:
        cases = gather_cases([slide_row("s1"), slide_row("s2", group="g1")])
        assert case_row(cases[0])["group"] == "g1"
        assert case_warnings(cases) == []
