"""A cohort's page: flow, figures, strata, ranks, the table of slides, failures; and nothing of the machine."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from typing import Any

import pytest

from tests.made_results import made_item, write_failure, write_plan, write_result
from tests.page_reader import check_page, read_page
from wsiamf.cohort.collecting import collect
from wsiamf.cohort.places import Places
from wsiamf.cohort.reporting import report_results, write_cohort_report
from wsiamf.cohort.verifying import verify
from wsiamf.errors import OutputExistsError
from wsiamf.report import Reference
from wsiamf.report.ranked import ranked_plot

HOSTILE = "<script>alert(1)</script>\"'&{{ 1/0 }}"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Twelve slides of eleven cases: ten with figures, one without any, one failed; hostile names of case and scanner."""
    places = Places(tmp_path_factory.mktemp("cohort") / "out")
    stated = [{"scanner": HOSTILE if row % 2 else "GT450", "group": "a" if row < 5 else "b"} for row in range(1, 13)]
    items = [made_item(row, case_id=f"case {max(row, 2)}", **own) for row, own in enumerate(stated, start=1)]
    items[3] = replace(items[3], case_id=HOSTILE)
    write_plan(places, items)
    for item in items[:10]:
        write_result(places, item, item.row, 3 * item.row + (item.row % 3))
    write_result(places, items[10], 0, 0)
    write_failure(places, "s12", reason=f"{items[11].slide}: {HOSTILE}")
    (places.folder("s2") / "report.html").write_text("a page")
    collect(places)
    return places


@pytest.fixture(scope="module")
def text(places: Places) -> str:
    return (places.out / "report.html").read_text("utf-8")


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", read_page(text).words.replace("\N{NO-BREAK SPACE}", " "))


def test_the_page_is_accessible_small_and_offline(text: str) -> None:
    page = check_page(text, most_bytes=100_000)
    assert len(page.all("script")) == 1
    assert HOSTILE in page.words


def test_flow_figures_and_failures_are_those_of_the_tables(text: str) -> None:
    words = words_of(text)
    assert re.search(r"12 slides listed 11 slides read 1 failed 10 with candidates 10 with figures that count", words)
    assert "1 incomplete, a slide failed" in words
    assert "s12.svs" not in re.sub(r"s12\.svs: <script>", "", words)  # of the path its name alone is left
    assert "/made/" not in text
    assert "expected from the probabilities" in words
    assert re.search(r"interval not estimable: fewer than 10 cases", words)  # nine cases have figures


def test_only_slides_with_a_page_are_linked(text: str) -> None:
    links = {one.attributes["href"] for one in read_page(text).all("a") if one.attributes["href"].startswith("./")}
    assert links == {"./s2/report.html"}


def test_every_slide_is_a_row_that_can_be_sorted_and_filtered(text: str) -> None:
    rows = [one for one in read_page(text).all("tr") if "data-status" in one.attributes]
    assert [one.attributes["data-status"] for one in rows].count("failed") == 1
    assert len(rows) == 12
    assert rows[0].attributes["data-scanner"] == HOSTILE
    assert rows[4].attributes["data-group"] == "b"


def test_equal_input_gives_equal_bytes_and_a_reference_is_drawn_when_asked(places: Places, text: str) -> None:
    page = write_cohort_report(places)
    assert page.read_text("utf-8") == text
    assert "manual counts" not in text
    write_cohort_report(places, references=[Reference(0.21, HOSTILE, "fraction")])
    drawn = page.read_text("utf-8")
    check_page(drawn)
    assert "manual counts, not validated for this model" in words_of(drawn)
    write_cohort_report(places)


def test_verify_finds_a_page_of_other_tables(places: Places) -> None:
    page = places.out / "report.html"
    whole = page.read_bytes()
    assert "report.html" not in {fault.where for fault in verify(places.out)}
    page.write_bytes(re.sub(rb'made-from" content="[0-9a-f]{64}', b'made-from" content="' + b"0" * 64, whole))
    assert [fault.text for fault in verify(places.out) if fault.where == "report.html"]
    page.write_bytes(whole)


def test_a_page_of_anothers_is_not_replaced(places: Places) -> None:
    page = places.out / "report.html"
    whole = page.read_bytes()
    page.write_text("<p>mine</p>")
    with pytest.raises(OutputExistsError, match=r"report\.html"):
        write_cohort_report(places)
    assert page.read_text() == "<p>mine</p>"
    page.write_bytes(whole)


def test_slides_that_lack_what_a_page_needs_are_named_and_do_not_stop_the_others(places: Places) -> None:
    half_written = places.out / ".wsiamf-s1-killed"
    shutil.copytree(places.folder("s1"), half_written)
    done = report_results(places.out)  # made records have no paths of slides
    shutil.rmtree(half_written)
    assert len(done.failures) == 11
    assert done.pages == [places.out / "report.html"]


def test_slides_are_ranked_by_the_expected_fraction() -> None:
    def row(name: str, expected: float | None) -> dict[str, Any]:
        ends = {f"amf_fraction_expected_interval95_{end}": expected for end in ("low", "high")}
        shares = {"amf_fraction_expected": expected, "amf_fraction": expected, **ends}
        return {"slide_id": name, "n_ok": 9, "status": "few", **shares}

    rows = [row("b", 0.5), row("a", 0.25), row("none", None)]
    plot = ranked_plot(rows, [], lambda name: f"./{name}")
    assert plot is not None
    assert [mark.link for mark in plot.marks] == ["./a", "./b"]
    assert plot.n_left_out == 1
    assert float(plot.marks[0].expected.rstrip("%")) > float(plot.marks[1].expected.rstrip("%"))  # from the top
    assert ranked_plot([row("none", None)], [], str) is None
