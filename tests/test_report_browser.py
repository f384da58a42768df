"""The pages in a real browser: no error, no request, filters and sorting that work, nothing wider than the screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.made_material import made_material
from tests.made_results import made_item, write_plan, write_result
from wsiamf.cohort.collecting import collect
from wsiamf.cohort.places import Places
from wsiamf.report import render_slide

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """A page that is open, with all that it said and asked for."""

    def __init__(self, browser: Browser, file: Path, **how: Any) -> None:
        self.page: Page = browser.new_page(**how)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def check(self, file: Path) -> None:
        """Nothing was said, and nothing but the page itself and what it holds was asked for."""
        assert self.said == []
        assert [url for url in self.asked if not url.startswith("data:image/")] == [file.as_uri()]
        wide, inner = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= inner
        self.page.close()


@pytest.fixture(scope="module")
def slide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("slide") / "report.html"
    file.write_text(render_slide(made_material(name="<b>case</b> 1.svs")), "utf-8")
    return file


@pytest.fixture(scope="module")
def cohort_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    places = Places(tmp_path_factory.mktemp("cohort") / "out")
    items = [made_item(row, case_id=f"case {row}", scanner="AB"[row % 2]) for row in range(1, 12)]
    write_plan(places, items)
    for item in items:
        write_result(places, item, 12 - item.row, 20)
    collect(places)
    return places.out / "report.html"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 400)])
def test_the_pages_open_without_a_word_or_a_request(
    browser: Browser, slide_file: Path, cohort_file: Path, scheme: str, width: int
) -> None:
    for file in (slide_file, cohort_file):
        opened = Opened(browser, file, color_scheme=scheme, viewport={"width": width, "height": 900})
        paper = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        broken = opened.page.evaluate("[...document.images].filter((one) => !one.naturalWidth).length")
        assert broken == 0
        opened.check(file)


def test_crops_are_filtered_and_sorted(browser: Browser, slide_file: Path) -> None:
    opened = Opened(browser, slide_file)
    page = opened.page
    crops, tools = page.locator("#crops .card"), page.locator("#crops form")
    total, amf = crops.count(), page.locator("#crops .card.amf").count()
    assert page.locator("[data-count]").inner_text() == f"{total} of {total} crops shown"
    tools.get_by_label("Show").select_option("AMF")
    assert page.locator("#crops .card:visible").count() == amf < total
    tools.get_by_label("in the first hotspot").check()
    both = page.locator("#crops .card.amf[data-hot='1']").count()
    assert page.locator("#crops .card:visible").count() == both
    tools.get_by_label("in the first hotspot").uncheck()
    tools.get_by_label("Show").select_option("")
    tools.get_by_label("Sort").select_option("p")
    first = page.locator("#crops [data-items]").first.locator(".card")
    p = [float(first.nth(k).get_attribute("data-p") or "nan") for k in range(first.count())]
    assert p == sorted(p)
    tools.get_by_label("Find").fill("mf-000005")
    assert {text.split()[-1] for text in page.locator("#crops .card:visible .what").all_inner_texts()} <= {"MF-000005"}
    page.get_by_label("figures", exact=True).uncheck()
    assert page.locator(".map .figures").is_hidden()
    opened.check(slide_file)


def test_slides_are_filtered_and_sorted_by_keyboard(browser: Browser, cohort_file: Path) -> None:
    opened = Opened(browser, cohort_file)
    page = opened.page
    rows = page.locator("#slides-table tbody tr")
    page.locator("#slides form").get_by_label("Scanner").select_option("A")
    assert page.locator("#slides-table tbody tr:visible").count() == 5
    page.locator("#slides form").get_by_label("Scanner").select_option("")
    page.locator("#slides-table thead button", has_text="Expected fraction").focus()
    page.keyboard.press("Enter")
    head = page.locator("#slides-table th[aria-sort]")
    assert head.get_attribute("aria-sort") == "ascending"
    column = head.evaluate("(cell) => cell.cellIndex")
    values = rows.evaluate_all(f"(rows) => rows.map((row) => Number(row.cells[{column}].dataset.value))")
    assert len(values) == 11
    assert np.all(np.diff(values) >= 0)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    opened.check(cohort_file)


def test_the_page_is_whole_without_its_script(browser: Browser, slide_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(slide_file.as_uri())
    assert page.locator("#crops .card:visible").count() > 40
    assert page.locator(".tools:visible, .layers:visible").count() == 0
    context.close()


def test_text_has_enough_contrast(browser: Browser, slide_file: Path) -> None:
    for scheme in ("light", "dark"):
        opened = Opened(browser, slide_file, color_scheme=scheme)
        for selector in ("p", ".tile span", ".notice", "figcaption", "nav a", ".tag", ".card .place", "td"):
            ratio = opened.page.locator(selector).first.evaluate(CONTRAST)
            assert ratio >= 4.5, f"{selector} in {scheme}"
        opened.check(slide_file)


CONTRAST = """(element) => {
  const light = (text) => text.match(/[0-9.]+/g).slice(0, 3).map(Number).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const pair = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""
