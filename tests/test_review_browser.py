"""The review as a reader meets it: the built page in a real Chromium."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.served_review import (
    LONGEST_WAIT_S,
    REQUIRED,
    TOKEN,
    made_out,
    page_files,
    screen_again,
    serving,
    worklist_of,
)
from wsiamf.export.results import find_results
from wsiamf.review.applying import apply_review
from wsiamf.review.decisions import DecisionStore, read_decisions
from wsiamf.review.figures import load_figures
from wsiamf.review.places import ReviewPlaces
from wsiamf.review.server.app import make_app
from wsiamf.review.server.board import Board
from wsiamf.review.server.gate import HostNames
from wsiamf.review.worklist_files import read_worklist, write_worklist

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
if not REQUIRED:
    pytest.importorskip("playwright", reason="playwright is not installed")
    if not Path(CHROMIUM).is_file():
        pytest.skip("there is no chromium", allow_module_level=True)

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect, sync_playwright  # noqa: E402

ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # a name that is not loopback's, so that the page gets no more than pages over the network do
    "--host-resolver-rules=MAP workstation.test 127.0.0.1",
]
SETTLED = (
    "() => document.querySelectorAll('.pictures img').length === 2 && [...document.images].every((one) => one.complete)"
)

COMPLETE = "() => window.wsiamfViewer.isComplete()"
WHOLE = (
    "() => { const [view, home] = [window.wsiamfViewer.view(), window.wsiamfViewer.home()];"
    " return ['x', 'y', 'width'].every((one) => Math.abs(view[one] - home[one]) < 1e-6); }"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        playwright.selectors.set_test_id_attribute("data-test")
        expect.set_options(timeout=1e3 * LONGEST_WAIT_S)
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


class Review:
    """A served review and the browsers that look at it."""

    def __init__(self, port: int, browser: Browser, stack: ExitStack, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self.link = f"http://{host}:{port}/?token={TOKEN}"
        self.end: Callable[[], None] = lambda: None
        self._browser = browser
        self._stack = stack
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self._forgiven: tuple[str, ...] = ()

    def open(self, reader: str | None, *, context: BrowserContext | None = None) -> Page:
        """A page past the question for the reader's name, at its first case."""
        if context is None:
            context = self._browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
            self._stack.callback(context.close)
        page = self.enter(context)
        if reader is not None:
            page.get_by_test_id("reader-name").fill(reader)
            page.keyboard.press("Enter")
        expect(page.get_by_test_id("title")).to_have_text("Case 1 of 30")
        page.wait_for_function(SETTLED)
        return page

    def forgive(self, *words: str) -> None:
        """Complaints that a test provokes, also while it ends."""
        self._forgiven = words

    def unforgiven(self) -> list[str]:
        """All other complaints."""
        return [said for said in self.complaints if not any(one in said for one in self._forgiven)]

    def enter(self, context: BrowserContext) -> Page:
        """A page that followed the link.

        Requests are routed from the start, though none is at that address: Chromium begins to route while a page is asking,
        and what it asks for at that moment may pass by.
        """
        context.route("**/asked-for-by-nobody", lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(1e3 * LONGEST_WAIT_S)
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(self.link)
        return page


Serve = Callable[..., Review]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_out(tmp_path_factory.mktemp("browser") / "out", coded=False)


@pytest.fixture
def out(results: Path, tmp_path: Path) -> Path:
    """Results of its own for each test, with a worklist of 30."""
    folder = tmp_path / "out"
    shutil.copytree(results, folder)
    write_worklist(worklist_of(folder), folder)
    return folder


@pytest.fixture
def serve(out: Path, browser: Browser) -> Iterator[Serve]:
    """Serves the results; at the end no page has complained, and none has asked another machine."""
    reviews: list[Review] = []
    with ExitStack() as servers, ExitStack() as browsers:  # which are gone before a server is

        def served(*, host: str = "127.0.0.1", port: int = 0, **options: Any) -> Review:
            running = servers.enter_context(ExitStack())
            store = running.enter_context(DecisionStore(ReviewPlaces(out).decisions))
            board = Board(out, find_results(out), store, worklist=read_worklist(out), **options)
            app = make_app(board, page_files(), token=TOKEN, hosts=HostNames({host}))
            review = Review(running.enter_context(serving(app, port)), browser, browsers, host)
            place = servers.enter_context(socket.socket())
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

            def end() -> None:
                running.close()
                place.bind(("127.0.0.1", review.port))  # kept from other processes until it is served on again

            review.end = end
            reviews.append(review)
            return review

        yield served
    for review in reviews:
        assert review.unforgiven() == []
    asked = [url for review in reviews for url in review.asked if not url.startswith(("data:", "blob:"))]
    assert {urlsplit(url).hostname for url in asked} == {review.host for review in reviews}


def case(page: Page) -> str:
    return str(page.get_by_test_id("case").get_attribute("data-figure"))


def press(page: Page, key: str, n_answered: int, total: int = 30) -> None:
    """Answer by keyboard, and wait until the server has it and the page has gone on."""
    page.wait_for_function("() => window.wsiamfReady()")
    page.keyboard.press(key)
    expect(page.get_by_test_id("progress")).to_have_text(f"{n_answered} of {total} answered")


def wait_until(page: Page, holds: Callable[[], Any]) -> None:
    """Wait for something that is not in the page, while the page goes on."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        page.wait_for_timeout(20)


def row(page: Page, index: int) -> Locator:
    return page.get_by_test_id("row").nth(index)


def test_ten_cases_by_keyboard_undone_reloaded_and_found(serve: Serve, out: Path) -> None:
    page = serve().open("Anna")
    keys = ["a", "n", "x", "u", "a", "n", "a", "n", "x", "a"]
    words = {"a": "AMF", "n": "NMF", "x": "non-mitotic", "u": "cannot-tell"}
    for n, key in enumerate(keys, start=1):
        press(page, key, n)
        expect(page.get_by_test_id("title")).to_have_text(f"Case {n + 1} of 30")
    kept = read_decisions(ReviewPlaces(out).decisions)
    assert [str(one.answer) for one in kept] == [words[key] for key in keys]
    assert [one.candidate_uuid for one in kept] == worklist_of(out).table["uuid"].tolist()[:10]
    assert all(one.reader == "Anna" and one.seconds is not None and not one.blinded for one in kept)

    page.keyboard.press("Control+z")
    expect(page.get_by_test_id("progress")).to_have_text("9 of 30 answered")
    expect(page.get_by_test_id("title")).to_have_text("Case 10 of 30")
    assert [one.withdrawn for one in read_decisions(ReviewPlaces(out).decisions)] == [False] * 9 + [True]

    page.reload()  # the name is kept, and so are the answers
    expect(page.get_by_test_id("progress")).to_have_text("9 of 30 answered")
    expect(page.get_by_test_id("title")).to_have_text("Case 10 of 30")
    page.get_by_role("listbox").evaluate("(list) => list.scrollTo(0, 0)")
    for index, key in enumerate(keys[:8]):
        expect(row(page, index)).to_have_attribute("data-answer", words[key])


def test_pan_zoom_click_and_find_the_way_by_keyboard(serve: Serve) -> None:
    page = serve().open("Anna")
    slide = page.get_by_test_id("slide")
    bar = page.get_by_test_id("scale-bar")
    page.wait_for_function(COMPLETE)
    before = bar.inner_text()
    show_whole(page)
    expect(bar).not_to_have_text(before)
    whole = page.evaluate("() => window.wsiamfViewer.view()")
    box = slide.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 400)
    page.mouse.wheel(0, -400)
    page.wait_for_function("(old) => window.wsiamfViewer.view().width < old.width / 1.1", arg=whole)
    zoomed = page.evaluate("() => window.wsiamfViewer.view()")
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 300, steps=4)
    page.mouse.up()
    page.wait_for_function("(old) => window.wsiamfViewer.view().x > old.x + 0.01", arg=zoomed)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("+")

    first = case(page)
    show_whole(page)
    chosen = page.evaluate("(first) => window.wsiamfViewer.screenOf(Number(first) === 5 ? 6 : 5)", first)
    page.mouse.click(box["x"] + chosen["x"], box["y"] + chosen["y"], delay=600)  # however long the button is held
    expect(page.get_by_test_id("case")).to_have_attribute("data-figure", "6" if first == "5" else "5")

    page.keyboard.press("g")
    page.get_by_test_id("jump").fill("7")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("title")).to_have_text("Case 7 of 30")
    for key, number in (("j", 8), ("ArrowRight", 9), ("k", 8), ("ArrowLeft", 7)):
        page.keyboard.press(key)
        expect(page.get_by_test_id("title")).to_have_text(f"Case {number} of 30")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Mark a missed figure")
    page.keyboard.press("a")  # no answer while help is open
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_test_id("progress")).to_have_text("0 of 30 answered")


def test_filters_and_a_missed_figure(serve: Serve, out: Path) -> None:
    page = serve().open("Anna")
    press(page, "a", 1)
    table = worklist_of(out).table
    whole = re.compile(r"^rank \d+; random sample, taken with probability 0\.\d+; .+")  # of what two lines may cut off
    expect(page.get_by_test_id("reason")).to_have_attribute("title", whole)
    page.get_by_test_id("filter-Random").click()
    n_random = int((table["stratum"] == "random").sum())
    expect(page.locator(".all-rows")).to_have_attribute("style", f"height: {48 * n_random}px;")
    page.get_by_test_id("filter-Random").click()
    page.get_by_test_id("filter-unanswered").click()
    expect(page.locator(".all-rows")).to_have_attribute("style", f"height: {48 * 29}px;")

    point_beside_figures(page)
    page.keyboard.press("m")
    expect(page.get_by_test_id("title")).to_have_text("Missed figure")
    expect(page.get_by_test_id("answer-cannot-tell")).to_be_disabled()
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    page.keyboard.press("n")
    expect(page.get_by_test_id("notice")).to_contain_text("Kept as a missed figure: NMF")
    added = read_decisions(ReviewPlaces(out).decisions)[-1]
    assert (added.kind, str(added.answer), added.candidate_uuid) == ("added", "NMF", None)
    page.locator("#tab-added").click()
    expect(page.get_by_test_id("added")).to_have_count(1)
    page.keyboard.press("j")
    expect(page.get_by_test_id("title")).not_to_have_text("Missed figure")
    page.keyboard.press("z")
    expect(page.get_by_test_id("added")).to_have_count(0)
    expect(page.get_by_test_id("title")).to_have_text("Missed figure")
    page.keyboard.press("a")  # says what the place is in place of what was taken back
    expect(page.get_by_test_id("added")).to_contain_text("AMF")
    last = read_decisions(ReviewPlaces(out).decisions)[-1]
    assert (last.kind, str(last.answer), last.x_um, last.y_um) == ("added", "AMF", added.x_um, added.y_um)


def test_readers_adjudication_and_counts(serve: Serve, out: Path) -> None:
    review = serve(adjudicator="Carla")
    for reader, keys in (("Anna", "aan"), ("Boris", "nax")):
        page = review.open(reader)
        for n, key in enumerate(keys, start=1):
            press(page, key, n)
    page = review.open("Carla")
    page.get_by_test_id("filter-AMF").click()  # acts on the lists that its chip stands above, and no dispute is lost
    page.locator("#tab-disputes").click()
    disputes = page.get_by_test_id("dispute")
    expect(disputes).to_have_count(2)
    expect(disputes.first).to_contain_text("Anna")
    expect(disputes.first).to_contain_text("Boris")
    disputes.first.click()
    expect(page.get_by_test_id("title")).to_have_text("Case 1 of 2")
    page.wait_for_function("() => window.wsiamfReady()")
    page.keyboard.press("a")
    expect(page.get_by_test_id("dispute").first).to_contain_text("Settled: AMF")
    page.locator("#tab-counts").click()
    counts = apply_review(out, adjudicator="Carla").summary["counts"]["all"]
    assert counts["n_adjudicate"] == 1
    for column, name in (("model", "without_review"), ("review", "with_review")):
        for field in ("n_amf", "n_nmf"):
            cell = page.locator(f"[data-count={column}-{field}]")
            expect(cell).to_have_text(str(counts[name][field]))


def test_blinded(serve: Serve, out: Path) -> None:
    review = serve(blinded=True)
    anna, boris = review.open("Anna"), review.open("Boris")
    for page in (anna, boris):
        expect(page.get_by_text("Blinded", exact=True)).to_be_visible()
        expect(page.get_by_text("Model:")).to_have_count(0)
        expect(page.locator("#tab-counts")).to_have_count(0)
        assert page.locator(".rows .mark-AMF, .rows .mark-NMF, .legend .mark-AMF").count() == 0
    orders = [
        page.evaluate("() => [...document.querySelectorAll('.row img')].map((one) => one.src)")
        for page in (anna, boris)
    ]
    assert orders[0] != orders[1]
    press(anna, "a", 1)
    boris.reload()
    expect(boris.get_by_test_id("progress")).to_have_text("0 of 30 answered")
    assert [one.blinded for one in read_decisions(ReviewPlaces(out).decisions)] == [True]


def test_a_lost_connection_loses_nothing(serve: Serve, out: Path) -> None:
    review = serve()
    page = review.open("Anna")
    page.wait_for_function("() => window.wsiamfReady()")
    page.context.set_offline(True)
    page.keyboard.press("a")
    expect(page.get_by_test_id("held")).to_contain_text("1 decision waits")
    expect(page.get_by_test_id("title")).to_have_text("Case 1 of 30")  # not before it is acknowledged
    page.context.set_offline(False)
    expect(page.get_by_test_id("progress")).to_have_text("1 of 30 answered")
    expect(page.get_by_test_id("held")).to_have_count(0)
    expect(page.get_by_test_id("title")).to_have_text("Case 2 of 30")
    assert len(read_decisions(ReviewPlaces(out).decisions)) == 1
    review.forgive("ERR_INTERNET_DISCONNECTED", "Image load aborted")


def test_a_name_is_asked_for_until_there_is_one(serve: Serve, out: Path, browser: Browser) -> None:
    review = serve()
    with browser.new_context() as context:
        page = review.enter(context)
        dialog = page.get_by_role("dialog")
        for _ in range(4):
            expect(dialog).to_be_visible()
            page.keyboard.press("Escape")
            page.wait_for_timeout(100)
        expect(dialog).to_be_visible()
        for _ in range(2):
            page.get_by_test_id("reader-name").fill("An\u200bna")  # not printable
            page.keyboard.press("Enter")
            expect(dialog.get_by_role("alert")).to_contain_text("printable")  # and not behind it
            expect(page.get_by_test_id("reader")).to_have_text("Reader nobody")
            page.reload()
            expect(dialog).to_be_visible()
        page.get_by_test_id("reader-name").fill(" Anna\u00a0 Example ")
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        expect(page.get_by_test_id("reader")).to_have_text("Reader Anna Example")
        expect(page.get_by_test_id("title")).to_have_text("Case 1 of 30")
        press(page, "a", 1)
    assert [one.reader for one in read_decisions(ReviewPlaces(out).decisions)] == ["Anna Example"]
    review.forgive("400 (Bad Request)")


@pytest.mark.parametrize("closed", [False, True])
def test_another_reader_takes_over_while_an_answer_waits(serve: Serve, out: Path, *, closed: bool) -> None:
    review = serve()
    page = review.open("Anna")
    page.wait_for_function("() => window.wsiamfReady()")
    page.context.route("**/api/answers", lambda route: route.abort())  # posts alone: what is asked for has a query
    page.keyboard.press("a")
    expect(page.get_by_test_id("held")).to_contain_text("1 decision waits")
    if closed:
        # right after a try has failed, long before the next: one that is on its way would reach the server when its page closes
        page.wait_for_event("requestfailed", lambda request: request.url.endswith("/api/answers"))
        page.close()
        page = review.open(None, context=page.context)
    page.get_by_test_id("reader").click()
    page.get_by_test_id("reader-name").fill("Boris")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("reader")).to_have_text("Reader Boris")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.context.unroute("**/api/answers")
    expect(page.get_by_test_id("held")).to_have_count(0)
    press(page, "n", 1)
    kept = read_decisions(ReviewPlaces(out).decisions)
    assert [(one.reader, str(one.answer)) for one in kept] == [("Anna", "AMF"), ("Boris", "NMF")]
    review.forgive("ERR_FAILED")


def test_a_list_made_before_an_answer_and_come_after_it(serve: Serve, out: Path) -> None:
    review = serve()
    page, boris = review.open("Anna"), review.open("Boris")
    press(page, "a", 1)
    page.wait_for_function("() => window.wsiamfReady()")
    late: list[tuple[Route, Any]] = []

    def hold(route: Route) -> None:
        """The first list with something new is made and held back; what is asked for later waits unmade."""
        if late:
            return
        made = route.fetch()
        if "answers" in made.json():
            late.append((route, made))
        else:
            route.fulfill(response=made)

    page.route(re.compile(r"/api/answers\?"), hold)
    press(boris, "n", 1)
    wait_until(page, lambda: late)
    press(page, "x", 2)
    route, made = late[0]
    with page.expect_event("requestfinished", lambda request: request == route.request):
        route.fulfill(response=made)
    page.wait_for_timeout(200)
    expect(page.get_by_test_id("progress")).to_have_text("2 of 30 answered")
    with page.expect_response("**/api/withdraw"):
        page.keyboard.press("z")
    kept = read_decisions(ReviewPlaces(out).decisions)
    assert [(one.reader, str(one.answer), one.withdrawn) for one in kept] == [
        ("Anna", "AMF", False),
        ("Boris", "NMF", False),
        ("Anna", "non-mitotic", True),
    ]
    page.unroute_all()  # which lets what waits go on
    expect(page.get_by_test_id("progress")).to_have_text("1 of 30 answered")


def test_undo_takes_back_the_latest_and_one_at_a_time(serve: Serve, out: Path) -> None:
    page = serve().open("Anna")
    press(page, "a", 1)
    page.keyboard.press("k")
    page.wait_for_function("() => window.wsiamfReady()")
    with page.expect_response("**/api/answers"):
        page.keyboard.press("x")  # in place of the first
    press(page, "n", 2)
    press(page, "u", 3)
    page.keyboard.press("Control+Shift+z")  # redo elsewhere
    page.keyboard.down("Control")
    for _ in range(5):
        page.keyboard.down("z")  # held down: the browser repeats it
        page.wait_for_timeout(100)
    page.keyboard.up("z")
    page.keyboard.up("Control")
    expect(page.get_by_test_id("progress")).to_have_text("2 of 30 answered")
    assert withdrawn(out) == [False, False, False, True]

    held_back(page, LISTS)
    point_beside_figures(page)
    page.keyboard.press("m")
    page.keyboard.press("n")
    expect(page.get_by_test_id("notice")).to_contain_text("Kept as a missed figure")
    with page.expect_response("**/api/withdraw"):
        page.keyboard.press("z")
    assert withdrawn(out) == [False, False, False, True, True]
    page.keyboard.press("z")  # waits for the list that says what stands now
    page.wait_for_timeout(200)
    assert withdrawn(out)[:3] == [False] * 3
    page.unroute_all()  # which lets the lists go on
    expect(page.get_by_test_id("progress")).to_have_text("1 of 30 answered")
    page.wait_for_function("() => window.wsiamfReady()")
    held_back(page, LISTS)
    with page.expect_response("**/api/withdraw"):
        page.keyboard.press("z")
    page.keyboard.press("z")  # what stands again where an answer was taken back is the latest now
    with page.expect_response("**/api/withdraw"):
        page.unroute_all()
    expect(page.get_by_test_id("progress")).to_have_text("0 of 30 answered")
    assert withdrawn(out) == [True] * 5


def test_a_case_chosen_and_an_answer_corrected_while_the_server_is_away(serve: Serve, out: Path) -> None:
    review = serve()
    page = review.open("Anna")
    held, notice = page.get_by_test_id("held"), page.get_by_test_id("notice")
    page.context.set_offline(True)
    page.keyboard.press("j")
    expect(notice).to_contain_text("does not answer")
    expect(held).to_contain_text("No connection")
    # a page that nobody sees does not poll, so that nothing but the button asks
    page.evaluate("() => Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    page.context.set_offline(False)
    with page.expect_request("**/api/answers?*"):
        page.get_by_role("button", name="Try now").click()
    page.evaluate("() => delete document.visibilityState")
    expect(held).to_have_count(0)
    expect(page.get_by_test_id("title")).to_have_text("Case 2 of 30")
    page.wait_for_function("() => [...document.querySelectorAll('.pictures img')].every((one) => one.naturalWidth > 0)")
    press(page, "a", 1)

    page.wait_for_function("() => window.wsiamfReady()")
    page.route("**/api/answers", lambda route: route.abort())  # posts alone
    page.keyboard.press("a")
    expect(held).to_contain_text("1 decision waits")
    page.keyboard.press("a")  # the same again
    page.keyboard.press("n")
    expect(held).to_contain_text("2 decisions wait")
    page.keyboard.press("z")
    expect(notice).to_contain_text("before it was sent")
    page.keyboard.press("z")
    expect(notice).to_contain_text("when the server is back, or give another answer")
    page.keyboard.press("x")
    expect(held).to_contain_text("2 decisions wait")
    page.unroute_all()
    wait_until(page, lambda: len(read_decisions(ReviewPlaces(out).decisions)) == 3)  # they are sent one by one
    expect(held).to_have_count(0)
    expect(page.get_by_test_id("progress")).to_have_text("2 of 30 answered")
    kept = read_decisions(ReviewPlaces(out).decisions)
    assert [str(one.answer) for one in kept] == ["AMF", "AMF", "non-mitotic"]
    assert kept[1].candidate_uuid == kept[2].candidate_uuid

    why = "this review is blinded and this browser is Boris's; open the link in another one"
    page.route("**/api/answers?*", lambda route: route.fulfill(status=403, json={"error": why}))
    expect(held).to_contain_text(f"{why}.")
    review.forgive("ERR_INTERNET_DISCONNECTED", "Image load aborted", "ERR_FAILED", "403 (Forbidden)")


def test_no_list_is_asked_for_while_one_is_on_its_way(serve: Serve) -> None:
    page = serve().open("Anna")
    asked = held_back(page, LISTS)
    wait_until(page, lambda: asked)
    page.wait_for_timeout(6_000)  # in which it would be asked for twice more
    assert len(asked) == 1
    page.unroute_all()


def test_the_way_back_from_a_missed_figure_and_to_it(serve: Serve, out: Path) -> None:
    page = serve().open("Anna")
    title = page.get_by_test_id("title")
    page.keyboard.press("g")
    page.get_by_test_id("jump").fill("9")
    page.keyboard.press("Enter")
    expect(title).to_have_text("Case 9 of 30")
    point_beside_figures(page)
    page.keyboard.press("m")
    expect(title).to_have_text("Missed figure")
    page.keyboard.press("Escape")
    expect(title).to_have_text("Case 9 of 30")

    show_whole(page)
    x, y = lonely_figure(page, out)
    page.mouse.move(x + 14, y)
    page.keyboard.press("m")
    page.keyboard.press("a")
    expect(page.get_by_test_id("notice")).to_contain_text("Kept as a missed figure")
    page.keyboard.press("j")
    expect(title).to_have_text("Case 10 of 30")
    show_whole(page)
    for away, figure in ((9, "added"), (5, None)):
        page.mouse.click(x + away, y)
        expect(page.get_by_test_id("case")).to_have_attribute("data-figure", figure or re.compile(r"^\d+$"))
        show_whole(page)


def test_answers_that_wait_while_the_cohort_grows(serve: Serve, out: Path, tmp_path: Path) -> None:
    review = serve()
    page = review.open("Anna")
    page.wait_for_function("() => window.wsiamfReady()")
    review.end()
    page.keyboard.press("n")
    expect(page.get_by_test_id("held")).to_contain_text("1 decision waits")
    context = page.context
    page.close()
    review.forgive("ERR_CONNECTION_REFUSED", "Image load aborted")
    first = worklist_of(out).table.iloc[0]
    shutil.copytree(made_out(tmp_path / "grown") / "coded", out / "coded")  # comes first by name

    again = serve(port=review.port)
    page = again.open(None, context=context)  # the name is kept, too
    expect(page.get_by_test_id("progress")).to_have_text("1 of 30 answered")
    (kept,) = read_decisions(ReviewPlaces(out).decisions)
    assert (kept.slide_id, kept.candidate_uuid, str(kept.answer)) == ("sample", first["uuid"], "NMF")
    expect(page.get_by_test_id("redraw")).to_contain_text("wsiamf review worklist OUT")

    late = held_back(page, re.compile("/api/slides/0$"))
    choice = page.locator(".slide-choice select")
    choice.select_option("0")
    row(page, 1).click()  # on the slide that is open still
    wait_until(page, lambda: late)
    with page.expect_response("**/api/slides/0"):
        page.unroute_all()
    page.wait_for_timeout(200)
    expect(page.get_by_test_id("case")).to_have_attribute("data-slide", "1")
    expect(choice).to_have_value("1")


def test_a_page_left_open_while_the_results_change(serve: Serve, out: Path) -> None:
    review = serve()
    page = review.open("Anna")
    press(page, "a", 1)
    page.wait_for_function("() => window.wsiamfReady()")
    review.end()
    page.keyboard.press("n")
    expect(page.get_by_test_id("held")).to_contain_text("1 decision waits")
    second = worklist_of(out).table["uuid"].iloc[1]
    screen_again(out)
    write_worklist(worklist_of(out), out)
    assert second in set(load_figures(find_results(out))["uuid"])  # else what waits would be refused

    again = serve(port=review.port)
    expect(page.get_by_test_id("held")).to_contain_text("Open the link")  # the server does not know this browser yet
    expect(page.get_by_test_id("outdated")).to_have_count(0)
    page.context.request.get(again.link)  # as if the new link were opened in another tab
    expect(page.get_by_test_id("held")).to_have_count(0)
    banner = page.get_by_test_id("outdated")
    expect(banner).to_contain_text("The results behind this page have changed. Reload to see them.")
    expect(page.get_by_test_id("title")).to_have_text("Case 3 of 30")
    page.keyboard.press("j")  # whose number is another figure's now
    expect(page.get_by_test_id("title")).to_have_text("Case 4 of 30")
    page.wait_for_function(SETTLED)
    page.keyboard.press("x")
    expect(page.get_by_test_id("notice")).to_contain_text("reload the page")
    page.keyboard.press("z")
    banner.get_by_role("button", name="Reload").click()
    expect(banner).to_have_count(0)
    expect(page.get_by_test_id("title")).to_contain_text("of 30")
    page.wait_for_function("() => window.wsiamfReady()")
    kept = read_decisions(ReviewPlaces(out).decisions)
    assert [(str(one.answer), one.withdrawn) for one in kept] == [("AMF", False), ("NMF", False)]
    assert kept[1].candidate_uuid == second
    review.forgive("ERR_CONNECTION_REFUSED", "403 (Forbidden)", "Image load")


LISTS = re.compile(r"/api/answers\?")


def held_back(page: Page, address: re.Pattern[str]) -> list[Route]:
    """What the page asks for at such addresses from now on, and does not get until ``unroute_all``."""
    found: list[Route] = []

    def hold(route: Route) -> None:
        found.append(route)

    page.route(address, hold)
    return found


def withdrawn(out: Path) -> list[bool]:
    return [one.withdrawn for one in read_decisions(ReviewPlaces(out).decisions)]


def show_whole(page: Page) -> None:
    page.wait_for_function(COMPLETE)  # before that, the way to the case that was chosen last may be still to come
    page.keyboard.press("0")
    page.wait_for_function(WHOLE)


def point_beside_figures(page: Page) -> None:
    """The whole slide in view, and the cursor on a place of it without a figure."""
    show_whole(page)
    box = page.get_by_test_id("slide").bounding_box()
    assert box is not None
    beside = max(0, box["width"] - 1.2 * box["height"]) / 2  # of the slide, whose sides are as 6 to 5
    page.mouse.move(box["x"] + beside + 40, box["y"] + 500)


def lonely_figure(page: Page, out: Path) -> tuple[float, float]:
    """Where on the screen a figure is that has no other within 40 px."""
    n = len(load_figures(find_results(out)))
    found = page.evaluate("(n) => Array.from({length: n}, (_, k) => window.wsiamfViewer.screenOf(k))", n)
    places = np.array([(one["x"], one["y"]) for one in found])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    x, y = places[int(np.argmax((apart > 40).sum(axis=1) == n - 1))]
    box = page.get_by_test_id("slide").bounding_box()
    assert box is not None
    return float(box["x"] + x), float(box["y"] + y)


def test_no_answer_on_a_slide_that_cannot_be_shown(serve: Serve, out: Path) -> None:
    record = json.loads((out / "sample" / "run.json").read_text("utf-8"))
    record["host"]["paths"]["slide"] = str(out / "moved.tiff")
    (out / "sample" / "run.json").write_text(json.dumps(record), "utf-8")
    review = serve()
    page = review.open("Anna")
    expect(page.get_by_role("alert")).to_contain_text("This slide cannot be shown")
    page.keyboard.press("a")
    expect(page.get_by_test_id("notice")).to_contain_text("no answer is taken")
    page.wait_for_timeout(200)
    assert read_decisions(ReviewPlaces(out).decisions) == []
    review.forgive("404 (Not Found)")


def test_no_answer_before_the_crop_is_shown(serve: Serve, out: Path, browser: Browser) -> None:
    review = serve()
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.route("**/crop.jpg?*", lambda route: route.abort())
        page = review.open("Anna", context=context)
        expect(page.get_by_test_id("reason")).not_to_be_empty()  # its facts have come
        page.keyboard.press("a")
        expect(page.get_by_test_id("notice")).to_contain_text("The crop is not shown yet")
        context.unroute("**/crop.jpg?*")
        press(page, "n", 1)  # asked for again by itself
    assert [str(one.answer) for one in read_decisions(ReviewPlaces(out).decisions)] == ["NMF"]
    review.forgive("ERR_FAILED")


def test_a_known_reader_is_not_asked_for(serve: Serve) -> None:
    page = serve().open("Anna")
    late = held_back(page, re.compile("/api/worklist"))
    page.reload()
    wait_until(page, lambda: late)
    expect(page.get_by_test_id("reader")).to_have_text("Reader nobody")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.unroute_all()
    expect(page.get_by_test_id("reader")).to_have_text("Reader Anna")


@pytest.mark.parametrize(("width", "height", "scheme"), [(1280, 800, "light"), (1920, 1080, "dark")])
def test_the_pane_holds_all_counts(serve: Serve, browser: Browser, width: int, height: int, scheme: Any) -> None:
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
        page = serve().open("Anna", context=context)
        press(page, "u", 1)
        point_beside_figures(page)
        page.keyboard.press("m")
        page.keyboard.press("n")
        page.locator("#tab-counts").click()
        expect(page.locator("[data-count=added-n_nmf]")).to_be_visible()
        pane = page.get_by_test_id("counts")
        needed, there = pane.evaluate("(pane) => [pane.scrollWidth, pane.clientWidth]")
        assert needed <= there
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRASTS) == []


def test_over_the_network(serve: Serve, out: Path) -> None:
    page = serve(host="workstation.test").open("Anna")
    assert not page.evaluate("() => window.isSecureContext")
    for n, key in enumerate("an", start=1):
        press(page, key, n)
    assert len(read_decisions(ReviewPlaces(out).decisions)) == 2


def test_two_browsers_at_once(serve: Serve) -> None:
    review = serve()
    one, other = review.open("Anna"), review.open("Anna")
    press(one, "a", 1)
    expect(other.get_by_test_id("progress")).to_have_text("1 of 30 answered")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_focus_and_names(serve: Serve, browser: Browser, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    page = serve().open("Anna", context=context)
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button, select, input, img, progress')]"
        ".filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length"
        " || one.hasAttribute('alt'))).map((one) => one.outerHTML)"
    )
    assert nameless == []
    assert page.evaluate(CONTRASTS) == []
    page.keyboard.press("Tab")
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 1280
    context.close()


# Texts whose contrast with the ground they stand on is below AA's 4.5, with the numbers.
CONTRASTS = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const plain = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0.99) return color;
    }
    return [255, 255, 255];
  };
  // The numbers of the expert heads stand on a translucent bar, or over it where it is short.
  const grounds = (one) => {
    const under = plain(one), bar = one.closest('.experts b')?.previousElementSibling;
    if (!bar) return [under];
    const style = getComputedStyle(bar), share = Number(style.opacity);
    return [under, channels(style.backgroundColor).slice(0, 3).map((v, k) => share * v + (1 - share) * under[k])];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    const left_out = one.closest('option, noscript, .visually-hidden, :disabled');
    if (!walker.currentNode.textContent.trim() || left_out) continue;
    const ink = light(channels(getComputedStyle(one).color));
    const ratio = Math.min(...grounds(one).map((under) => {
      const [a, b] = [ink, light(under)].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    }));
    if (ratio < 4.5) found.push(`${one.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return found;
}"""
