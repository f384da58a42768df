"""How quick the review is: tiles over HTTP, the first view of a slide, and frames while 100,000 figures are moved.

``PYTHONPATH=. python benchmarks/review_app.py [--side 20000] [--figures 100000]``, in the project's root, with the page built.

A slide as ``made_slide.py`` makes it, in two folders of results, is served by ``wsiamf review`` itself. Tiles are asked for at
random from every level by one client and by six at once, as a browser does; each is new to the server, which caches what
it has sent. Chromium runs without a GPU, so that its frames are painted by the processor: what a laptop does at worst.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from made_slide import WORK, write_slide
from playwright.sync_api import Page, sync_playwright

from tests.made_predictions import EXPERTS
from tests.made_result_folder import table_at, write_results
from wsiamf.files import dump_json
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.review.server.pyramid import TILE_PX, Pyramid
from wsiamf.slides import read_fingerprint

N_TILES: Final = 300
CLIENTS: Final = 6
PANS: Final = 90
CHROMIUM: Final = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
_FRAMES: Final = """(n) => new Promise((done) => {
  const deltas = []; let last = performance.now();
  const next = (now) => {
    deltas.push(now - last);
    last = now;
    if (deltas.length < n) requestAnimationFrame(next);
    else done(deltas);
  };
  requestAnimationFrame(next);
})"""
_COMPLETE: Final = """([slide, since]) => window.wsiamfViewer.isComplete() && window.wsiamfViewer.slide() === slide
  && performance.now() - since"""


def made_results(out: Path, slide: Path, side: int, n_figures: int) -> None:
    """Two folders of results of one slide, which to the review are two slides."""
    frame = SlideFrame(side, side, 0.25, Bounds(0, 0, side, side))
    places = np.random.default_rng(0).uniform(100, side - 100, (2, n_figures))
    table = table_at(places[0], places[1], frame)
    table["review_rank"] = table["review_rank"].rank().astype("Int64")
    one = write_results(out / "one", table, frame, slide=slide, fingerprint=read_fingerprint(slide))
    summary = json.loads((one / "summary.json").read_text("utf-8"))
    facts = {"thresholds": {"p_atypical": 0.5, "p_hard": 0.5}, "experts": list(EXPERTS), "hotspots": []}
    (one / "summary.json").write_text(dump_json(summary | facts), "utf-8")
    shutil.copytree(one, out / "other")


@contextmanager
def review(out: Path) -> Iterator[str]:
    """The link of a review served by a process of its own."""
    program = "from wsiamf.cli.review_serve import serve; serve()"
    command = [sys.executable, "-c", program, str(out), "--no-browser", "--reader", "Anna"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def time_tiles(link: str, side: int) -> dict[str, Any]:
    """Milliseconds for tiles at random, by one client and by six at once; half of them each."""
    base = link.partition("/?")[0]
    pyramid, rng = Pyramid(side, side), np.random.default_rng(0)
    with httpx.Client(base_url=base) as client:
        client.get(link)
        tiles = client.get("/api/slides/0").json()["tiles"]
        addresses = sorted({f"{tiles}/{level}/{x}_{y}.jpg" for level, x, y in _random_tiles(pyramid, rng)})
        rng.shuffle(addresses)
        half = len(addresses) // 2

        def ask(address: str) -> float:
            start = time.perf_counter()
            assert client.get(address).status_code == 200
            return 1e3 * (time.perf_counter() - start)

        for address in addresses[:5]:
            ask(address)  # opens the slide
        alone = [ask(address) for address in addresses[5:half]]
        with ThreadPoolExecutor(CLIENTS) as pool:
            together = list(pool.map(ask, addresses[half:]))
        again = [ask(address) for address in addresses[:half]]
    return {"one client": alone, "six at once": together, "cached": again}


def _random_tiles(pyramid: Pyramid, rng: np.random.Generator) -> Iterator[tuple[int, int, int]]:
    for _ in range(N_TILES):
        level = int(rng.integers(pyramid.first_level, pyramid.last_level + 1))
        across, down = (-(-size // TILE_PX) for size in pyramid.size(level))
        yield level, int(rng.integers(across)), int(rng.integers(down))


def time_page(link: str) -> dict[str, Any]:
    """Milliseconds of frames while the slide is dragged, and from the choice of a slide to all of its slide being seen."""
    with sync_playwright() as playwright:
        playwright.selectors.set_test_id_attribute("data-test")
        executable = shutil.which("chromium") or "/usr/bin/chromium"
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(link)
        page.get_by_test_id("case").wait_for()
        first = int(page.get_by_test_id("case").get_attribute("data-slide") or 0)
        page.wait_for_function(_COMPLETE, arg=[first, 0])
        measured: dict[str, Any] = {**_first_view(page)}
        for name, zooms in (("frames, whole slide", 0), ("frames, a tenth of its width", 6)):
            page.keyboard.press("0")
            for _ in range(zooms):
                page.keyboard.press("+")
            page.wait_for_timeout(2000)
            measured[name] = _frames(page)
            drawing = page.evaluate("() => window.wsiamfViewer.drawTimes()")
            measured[name.replace("frames", "drawing of figures")] = drawing
            page.keyboard.press("h")
            measured[f"{name}, no marks"] = _frames(page)
            page.keyboard.press("h")
        browser.close()
    return measured


def _first_view(page: Page) -> dict[str, list[float]]:
    """From the choice of the other slide, which neither page nor server has opened, to its first picture and its whole view."""
    choice = page.locator(".slide-choice select")
    other = "1" if choice.input_value() == "0" else "0"
    start = page.evaluate("() => performance.now()")
    choice.select_option(other)
    whole = float(page.wait_for_function(_COMPLETE, arg=[int(other), start], polling=10).json_value())
    first = page.evaluate("() => window.wsiamfViewer.firstTileAt()") - start
    return {"slide chosen to its first picture": [first], "slide chosen to all tiles in view": [whole]}


def _frames(page: Page) -> list[float]:
    box = page.get_by_test_id("slide").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate("() => window.wsiamfViewer.drawTimes()")  # forget those before
    page.evaluate(f"() => {{ window.frames_ = ({_FRAMES})({PANS}); }}")
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(PANS):
        page.mouse.move(x + 150 * np.sin(step / 8), y + 100 * np.cos(step / 8))
    page.mouse.up()
    deltas: list[float] = page.evaluate("() => window.frames_")
    return deltas[5:]


def told(values: Sequence[float]) -> str:
    """Median, 95 % quantile and number."""
    if len(values) == 1:
        return f"{values[0]:7.0f} ms"
    p95 = statistics.quantiles(values, n=20)[-1]
    return f"p50 {statistics.median(values):6.1f} ms   p95 {p95:6.1f} ms   n {len(values)}"


def main() -> None:
    """Make what is needed, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the slide; default: build/bench")
    parser.add_argument("--side", type=int, default=20_000, help="px of level 0, either way; default: %(default)s")
    parser.add_argument("--figures", type=int, default=100_000, help="default: %(default)s")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    slide = arguments.work / f"slide_{arguments.side}.svs"
    if not slide.exists():
        unfinished = slide.with_suffix(".part")
        write_slide(unfinished, arguments.side)
        os.replace(unfinished, slide)
    with tempfile.TemporaryDirectory() as folder:
        made_results(Path(folder), slide, arguments.side, arguments.figures)
        start = time.perf_counter()
        with review(Path(folder)) as link:
            measured = {"start of the server": [1e3 * (time.perf_counter() - start)]}
            measured |= time_page(link)
            measured |= {f"tiles, {name}": values for name, values in time_tiles(link, arguments.side).items()}
    load = os.getloadavg()[0]
    print(f"{arguments.side} px slide, {arguments.figures:,} figures, {os.cpu_count()} cores, load {load:.1f}")
    for name, values in measured.items():
        print(f"{name:44} {told(values)}")


if __name__ == "__main__":
    main()
