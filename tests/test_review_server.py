"""The review's server: who may ask, what is read, and that what is acknowledged is kept."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from tests.coordinate_slide import coordinate_coded
from tests.run_processes import first_line, start_python, wait_until
from tests.served_review import CODED_SIZE, LONGEST_WAIT_S, SAMPLE, TOKEN, made_out, screen_again, serving, worklist_of
from wsiamf.cli.main import run
from wsiamf.errors import ReviewError, SlideError, SlideReadError
from wsiamf.export.results import find_results
from wsiamf.predictions import write_predictions
from wsiamf.review.applying import apply_review
from wsiamf.review.decisions import DecisionStore, read_decisions
from wsiamf.review.figures import load_figures
from wsiamf.review.places import ReviewPlaces
from wsiamf.review.server.app import RESULTS_HEADER, make_app
from wsiamf.review.server.board import Board
from wsiamf.review.server.byte_cache import ByteCache
from wsiamf.review.server.front_end import built_files
from wsiamf.review.server.gate import MAX_BODY_BYTES, Gate, HostNames
from wsiamf.review.server.handles import HANDLES_A_SLIDE, OPEN_SLIDES, SlideShelf
from wsiamf.review.server.packing import CLASS_NUMBERS, NO_P
from wsiamf.review.server.pyramid import TILE_PX, Pyramid, read_tile
from wsiamf.review.server.running import host_names, link_of, listening, listening_again
from wsiamf.review.worklist import Worklist, make_worklist
from wsiamf.review.worklist_files import read_worklist, write_worklist
from wsiamf.slides import Slide, open_slide

ORIGIN = "http://127.0.0.1"
CODED, SAMPLE_NUMBER = 0, 1  # by name of their folders
SECRETS = ("p_atypical", "AMF", "NMF", "hard", "rank", "reason", "stratum", "Boris", "mf-", "MF-")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_out(tmp_path_factory.mktemp("review") / "out")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A stand-in for the built page, with links in it that lead out."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "assets").mkdir()
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "assets" / "index-1.js").write_text("export {};")
    (folder / "assets" / "passwd.txt").symlink_to("/etc/passwd")
    (folder / "etc").symlink_to("/etc")
    return built_files(folder)


Make = Callable[..., TestClient]


@pytest.fixture(scope="module")
def shared(out: Path, page: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One client for all tests that keep nothing."""
    with DecisionStore(tmp_path_factory.mktemp("shared") / "decisions.sqlite") as store:
        app = make_app(Board(out, find_results(out), store, worklist=worklist_of(out)), page, token=TOKEN)
        with TestClient(app, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
            assert client.get("/", params={"token": TOKEN}).status_code == 200
            yield client
        assert store.events() == []


@pytest.fixture(scope="module")
def shared_port(shared: TestClient) -> Iterator[int]:
    """The same application on a socket, so that the client's cookie holds."""
    with serving(cast(Gate, shared.app)) as port:
        yield port


@pytest.fixture
def stranger(shared: TestClient) -> TestClient:
    """A client of the same server that has no cookie; its life is not the server's."""
    return TestClient(shared.app, base_url=ORIGIN, headers={"Origin": ORIGIN})


@pytest.fixture(scope="module")
def coded(out: Path) -> Iterator[Slide]:
    with open_slide(out.parent / "coded.tiff") as slide:
        yield slide


@pytest.fixture
def make(out: Path, page: dict[str, Path], tmp_path: Path) -> Iterator[Make]:
    """Makes clients that came in by the link, each of a server of its own over the same decisions."""
    with ExitStack() as stack:

        def made(
            *, enter: bool = True, folder: Path = out, slides: tuple[Path, ...] = (), **options: Any
        ) -> TestClient:
            store = stack.enter_context(DecisionStore(tmp_path / "decisions.sqlite"))
            board = Board(folder, find_results(folder), store, worklist=worklist_of(folder), **options)
            app = make_app(board, page, token=TOKEN, slide_folders=slides)
            client = stack.enter_context(TestClient(app, base_url=ORIGIN, headers={"Origin": ORIGIN}))
            if enter:
                assert client.get("/", params={"token": TOKEN}).status_code == 200
            return client

        yield made


@pytest.fixture
def client(make: Make) -> TestClient:
    return make()


def answer(client: TestClient, figure: int, what: str, *, reader: str = "Anna", **changes: Any) -> int:
    """Post an answer to a figure of the sample; its number."""
    uuid = client.get(f"/api/slides/{SAMPLE_NUMBER}/figures/{figure}").json()["uuid"]
    body = {"reader": reader, "slide": "sample", "uuid": uuid, "answer": what}
    done = client.post("/api/answers", json=body | {"nonce": os.urandom(8).hex(), "seconds": 1.5} | changes)
    assert done.status_code == 200, done.text
    return int(done.json()["id"])


def sample_figures(out: Path) -> pd.DataFrame:
    figures = load_figures(find_results(out))
    return figures[figures["slide_id"] == "sample"].reset_index(drop=True)


def addition(client: TestClient, x: float, y: float, slide: int = SAMPLE_NUMBER) -> dict[str, Any]:
    """What a page of that server posts of a figure that the points missed."""
    entry = client.get("/api/session").json()["slides"][slide]
    where = {"slide": entry["id"], "mark": entry["mark"], "x": x, "y": y}
    return {"reader": "Anna", "answer": "AMF", "nonce": os.urandom(8).hex()} | where


def addresses(client: TestClient) -> list[str]:
    """One of each kind."""
    tiles = client.get(f"/api/slides/{SAMPLE_NUMBER}").json()["tiles"]
    mark = tiles.rpartition("/")[2]
    return [
        "/",
        "/assets/index-1.js",
        "/api/session",
        f"/api/slides/{SAMPLE_NUMBER}",
        f"/api/slides/{SAMPLE_NUMBER}/figures",
        f"/api/slides/{SAMPLE_NUMBER}/figures/0",
        "/api/worklist?reader=Anna",
        "/api/answers?reader=Anna",
        "/api/counts",
        "/api/adjudication",
        f"{tiles}/11/0_0.jpg",
        f"/pictures/{SAMPLE_NUMBER}/{mark}/crop.jpg?x=500&y=500",
    ]


class TestWhoMayAsk:
    @pytest.mark.parametrize(
        "host",
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.7", "[fe80::1]", "", "a@b"],
    )
    def test_other_host_names_are_refused(self, shared: TestClient, host: str) -> None:
        for address in ("/api/session", f"/?token={TOKEN}"):
            assert shared.get(address, headers={"Host": host}).status_code == 421

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:8443", "[::1]:80", "127.8.8.8"])
    def test_names_of_this_machine_are_not(self, shared: TestClient, host: str) -> None:
        assert shared.get("/api/session", headers={"Host": host}).status_code == 200

    def test_a_server_on_the_network_goes_by_its_name_and_addresses(self) -> None:
        names = host_names("0.0.0.0")  # noqa: S104 - the name alone
        assert names.allows("10.0.0.7:8000")
        assert names.allows(f"{socket.gethostname()}:8000")
        assert not names.allows("evil.example")
        assert not host_names("127.0.0.1").allows("10.0.0.7")
        assert not HostNames().allows("")

    def test_no_opener_policy_where_browsers_ignore_it(self, shared: TestClient) -> None:
        name = "Cross-Origin-Opener-Policy"
        assert shared.get("/", headers={"Host": "localhost:8000"}).headers[name] == "same-origin"
        assert name not in shared.get("/", headers={"Host": "workstation.test"}).headers

    def test_nothing_without_the_link(self, shared: TestClient, stranger: TestClient) -> None:
        for address in addresses(shared):
            assert shared.get(address).status_code == 200, address
            refused = stranger.get(address)
            assert refused.status_code == 403, address
            assert "link" in refused.text
        assert stranger.post("/api/answers", json={}).status_code == 403

    @pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "%00"])
    def test_wrong_tokens(self, stranger: TestClient, token: str) -> None:
        refused = stranger.get(f"/?token={token}")
        assert refused.status_code == 403
        assert not refused.cookies
        assert stranger.get("/api/session").status_code == 403

    def test_the_cookie(self, stranger: TestClient) -> None:
        entrance = stranger.get(f"/?token={TOKEN}")
        cookie = entrance.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert entrance.headers["cache-control"] == "no-store"

    def test_a_cookie_of_another_run_is_none(self, shared: TestClient, make: Make) -> None:
        one, other = shared, make(enter=False)
        other.cookies.update(one.cookies)
        assert other.get("/api/session").status_code == 403

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "http://127.0.0.1:9999"},
            {"Origin": "null"},
            {"Origin": ""},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_posts_from_elsewhere(self, shared: TestClient, headers: dict[str, str]) -> None:
        assert shared.post("/api/answers", json={}, headers=headers).status_code == 403

    def test_posts_without_an_origin(self, shared: TestClient, stranger: TestClient) -> None:
        stranger.cookies.update(shared.cookies)
        assert stranger.post("/api/answers", json={}).status_code == 422
        del stranger.headers["Origin"]
        assert stranger.post("/api/answers", json={}).status_code == 403

    def test_pictures_shown_by_another_site(self, shared: TestClient) -> None:
        picture = addresses(shared)[-1]
        assert shared.get(picture, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403

    def test_forms(self, shared: TestClient) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            assert shared.post("/api/answers", content=b"{}", headers={"Content-Type": kind}).status_code == 415

    def test_large_bodies(self, shared: TestClient) -> None:
        headers = {"Content-Type": "application/json"}
        large = b" " * (MAX_BODY_BYTES + 1)
        assert shared.post("/api/answers", content=large, headers=headers).status_code == 413
        unsaid = shared.post("/api/answers", content=iter([large]), headers=headers)
        assert unsaid.status_code == 411
        both = headers | {"Content-Length": "10", "Transfer-Encoding": "chunked"}
        assert shared.post("/api/answers", content=large, headers=both).status_code == 411

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
    def test_other_methods(self, shared: TestClient, method: str) -> None:
        assert shared.request(method, "/api/session").status_code == 405

    def test_headers_of_every_answer(self, shared: TestClient, stranger: TestClient) -> None:
        said = [shared.get(address) for address in (*addresses(shared), "/nowhere", f"/?token={TOKEN}")]
        said += [stranger.get("/"), shared.get("/", headers={"Host": "evil.example"})]
        for answered in said:
            policy = answered.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert answered.headers["x-content-type-options"] == "nosniff"
            assert answered.headers["referrer-policy"] == "no-referrer"
            assert answered.headers["cross-origin-resource-policy"] == "same-origin"
            assert answered.headers["x-frame-options"] == "DENY"
            assert "access-control-allow-origin" not in answered.headers


class TestOnlySlidesOfOut:
    @pytest.mark.parametrize(
        "target",
        [
            "/../../../../etc/passwd",
            "/assets/../../../../etc/passwd",
            "/assets/..%2f..%2f..%2fetc%2fpasswd",
            "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "/assets/%252e%252e/%252e%252e/etc/passwd",
            "/assets/..\\..\\etc\\passwd",
            "//etc/passwd",
            "/etc/passwd",
            "/file:///etc/passwd",
            "/assets/passwd.txt",
            "/assets/index-1.js/../passwd.txt",
            "/tiles/0/../../../etc/passwd",
            "/tiles/..%2f..%2f/x/11/0_0.jpg",
            "/tiles/0//etc/passwd/0_0.jpg",
            "/api/slides/..%2fsample",
            "/api/slides/-1",
            "/api/slides/2",
            "/api/slides/sample",
            "/pictures/0/x/..%2f..%2fetc%2fpasswd.jpg?x=1&y=1",
            "/run.json",
            "/sample/run.json",
            "/assets/%00",
        ],
    )
    def test_paths_that_lead_out(self, shared: TestClient, shared_port: int, target: str) -> None:
        """Sent as they are, over a socket: a client library would tidy them up."""
        cookie = "; ".join(f"{name}={value}" for name, value in shared.cookies.items())
        asked = (
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{shared_port}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", shared_port), timeout=LONGEST_WAIT_S) as connection:
            connection.sendall(asked.encode())
            said = b"".join(iter(lambda: connection.recv(65536), b""))
        assert said.split()[1] in (b"404", b"400"), said[:200]
        assert b"root:" not in said

    def test_links_are_no_part_of_the_page(self, page: dict[str, Path]) -> None:
        assert set(page) == {"/index.html", "/assets/index-1.js"}

    def test_a_link_in_place_of_the_slide(self, make: Make, tmp_path: Path) -> None:
        folder = made_out(tmp_path / "out")
        slide = tmp_path / "coded.tiff"
        slide.unlink()
        slide.symlink_to(SAMPLE / "sample.tiff")
        refused = make(folder=folder).get(f"/api/slides/{CODED}")
        assert refused.status_code == 404
        assert "another slide" in refused.json()["error"]

    def test_slides_that_were_moved(self, make: Make, tmp_path: Path) -> None:
        folder = made_out(tmp_path / "out")
        elsewhere = tmp_path / "archive" / "2026"
        elsewhere.mkdir(parents=True)
        lost = make(folder=folder)
        shutil.move(tmp_path / "coded.tiff", elsewhere / "coded.tiff")
        refused = lost.get(f"/api/slides/{CODED}")
        assert refused.status_code == 404
        assert "--slides" in refused.json()["error"]
        found = make(folder=folder, slides=(tmp_path / "archive",)).get(f"/api/slides/{CODED}").json()
        assert (found["width"], found["height"]) == CODED_SIZE

    def test_tiles_of_another_slide_at_the_same_number(self, shared: TestClient) -> None:
        tiles = shared.get(f"/api/slides/{SAMPLE_NUMBER}").json()["tiles"]
        assert shared.get(f"{tiles.replace('/1/', '/0/')}/11/0_0.jpg").status_code == 404

    @pytest.mark.parametrize("place", ["11/99_0", "11/0_99", "12/6_0", "13/0_0", "0/0_0"])
    def test_tiles_that_are_not_there(self, shared: TestClient, place: str) -> None:
        tiles = shared.get(f"/api/slides/{SAMPLE_NUMBER}").json()["tiles"]
        assert shared.get(f"{tiles}/{place}.jpg").status_code == 404

    @pytest.mark.parametrize("query", ["", "x=1", "x=a&y=1", "x=nan&y=1", "x=-1&y=1", "x=1&y=99999", "x=inf&y=1"])
    def test_places_that_are_not_there(self, shared: TestClient, query: str) -> None:
        mark = shared.get(f"/api/slides/{SAMPLE_NUMBER}").json()["tiles"].rpartition("/")[2]
        assert shared.get(f"/pictures/{SAMPLE_NUMBER}/{mark}/crop.jpg?{query}").status_code in (400, 404)
        assert shared.get(f"/pictures/{SAMPLE_NUMBER}/{mark}/label.jpg?x=9&y=9").status_code == 404


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


class TestPictures:
    @pytest.mark.parametrize(("level", "file_level"), [(12, 0), (11, 1), (10, 2), (9, 3)])
    def test_tiles_are_the_slides_pixels(self, shared: TestClient, level: int, file_level: int) -> None:
        facts = shared.get(f"/api/slides/{SAMPLE_NUMBER}").json()
        assert (facts["first_level"], facts["last_level"], facts["tile_px"]) == (9, 12, TILE_PX)
        column, row = (1, 0) if level > 9 else (0, 0)
        got = pixels(shared.get(f"{facts['tiles']}/{level}/{column}_{row}.jpg").content)
        with open_slide(SAMPLE / "sample.tiff") as slide:
            place = (column * TILE_PX * 2**file_level, row * TILE_PX * 2**file_level)
            wanted = slide.read_region(place, file_level, (got.shape[1], got.shape[0])).astype(int)
        assert np.abs(got - wanted).mean() < 3  # JPEG's, twice
        shifted = np.abs(got[:, 1:] - wanted[:, :-1]).mean()
        assert shifted > 2 * np.abs(got - wanted).mean()  # one px aside would show

    def test_every_tile_has_its_own_pixels(self, coded: Slide) -> None:
        pyramid = Pyramid(*CODED_SIZE)
        level_0 = coordinate_coded(*CODED_SIZE)
        for level in range(pyramid.first_level, pyramid.last_level + 1):
            wanted = level_0[:: pyramid.downsample(level), :: pyramid.downsample(level)]
            width, height = pyramid.size(level)
            assert wanted.shape[:2] == (height, width)
            for row in range(-(-height // TILE_PX)):
                for column in range(-(-width // TILE_PX)):
                    box = pyramid.box(level, column, row)
                    assert box is not None
                    left, top, across, down = box
                    tile = np.asarray(read_tile(coded, pyramid, level, box))
                    np.testing.assert_array_equal(tile, wanted[top : top + down, left : left + across])

    def test_levels_that_the_file_lacks_are_means(self, tmp_path: Path) -> None:
        from tests.coordinate_slide import write_pyramid_tiff

        noise = np.random.default_rng(0).integers(0, 256, (1000, 1030, 3), dtype=np.uint8)
        path = write_pyramid_tiff(tmp_path / "flat.tiff", noise, 0.25, levels=1)
        pyramid = Pyramid(1030, 1000)
        with open_slide(path) as slide:
            level = pyramid.last_level - 2
            box = pyramid.box(level, 0, 0)
            assert box == (0, 0, 258, 250)
            tile = np.asarray(read_tile(slide, pyramid, level, box)).astype(float)
        means = noise[:1000, :1028].reshape(250, 4, 257, 4, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(tile[:, :257], means, atol=1)

    def test_a_scanners_slide_without_levels(self, shared_data: Path) -> None:
        with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
            pyramid = Pyramid(*slide.dimensions)
            level = pyramid.last_level - 1
            box = pyramid.box(level, 1, 2)
            assert box is not None
            tile = np.asarray(read_tile(slide, pyramid, level, box)).astype(float)
            whole = slide.read_region((2 * box[0], 2 * box[1]), 0, (2 * box[2], 2 * box[3])).astype(float)
        means = whole.reshape(box[3], 2, box[2], 2, 3).mean(axis=(1, 3))
        assert means.std() > 10  # tissue
        np.testing.assert_allclose(tile, means, atol=1)

    @given(st.integers(1, 250_000), st.integers(1, 250_000))
    def test_tiles_cover_every_level_once(self, width: int, height: int) -> None:
        pyramid = Pyramid(width, height)
        assert pyramid.size(pyramid.last_level) == (width, height)
        assert max(pyramid.size(pyramid.first_level)) <= TILE_PX
        for level in {pyramid.first_level, pyramid.last_level}:
            across, down = (-(-side // TILE_PX) for side in pyramid.size(level))
            last = pyramid.box(level, across - 1, down - 1)
            assert last is not None
            assert (last[0] + last[2], last[1] + last[3]) == pyramid.size(level)
            assert pyramid.box(level, across, 0) is None
            assert pyramid.box(level, 0, down) is None

    def test_crop_and_context_are_centred(self, shared: TestClient) -> None:
        mark = shared.get(f"/api/slides/{SAMPLE_NUMBER}").json()["tiles"].rpartition("/")[2]
        x, y = 1464, 692
        sizes = {}
        with open_slide(SAMPLE / "sample.tiff") as slide:
            # 10 um at 1/12 um per px, 25 um at 0.25
            for view, side, bar_px in (("crop", 128, 120), ("context", 512, 100), ("thumb", 96, 0)):
                got = shared.get(f"/pictures/{SAMPLE_NUMBER}/{mark}/{view}.jpg?x={x}&y={y}")
                picture = Image.open(io.BytesIO(got.content))
                sizes[view] = picture.size
                whole = slide.read_region((x - side // 2, y - side // 2), 0, (side, side))
                small = np.asarray(picture.resize((side, side), Image.Resampling.BOX)).astype(int)
                middle = slice(side // 2 - 30, side // 2 + 30)  # free of bar and corners
                assert np.abs(small[middle, middle] - whole[middle, middle].astype(int)).mean() < 4
                assert self.bar_px(pixels(got.content)) == pytest.approx(bar_px, abs=2)
        assert sizes == {"crop": (384, 384), "context": (512, 512), "thumb": (96, 96)}

    @staticmethod
    def bar_px(picture: np.ndarray) -> int:
        """Length of the white line at the lower right, where slides have no white."""
        side = len(picture)
        row = picture[side - round(0.035 * side) - 4, side // 2 :]
        return int((row > 215).all(axis=1).sum())

    def test_pictures_may_be_kept_and_answers_not(self, shared: TestClient) -> None:
        *others, tile, picture = addresses(shared)
        for address in (tile, picture):
            assert "immutable" in shared.get(address).headers["cache-control"]
        for address in others:
            if not address.startswith("/assets/"):
                assert shared.get(address).headers["cache-control"] == "no-store", address


def shelf_of_numbers(n: int, closed: list[int]) -> SlideShelf:
    """A shelf of ``n`` slides that are no more than numbers, which stand in ``closed`` once they were closed."""

    class Handle:
        def __init__(self, number: int) -> None:
            self.number = number

        def close(self) -> None:
            closed.append(self.number)

    return SlideShelf([lambda number=number: Handle(number) for number in range(n)])  # type: ignore[misc]


class TestShelf:
    def test_few_handles_for_many_threads(self) -> None:
        opened: list[str] = []
        lent = threading.Semaphore(HANDLES_A_SLIDE)

        class Handle:
            def close(self) -> None:
                opened.remove("one")

        def opener() -> Slide:
            opened.append("one")
            return Handle()  # type: ignore[return-value] # what is needed of one

        shelf = SlideShelf([opener])

        def use(_: int) -> None:
            with shelf.borrow(0):
                assert lent.acquire(blocking=False), "more handles lent than there are"
                time.sleep(0.002)  # so that the others come meanwhile
                lent.release()

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(use, range(200)))
        assert 1 <= len(opened) <= HANDLES_A_SLIDE
        shelf.close()
        assert opened == []

    def test_the_least_used_slide_is_closed(self) -> None:
        closed: list[int] = []
        n = OPEN_SLIDES + 2
        shelf = shelf_of_numbers(n, closed)
        for number in range(n):
            with shelf.borrow(number):
                pass
        assert closed == [0, 1]

    def test_a_slide_that_leaves_the_shelf_while_it_is_waited_for(self) -> None:
        closed: list[int] = []
        n = OPEN_SLIDES + 1
        shelf = shelf_of_numbers(n, closed)

        def use() -> None:
            with shelf.borrow(0):
                pass

        with ExitStack() as lent:
            for _ in range(HANDLES_A_SLIDE):
                lent.enter_context(shelf.borrow(0))
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(use)
                wait_until(lambda: shelf._changed._waiters)  # type: ignore[attr-defined]
                with shelf._changed:  # so that it does not wake before the slide is gone
                    lent.close()
                    for number in range(1, n):
                        with shelf.borrow(number):
                            pass
                    assert closed == [0] * HANDLES_A_SLIDE
                waiting.result(10)
        shelf.close()
        assert sorted(closed) == [0] * (HANDLES_A_SLIDE + 1) + list(range(1, n))

    def test_a_slide_that_cannot_be_opened_can_be_tried_again(self) -> None:
        tries = iter([SlideReadError("gone"), SlideReadError("gone")] + [None] * 9)

        class Handle:
            def close(self) -> None:
                pass

        def opener() -> Slide:
            error = next(tries)
            if error is not None:
                raise error
            return Handle()  # type: ignore[return-value] # what is needed of one

        shelf = SlideShelf([opener])
        for _ in range(2):
            with pytest.raises(SlideError), shelf.borrow(0):
                pass
        with shelf.borrow(0):
            pass

    def test_the_cache_is_bounded(self) -> None:
        cache = ByteCache(limit=100)
        for key in range(50):
            assert cache.get(key, lambda key=key: bytes([key]) * 10) == bytes([key]) * 10  # type: ignore[misc]
            assert cache.held <= 100
        assert cache.get(49, lambda: b"made anew") == b"1" * 10
        assert cache.get("large", lambda: b"x" * 101) == b"x" * 101
        assert cache.held <= 100


class TestAnswers:
    def test_an_answer_is_on_disk_when_it_is_acknowledged(self, client: TestClient, out: Path, tmp_path: Path) -> None:
        number = answer(client, 3, "AMF", reader="Anna Ö.")
        (kept,) = read_decisions(tmp_path / "decisions.sqlite")
        figure = sample_figures(out).iloc[3]
        assert (kept.decision_id, kept.reader, kept.answer, kept.blinded) == (number, "Anna Ö.", "AMF", False)
        assert (kept.x_um, kept.y_um, kept.candidate_uuid) == (figure["x_um"], figure["y_um"], figure["uuid"])
        assert (kept.kind, kept.source, kept.seconds) == ("figure", "browser", 1.5)

    def test_a_second_answer_replaces_the_first_and_undo_brings_it_back(self, client: TestClient) -> None:
        answer(client, 3, "AMF")
        second = answer(client, 3, "non-mitotic")
        assert [one["answer"] for one in self.answers(client)] == ["non-mitotic"]
        body = {"reader": "Anna", "id": second, "nonce": "a" * 8}
        assert client.post("/api/withdraw", json=body).status_code == 200
        assert [one["answer"] for one in self.answers(client)] == ["AMF"]

    def test_another_readers_answer_is_not_hers_to_withdraw(self, client: TestClient) -> None:
        number = answer(client, 3, "AMF", reader="Boris")
        for who, what in (("Anna", number), ("Boris", 99)):
            refused = client.post("/api/withdraw", json={"reader": who, "id": what, "nonce": "b" * 8})
            assert refused.status_code == 409
        assert len(self.answers(client)) == 1

    def test_the_same_post_twice_is_kept_once(self, client: TestClient, tmp_path: Path) -> None:
        assert answer(client, 3, "AMF", nonce="c" * 8) == answer(client, 3, "AMF", nonce="c" * 8)
        assert len(read_decisions(tmp_path / "decisions.sqlite")) == 1

    def test_a_post_sent_again_after_a_restart_is_kept_once(self, make: Make, tmp_path: Path) -> None:
        number = answer(make(), 3, "AMF", nonce="d" * 8)
        restarted = make()
        later = answer(restarted, 3, "NMF")  # from another browser
        assert answer(restarted, 3, "AMF", nonce="d" * 8) == number
        assert [one["answer"] for one in self.answers(restarted)] == ["NMF"]
        body = {"reader": "Anna", "id": later, "nonce": "e" * 8}
        undone = restarted.post("/api/withdraw", json=body).json()
        again = make()
        assert again.post("/api/withdraw", json=body).json() == undone
        assert answer(again, 3, "AMF", nonce="d" * 8) == number
        assert len(read_decisions(tmp_path / "decisions.sqlite")) == 2

    @pytest.mark.parametrize("blinded", [False, True])
    def test_a_nonce_of_another_reader_is_refused(self, make: Make, tmp_path: Path, blinded: bool) -> None:
        anna, boris = make(blinded=blinded), make(blinded=blinded)
        answer(anna, 3, "AMF", nonce="h" * 8)
        uuid = boris.get(f"/api/slides/{SAMPLE_NUMBER}/figures/4").json()["uuid"]
        body = {"reader": "Boris", "slide": "sample", "uuid": uuid, "answer": "NMF", "nonce": "h" * 8}
        refused = boris.post("/api/answers", json=body)
        assert (refused.status_code, "another reader" in refused.text) == (409, True)
        assert [one.reader for one in read_decisions(tmp_path / "decisions.sqlite")] == ["Anna"]

    def test_two_browsers_see_one_another(self, make: Make) -> None:
        one, other = make(), make()
        answer(one, 1, "AMF", reader="Anna")
        answer(other, 2, "NMF", reader="Boris")
        for client in (one, other):
            assert {(given["reader"], given["figure"]) for given in self.answers(client)} == {("Anna", 1), ("Boris", 2)}

    def test_nothing_new_is_not_sent_again(self, client: TestClient) -> None:
        answer(client, 1, "AMF")
        said = client.get("/api/answers?reader=Anna&since=0").json()
        assert len(said["answers"]) == 1
        assert "answers" not in client.get(f"/api/answers?reader=Anna&since={said['revision']}").json()

    def test_a_missed_figure(self, client: TestClient, tmp_path: Path) -> None:
        assert client.post("/api/added", json=addition(client, 100.0, 2000.0)).status_code == 200
        (kept,) = read_decisions(tmp_path / "decisions.sqlite")
        assert (kept.kind, kept.x_um, kept.y_um, kept.candidate_uuid) == ("added", 25.0, 500.0, None)
        (given,) = self.answers(client)
        assert (given["figure"], given["x"], given["y"]) == (None, 100.0, 2000.0)

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"answer": "maybe"}, 422),
            ({"figure": 3}, 422),
            ({"slide": "of another OUT"}, 409),
            ({"slide": "coded"}, 409),
            ({"slide": 1}, 422),
            ({"reader": ""}, 422),
            ({"reader": " Anna"}, 422),
            ({"reader": "A" * 101}, 422),
            ({"reader": "A\x00B"}, 422),
            ({"uuid": "of another figure"}, 409),
            ({"blinded": True}, 422),
            ({"seconds": -1}, 422),
            ({"nonce": "short"}, 422),
            ({"nonce": None}, 422),
        ],
    )
    def test_posts_that_make_no_sense(
        self, client: TestClient, tmp_path: Path, changes: dict[str, Any], status: int
    ) -> None:
        uuid = client.get(f"/api/slides/{SAMPLE_NUMBER}/figures/3").json()["uuid"]
        body = {"reader": "Anna", "slide": "sample", "uuid": uuid, "answer": "AMF", "nonce": "g" * 8}
        refused = client.post("/api/answers", json=body | changes)
        assert refused.status_code == status
        assert refused.json()["error"]
        assert read_decisions(tmp_path / "decisions.sqlite") == []

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"reader": NaN}', b"\xff\xfe", b"[" * 5000])
    def test_bodies_that_are_none(self, client: TestClient, body: bytes) -> None:
        refused = client.post("/api/added", content=body, headers={"Content-Type": "application/json"})
        assert refused.status_code == 422

    @pytest.mark.parametrize("place", [(-1.0, 5.0), (5.0, 99_999.0), (float("1e308"), 5.0)])
    def test_missed_figures_off_the_slide(self, client: TestClient, place: tuple[float, float]) -> None:
        assert client.post("/api/added", json=addition(client, *place)).status_code == 422

    def test_a_page_opened_before_a_slide_was_added(self, make: Make, out: Path, tmp_path: Path) -> None:
        """Numbers of slides have moved since; what waited in the browser under the review's name is kept all the same."""
        fewer = tmp_path / "fewer"
        shutil.copytree(out / "sample", fewer / "sample")
        before, after = make(folder=fewer), make()
        names = [client.get("/api/session").json()["review"] for client in (before, after)]
        assert names[0] == names[1]
        uuid = before.get("/api/slides/0/figures/3").json()["uuid"]
        assert after.get("/api/slides/0/figures/3").json()["uuid"] != uuid
        body = {"reader": "Anna", "slide": "sample", "uuid": uuid, "answer": "AMF", "nonce": "n" * 8}
        assert after.post("/api/answers", json=body).status_code == 200
        assert after.post("/api/added", json=addition(before, 100.0, 900.0, slide=0)).status_code == 200
        kept = read_decisions(tmp_path / "decisions.sqlite")
        assert [(one.slide_id, one.candidate_uuid) for one in kept] == [("sample", uuid), ("sample", None)]

    def test_every_answer_says_which_results_it_comes_from(
        self, client: TestClient, make: Make, stranger: TestClient
    ) -> None:
        def said(client: TestClient) -> set[str]:
            post = client.post("/api/added", json=addition(client, 100.0, 900.0))
            refused = client.get("/api/slides/99")
            asked = [client.get(address) for address in addresses(client) if address.startswith("/api/")]
            return {answered.headers[RESULTS_HEADER] for answered in (post, refused, *asked)}

        before = said(client)
        assert len(before) == 1
        assert said(make()) == before  # started anew, whatever was answered since
        assert RESULTS_HEADER not in stranger.get("/api/session").headers

    def test_other_results_and_worklists_are_told_apart(self, out: Path, tmp_path: Path) -> None:
        copied = tmp_path / "out"
        shutil.copytree(out, copied)
        drawn = worklist_of(copied)
        with DecisionStore(tmp_path / "d.sqlite") as store:

            def both(worklist: Worklist | None) -> tuple[str, str]:
                boards = (
                    Board(copied, find_results(copied), store, worklist=worklist, blinded=blinded)
                    for blinded in (False, True)
                )
                return tuple(board.results_hash for board in boards)  # type: ignore[return-value]

            first = both(drawn)
            assert both(drawn) == first
            longer = both(worklist_of(copied, budget=31))
            (result,) = (one for one in find_results(copied) if one.slide_id == "sample")
            table = result.table()
            write_predictions(table.assign(p_atypical=table["p_atypical"] / 2), result.folder, n_experts=3)
            other_model = both(drawn)
            assert other_model[0] != first[0]
            assert other_model[1] == first[1]  # of what is hidden the hash says nothing either
            screen_again(copied)
            found = [*first, other_model[0], *longer, *both(worklist_of(copied)), *both(None)]
            assert len(set(found)) == len(found)

    def test_a_missed_figure_of_another_slide_in_the_same_folder(self, client: TestClient, tmp_path: Path) -> None:
        marks = [entry["mark"] for entry in client.get("/api/session").json()["slides"]]
        refused = client.post("/api/added", json=addition(client, 9.0, 9.0) | {"mark": marks[CODED]})
        assert refused.status_code == 409
        assert "sample: the results have changed" in refused.json()["error"]
        assert read_decisions(tmp_path / "decisions.sqlite") == []

    def test_reviews_of_the_same_slides_have_names_of_their_own(self, make: Make, out: Path, tmp_path: Path) -> None:
        with DecisionStore(tmp_path / "another.sqlite") as store:
            other = Board(out, find_results(out), store, worklist=None).session()["review"]
        here = make().get("/api/session").json()["review"]
        assert here != other
        assert make().get("/api/session").json()["review"] == here  # after a restart

    @staticmethod
    def answers(client: TestClient) -> list[dict[str, Any]]:
        given: list[dict[str, Any]] = client.get("/api/answers?reader=Anna").json()["answers"]
        return given


class TestWhatIsShown:
    def test_counts_are_those_of_the_files(self, make: Make, out: Path, tmp_path: Path) -> None:
        client = make(adjudicator="Carla")
        for figure, what in enumerate(["AMF", "NMF", "non-mitotic", "cannot-tell"]):
            answer(client, figure, what, reader="Anna")
            answer(client, figure, "AMF", reader="Boris")
        copied = Path(shutil.copytree(out, tmp_path / "applied"))
        applied = apply_review(copied, decisions=[tmp_path / "decisions.sqlite"], adjudicator="Carla")
        counts = client.get("/api/counts").json()
        assert counts == json.loads((applied.folder / "reviewed_summary.json").read_text())["counts"]
        assert (counts["all"]["n_reviewed"], counts["all"]["n_adjudicate"]) == (4, 3)

    def test_adjudication(self, make: Make) -> None:
        client = make(adjudicator="Carla")
        answer(client, 0, "AMF", reader="Anna")
        answer(client, 0, "NMF", reader="Boris")
        answer(client, 1, "AMF", reader="Anna")
        answer(client, 1, "AMF", reader="Boris")
        (dispute,) = client.get("/api/adjudication").json()["disputes"]
        assert (dispute["figure"], dispute["settled"]) == (0, None)
        assert dispute["answers"] == [{"reader": "Anna", "answer": "AMF"}, {"reader": "Boris", "answer": "NMF"}]
        waiting = client.get("/api/counts").json()["all"]
        answer(client, 0, "NMF", reader="Carla")
        (settled,) = client.get("/api/adjudication").json()["disputes"]
        assert settled["settled"] == "NMF"
        after = client.get("/api/counts").json()["all"]
        assert (waiting["n_adjudicate"], after["n_adjudicate"]) == (1, 0)
        assert after["with_review"]["n_nmf"] == waiting["with_review"]["n_nmf"] + 1

    def test_packed_figures(self, client: TestClient, out: Path) -> None:
        content = client.get(f"/api/slides/{SAMPLE_NUMBER}/figures").content
        magic, n = struct.unpack_from("<4sI", content)
        assert (magic, len(content)) == (b"WAF1", 8 + 12 * n)
        x, y = (np.frombuffer(content, "<f4", n, 8 + 4 * n * k) for k in (0, 1))
        p = np.frombuffer(content, "<u2", n, 8 + 8 * n)
        classes = np.frombuffer(content, "u1", n, 8 + 10 * n)
        places = sample_figures(out)
        np.testing.assert_array_equal(np.stack([x, y], axis=1), places[["x", "y"]].to_numpy())
        for figure in range(n):
            case = client.get(f"/api/slides/{SAMPLE_NUMBER}/figures/{figure}").json()
            assert case["uuid"] == places["uuid"][figure]
            assert p[figure] == round(case["p_atypical"] * 10_000)
            assert classes[figure] == CLASS_NUMBERS[case["label"]]

    def test_a_slides_regions_and_hotspots(self, client: TestClient) -> None:
        facts = client.get(f"/api/slides/{SAMPLE_NUMBER}").json()
        assert facts["outlines_status"] == "ok"
        assert len(facts["outlines"]) == 2  # the tumour and the necrosis in it
        assert facts["hotspots"] == [{"rank": 1, "x": 540.5, "y": 497.5, "width": 1460.5, "height": 1095.5}]
        assert client.get(f"/api/slides/{CODED}").json()["outlines"] == []

    def test_the_worklist(self, client: TestClient, out: Path) -> None:
        rows = client.get("/api/worklist?reader=Anna").json()["rows"]
        drawn = worklist_of(out).table
        uuids = [client.get(f"/api/slides/{row[0]}/figures/{row[1]}").json()["uuid"] for row in rows]
        assert uuids == drawn["uuid"].tolist()
        case = client.get(f"/api/slides/{rows[0][0]}/figures/{rows[0][1]}").json()
        assert case["stratum"] == drawn["stratum"].iloc[0]
        assert case["inclusion_probability"] == drawn["inclusion_probability"].iloc[0]

    def test_without_a_worklist_the_first_by_rank(self, out: Path, tmp_path: Path) -> None:
        with DecisionStore(tmp_path / "d.sqlite") as store:
            board = Board(out, find_results(out), store, worklist=None)
            ranks = [board.case(board.row_of(int(row[0]), int(row[1])) or 0)["rank"] for row in board.worklist("Anna")]
        assert ranks == sorted(ranks)
        assert len(ranks) == len(board.figures)

    def test_a_worklist_of_other_results(self, out: Path, tmp_path: Path) -> None:
        drawn = worklist_of(out)
        drawn.table.loc[0, "uuid"] = "none"
        command = f"wsiamf review worklist {out} --review-budget 30 --seed 0 --certain-share 0.5 --overwrite"
        with DecisionStore(tmp_path / "d.sqlite") as store, pytest.raises(ReviewError, match=re.escape(command)):
            Board(out, find_results(out), store, worklist=drawn)

    def test_a_worklist_from_before_figures_were_added(
        self, out: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        copied = tmp_path / "out"
        shutil.copytree(out, copied)
        fewer = load_figures(find_results(copied)).iloc[:-1]
        drawn = make_worklist(fewer, budget=20, seed=3, certain_share=0.2)
        write_worklist(drawn, copied)
        with DecisionStore(tmp_path / "d.sqlite") as store:
            assert Board(copied, find_results(copied), store, worklist=worklist_of(copied)).session()["redraw"] is None
            assert Board(copied, find_results(copied), store, worklist=None).session()["redraw"] is None
            assert caplog.text == ""
            redraw = Board(copied, find_results(copied), store, worklist=drawn).session()["redraw"]
            command = f"wsiamf review worklist {copied} --review-budget 20 --seed 3 --certain-share 0.2 --overwrite"
            assert command in caplog.text
            assert redraw == command.replace(str(copied), "OUT")
            assert run(command.split()[1:]) == 0  # what is said helps
            assert (
                Board(copied, find_results(copied), store, worklist=read_worklist(copied)).session()["redraw"] is None
            )


class TestBlinding:
    def test_the_server_sends_nothing_that_is_hidden(self, make: Make) -> None:
        unblinded = make()
        for figure, what in enumerate(["AMF", "NMF", "cannot-tell"]):
            answer(unblinded, figure, what, reader="Boris")
        client = make(blinded=True)
        for address in addresses(unblinded):
            said = client.get(address)
            if address in ("/api/counts", "/api/adjudication"):
                assert said.status_code == 403
                continue
            assert said.status_code == 200
            if "json" not in said.headers["content-type"]:
                continue
            values = json.loads(said.text)
            if address == f"/api/slides/{SAMPLE_NUMBER}":  # the names stay, empty
                assert values.pop("thresholds") == {"p_atypical": None, "p_hard": None, "experts": []}
                assert [one.pop("rank") for one in values["hotspots"]] == [None]
            for secret in SECRETS:
                assert secret not in json.dumps(values), address

    def test_figures_carry_no_class(self, make: Make) -> None:
        content = make(blinded=True).get(f"/api/slides/{SAMPLE_NUMBER}/figures").content
        (n,) = struct.unpack_from("<I", content, 4)
        assert (np.frombuffer(content, "<u2", n, 8 + 8 * n) == NO_P).all()
        assert not np.frombuffer(content, "u1", 2 * n, 8 + 10 * n).any()

    def test_every_reader_has_an_order_of_her_own(self, make: Make) -> None:
        one, other = make(blinded=True), make(blinded=True)
        anna, again, boris = (
            client.get(f"/api/worklist?reader={name}").json()["rows"]
            for client, name in ((one, "Anna"), (one, "Anna"), (other, "Boris"))
        )
        ranked = make().get("/api/worklist?reader=Anna").json()["rows"]
        assert anna == again
        assert anna != boris
        assert {tuple(row[2:5]) for row in anna} == {(0, 0, NO_P)}
        places = sorted(tuple(row[:2]) for row in ranked)
        assert sorted(tuple(row[:2]) for row in anna) == sorted(tuple(row[:2]) for row in boris) == places
        assert [row[:2] for row in anna] != [row[:2] for row in ranked]

    def test_own_answers_alone(self, make: Make, tmp_path: Path) -> None:
        client = make(blinded=True)
        answer(client, 0, "AMF", reader="Anna")
        answer(make(blinded=True), 1, "NMF", reader="Boris")
        client.post("/api/added", json=addition(client, 100.0, 2000.0))
        given = client.get("/api/answers?reader=Anna").json()["answers"]
        assert [(one["figure"], one["x"]) for one in given] == [(0, given[0]["x"]), (None, 100.0)]
        assert {one["reader"] for one in given} == {"Anna"}
        assert all(one.blinded for one in read_decisions(tmp_path / "decisions.sqlite"))

    def test_a_browser_is_its_first_reader_alone(self, make: Make) -> None:
        client = make(blinded=True)
        answer(client, 0, "AMF", reader="Anna")
        assert client.get("/", params={"token": TOKEN}).status_code == 200  # which makes nobody of her
        for address in ("/api/answers?reader=Boris", "/api/worklist?reader=Boris"):
            assert client.get(address).status_code == 403
        assert client.post("/api/added", json=addition(client, 9.0, 9.0) | {"reader": "Boris"}).status_code == 403
        assert client.post("/api/withdraw", json={"reader": "Boris", "id": 1, "nonce": "l" * 8}).status_code == 403
        other = TestClient(client.app, base_url=ORIGIN, headers={"Origin": ORIGIN})
        other.get("/", params={"token": TOKEN})
        assert other.get("/api/answers?reader=Boris").json()["answers"] == []
        assert other.get("/api/answers?reader=Anna").status_code == 403

    def test_no_number_counts_what_others_answer(self, make: Make) -> None:
        anna, boris = make(blinded=True), make(blinded=True)
        for figure in range(5):
            answer(boris, figure, "AMF", reader="Boris")
        assert anna.get("/api/answers?reader=Anna").json() == {"revision": 0, "answers": []}
        assert [answer(anna, figure, "NMF") for figure in (7, 8)] == [1, 2]
        answer(boris, 7, "AMF", reader="Boris")
        given = anna.get("/api/answers?reader=Anna").json()
        assert (given["revision"], {one["figure"]: one["id"] for one in given["answers"]}) == (2, {7: 1, 8: 2})
        for number, status in ((3, 409), (7, 409), (2, 200)):
            body = {"reader": "Anna", "id": number, "nonce": os.urandom(8).hex()}
            assert anna.post("/api/withdraw", json=body).status_code == status
        left = anna.get("/api/answers?reader=Anna").json()
        assert (left["revision"], [one["figure"] for one in left["answers"]]) == (3, [7])

    def test_a_look_at_what_is_known_reads_no_answers(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        client = make(blinded=True)
        answer(client, 3, "AMF")
        monkeypatch.setattr(DecisionStore, "events", lambda _store: pytest.fail("reads every answer of the file"))
        assert client.get("/api/answers?reader=Anna&since=1").json() == {"revision": 1}
        assert answer(client, 4, "NMF") == 2

    def test_hotspots_come_by_place(self, make: Make, out: Path, tmp_path: Path) -> None:
        copied = tmp_path / "out"
        shutil.copytree(out, copied)
        path = copied / "sample" / "summary.json"
        summary = json.loads(path.read_text("utf-8"))
        places = [(1500.0, 500.0), (300.0, 700.0), (900.0, 500.0)]
        summary["hotspots"] = [
            {"rank": rank, "x_px": x, "y_px": y, "width_px": 80.0, "height_px": 60.0}
            for rank, (x, y) in enumerate(places, start=1)
        ]
        path.write_text(json.dumps(summary), "utf-8")
        for blinded, shown in ((False, places), (True, sorted(places, key=lambda place: place[::-1]))):
            facts = make(folder=copied, blinded=blinded).get(f"/api/slides/{SAMPLE_NUMBER}").json()
            assert [(one["x"], one["y"]) for one in facts["hotspots"]] == shown


class TestServing:
    @pytest.mark.parametrize(
        ("host", "link"),
        [
            ("127.0.0.1", "http://127.0.0.1:80/?token=x"),
            ("::1", "http://[::1]:80/?token=x"),
            ("0.0.0.0", f"http://{socket.gethostname()}:80/?token=x"),  # noqa: S104 - the name alone
        ],
    )
    def test_links(self, host: str, link: str) -> None:
        assert link_of(host, 80, "x") == link

    def test_a_port_that_is_taken(self) -> None:
        with listening("127.0.0.1", 0) as taken, pytest.raises(ReviewError, match="--port"):
            listening("127.0.0.1", taken.getsockname()[1])

    def test_a_host_that_is_none(self) -> None:
        with pytest.raises(ReviewError, match="--host"):
            listening("no.such.host.invalid", 0)

    def test_a_page_that_was_not_built(self, tmp_path: Path) -> None:
        with pytest.raises(ReviewError, match=r"Node\.js"):
            built_files(tmp_path)

    def test_libraries_that_are_missing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from wsiamf.cli.review_serve import serve

        monkeypatch.delitem(sys.modules, "wsiamf.review.server.running", raising=False)
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        with pytest.raises(ReviewError, match=r"uvicorn: pip install 'wsiamf\[review\]'"):
            serve([str(tmp_path)], standalone_mode=False)

    def test_from_the_link_to_ctrl_c(self, out: Path, page: dict[str, Path], tmp_path: Path) -> None:
        """As a user runs it, with the stand-in for the built page."""
        copied = tmp_path / "out"
        shutil.copytree(out, copied)
        with self.served(copied, page) as process:
            link = first_line(process).strip()
            import httpx

            with httpx.Client(timeout=LONGEST_WAIT_S, trust_env=False) as client:
                assert client.get(link).status_code == 200
                assert client.get(link.partition("?")[0] + "api/session").json()["reader"] == "Anna"
            process.send_signal(signal.SIGINT)
            rest, said = process.communicate(timeout=LONGEST_WAIT_S)
        assert process.returncode == 0, said
        assert rest == ""  # the link alone is data
        assert "no worklist" in said
        assert (copied / "review" / "decisions.sqlite").is_file()

    def test_the_same_address_after_a_crash(self, out: Path, page: dict[str, Path], tmp_path: Path) -> None:
        """Browsers keep what they have not sent under the address."""
        copied = tmp_path / "out"
        shutil.copytree(out, copied)
        with self.served(copied, page) as process:
            address = first_line(process).partition("?")[0]
            with self.served(copied, page) as other:  # at once, so that the port is taken
                elsewhere = first_line(other).partition("?")[0]
                other.send_signal(signal.SIGINT)
                _, said = other.communicate(timeout=LONGEST_WAIT_S)
            assert elsewhere != address
            assert f"{copied} was served last, is in use; serving on another. What" in said
            assert "choose other" not in said
            process.kill()
        with self.served(copied, page) as restarted:
            assert first_line(restarted).partition("?")[0] == address
            restarted.send_signal(signal.SIGINT)
            _, said = restarted.communicate(timeout=LONGEST_WAIT_S)
        assert "port" not in said

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "null", '{"port": null}', '{"port": 99999}', '{"port": -1}', '{"port": 1e400}']
    )
    def test_a_record_of_the_port_that_is_none(self, tmp_path: Path, text: str) -> None:
        places = ReviewPlaces(tmp_path)
        places.folder.mkdir()
        places.server.write_text(text)
        with listening_again("127.0.0.1", 0, places) as listener:
            assert listener.getsockname()[1] > 0

    @staticmethod
    def served(out: Path, page: dict[str, Path]) -> AbstractContextManager[subprocess.Popen[str]]:
        """A process that serves, with the stand-in for the built page."""
        program = (
            "import sys, pathlib; from wsiamf.review.server import front_end;"
            f"front_end.built_files.__defaults__ = (pathlib.Path({str(page['/index.html'].parent)!r}),);"
            "from wsiamf.cli.review_serve import serve;"
            f"serve([{str(out)!r}, '--no-browser', '--reader', 'Anna'], standalone_mode=False)"
        )
        return start_python("-c", program)
