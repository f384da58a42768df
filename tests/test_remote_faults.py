"""What can be wrong with an address: each is one clear line that holds no credentials, and nothing is waited for for ever."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from tests.made_ome import halves, write_ome_zarr
from tests.remote_store import Handler, WebServer, put_in_memory, serving
from wsiamf.addresses import Url
from wsiamf.errors import SlideError, SlideNotFoundError, SlideReadError, UnsupportedSlideError
from wsiamf.slides import open_slide, read_fingerprint, refuse_unreadable_address, remote_file

PIXELS = coordinate_coded(600, 400)
SMALL = coordinate_coded(150, 100)
SECRETS = "?X-Amz-Signature=0badc0ffee&X-Amz-Credential=AKIAEXAMPLE"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_file, "PAUSES_S", (0.01, 0.02))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def tiff(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A pyramid of many tiles; the header stands in the first block and behind the pixels of each level."""
    path = write_pyramid_tiff(tmp_path_factory.mktemp("web") / "a.tiff", PIXELS, tile=64, compression=None)
    return path.read_bytes()


@pytest.fixture
def server(tiff: bytes) -> Iterator[WebServer]:
    with serving({"/a.tiff": tiff, "/dir/b c.tiff": tiff}) as content:
        yield content


def refused(url: str, kind: type[SlideError] = SlideReadError) -> str:
    """The line that an address is refused with."""
    with pytest.raises(kind) as caught:
        open_slide(url)
    line = str(caught.value)
    assert "\n" not in line
    for secret in ("0badc0ffee", "AKIAEXAMPLE", "s3cr3t"):
        assert secret not in line
    assert caught.value.__cause__ is None, "a library's own error may repeat the credentials"
    return line


def whole(url: str) -> NDArray[np.uint8]:
    with open_slide(url) as slide:
        return slide.read_region((0, 0), 0, slide.dimensions)


def test_a_web_servers_slide_is_read_by_ranges(server: WebServer) -> None:
    assert np.array_equal(whole(server.url("/a.tiff")), PIXELS)
    assert all(start is not None for _, start, _ in server.requests)


def test_a_name_with_a_space_written_either_way(server: WebServer) -> None:
    for written in ("/dir/b c.tiff", "/dir/b%20c.tiff", "/dir/b c.tiff?sig=a%2Fb", "/dir/b%20c.tiff?sig=a%2Fb"):
        server.files["/dir/b%20c.tiff"] = server.files["/dir/b c.tiff"]  # as it reaches the server
        with open_slide(server.url(written)) as slide:
            assert slide.name == "b c.tiff"


def test_a_password_reaches_the_server_and_no_message(server: WebServer) -> None:
    seen: list[str | None] = []

    def look(handler: Handler, _number: int) -> bool:
        seen.append(handler.headers.get("Authorization"))
        return False

    server.fault = look
    with open_slide(server.url("/a.tiff").replace("http://", "http://me:s3cr3t@")) as slide:
        assert str(slide.path) == server.url("/a.tiff")
    assert seen[0] == "Basic bWU6czNjcjN0"


def test_a_signature_reaches_the_server_as_it_was_written(server: WebServer) -> None:
    seen: list[str] = []

    def look(handler: Handler, _number: int) -> bool:
        seen.append(handler.path)
        return False

    server.fault = look
    with open_slide(server.url("/a.tiff?Credential=AK%2F2026&Signature=a%2Bb%3D")) as slide:
        assert slide.name == "a.tiff"
    assert set(seen) == {"/a.tiff?Credential=AK%2F2026&Signature=a%2Bb%3D"}


def test_what_a_user_configured_reaches_every_request(
    server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _serve_store(server, write_ome_zarr(tmp_path / "z.zarr", halves(SMALL)))
    server.files |= {f"http://slides.invalid{path}": data for path, data in server.files.items()}  # so a proxy is asked
    seen: list[list[str | None]] = []

    def look(handler: Handler, _number: int) -> bool:
        seen.append([handler.headers.get(name) for name in ("X-Lab", "X-Other", "Accept-Encoding")])
        return False

    server.fault = look
    configured = {"proxy": server.address, "headers": {"X-Lab": "7"}, "client_kwargs": {"headers": {"X-Other": "8"}}}
    monkeypatch.setitem(fsspec.config.conf, "http", configured)
    assert np.array_equal(whole("http://slides.invalid/a.tiff"), PIXELS)
    assert np.array_equal(whole("http://slides.invalid/z.zarr"), SMALL)
    assert read_fingerprint("http://slides.invalid/z.zarr")
    assert seen
    assert all(headers == ["7", "8", "identity"] for headers in seen)


def test_nothing_at_the_address(server: WebServer) -> None:
    line = refused(server.url("/missing.svs") + SECRETS, SlideNotFoundError)
    assert line == f"{server.url('/missing.svs')}: no such slide at this address; check it."
    assert len(server.requests) == 1
    with pytest.raises(FileNotFoundError):
        read_fingerprint("memory://nothing/there.svs")


def test_a_file_that_goes_is_said_to_be_gone_by_its_fingerprint(server: WebServer) -> None:
    server.files["/a.tiff"] += bytes(1 << 21)  # so that the ends are not kept from its opening
    with open_slide(server.url("/a.tiff")) as slide:
        del server.files["/a.tiff"]
        with pytest.raises(SlideNotFoundError) as caught:
            _ = slide.fingerprint
    assert str(caught.value) == f"{server.url('/a.tiff')}: no such slide at this address; check it."


def test_a_fingerprint_takes_two_requests_and_is_of_no_less_than_was_asked_for(server: WebServer) -> None:
    server.files["/a.tiff"] += bytes(1 << 21)
    assert read_fingerprint(server.url("/a.tiff"))
    assert len(server.requests) == 2
    server.fault = lambda handler, number: server.requests[number][1] != 0 and handler.answer(206, b"short")
    with pytest.raises(SlideReadError, match=r"cannot be read after 3 tries: 5 of 1,048,576 bytes came"):
        read_fingerprint(server.url("/a.tiff"))


@pytest.mark.parametrize("status", [401, 403])
def test_access_denied(server: WebServer, status: int) -> None:
    server.fault = lambda handler, _number: handler.answer(status, b"no")
    line = refused(server.url("/a.tiff") + SECRETS)
    assert f"access is denied (HTTP {status})" in line
    assert "credentials" in line
    assert len(server.requests) == 1


def test_a_server_that_serves_whole_files_only(server: WebServer) -> None:
    server.ranges = False
    assert "no range requests); copy the slide to a local disk first" in refused(server.url("/a.tiff"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_a_body_without_end_is_not_read_on(server: WebServer, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    monkeypatch.setattr(remote_file, "TIMEOUT_S", 3.0)
    monkeypatch.setattr(remote_file, "_BLOCK", 1 << 10)
    sent: list[int] = []

    def flood(handler: Handler, number: int) -> bool:
        if number < first:
            return False
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 0-1023/100000")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for _ in range(1 << 12):  # 4 GiB
                handler.wfile.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
                sent.append(1 << 20)
        except OSError:
            handler.close_connection = True
        return True

    server.fault = flood
    assert "no range requests" in refused(server.url("/a.tiff"))
    assert sum(sent) < 64 << 20


def test_a_refused_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = refused(f"http://me:s3cr3t@127.0.0.1:{port}/a.svs{SECRETS}")
    assert line.startswith(f"http://127.0.0.1:{port}/a.svs: cannot be opened after 3 tries: Cannot connect")


def test_a_server_that_never_answers(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_file, "TIMEOUT_S", 0.1)

    def hang(_handler: Handler, _number: int) -> bool:
        time.sleep(0.6)
        return True

    server.fault = hang
    started = time.monotonic()
    assert "after 3 tries: no answer within 0.1 s" in refused(server.url("/a.tiff"))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_fault_that_passes_is_not_noticed(server: WebServer, first: int) -> None:
    def cut(handler: Handler, number: int) -> bool:
        if number in (first, first + 1):
            handler.answer(206, b"x" * 5000, {"Content-Range": "bytes 0-4999/9999"}, sent=100)
            return True
        return False

    server.fault = cut
    assert np.array_equal(whole(server.url("/a.tiff")), PIXELS)


def test_a_server_fault_that_passes_is_not_noticed(server: WebServer) -> None:
    server.fault = lambda handler, number: number < 2 and handler.answer(503, b"later")
    assert np.array_equal(whole(server.url("/a.tiff")), PIXELS)


def test_a_connection_that_breaks_off_for_good_fails_the_region_alone(server: WebServer) -> None:
    with open_slide(server.url("/a.tiff") + SECRETS) as slide:
        server.fault = lambda handler, _number: handler.answer(206, b"x" * 12288, sent=100)
        tiles = slide.tiles(0)
        assert tiles is not None
        with pytest.raises(SlideReadError, match=r"/a\.tiff: cannot be read after 3 tries") as caught:
            tiles.decode(3, 2)
        assert "0badc0ffee" not in str(caught.value)
        with pytest.raises(SlideReadError):
            slide.read_region((256, 128), 0, (64, 64))
        server.fault = None
        assert np.array_equal(slide.read_region((256, 128), 0, (64, 64)), PIXELS[128:192, 256:320])


@pytest.mark.parametrize("first", range(1, 12, 2))
def test_a_connection_lost_within_the_header_is_not_taken_for_a_damaged_file(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(remote_file, "_BLOCK", 64)
    server.fault = lambda handler, number: number >= first and handler.answer(503, b"gone")
    assert "cannot be read after 3 tries: the server says HTTP 503" in refused(server.url("/a.tiff"))


def test_a_file_that_ends_too_early_is_incomplete(server: WebServer) -> None:
    server.files["/a.tiff"] = server.files["/a.tiff"][:-2000]
    with pytest.raises(UnsupportedSlideError, match=r"incomplete|no slide"):
        open_slide(server.url("/a.tiff"))


def test_an_ome_zarr_of_a_web_server(server: WebServer, tmp_path: Path) -> None:
    _serve_store(server, write_ome_zarr(tmp_path / "z.zarr", halves(SMALL)))
    url = server.url("/z.zarr")
    assert np.array_equal(whole(url), SMALL)
    first = read_fingerprint(url)
    with open_slide(url) as slide:
        assert slide.fingerprint == first
    for key, more in (("2/0.0.0.0.0", b"\0"), ("0/.zattrs", b" "), (".zattrs", b" ")):
        server.files[f"/z.zarr/{key}"] += more
        changed = read_fingerprint(url)
        assert changed != first
        first = changed


def test_a_chunk_that_cannot_be_had_is_no_white_tile(server: WebServer, tmp_path: Path) -> None:
    _serve_store(server, write_ome_zarr(tmp_path / "z.zarr", halves(SMALL)))
    with open_slide(server.url("/z.zarr")) as slide:
        server.fault = lambda handler, _number: "/0/0." in handler.path and handler.answer(503, b"busy")
        with pytest.raises(SlideReadError, match=r"z\.zarr: cannot be read after 3 tries: the server says HTTP 503"):
            slide.read_region((0, 0), 0, (64, 64))
        server.fault = None
        assert np.array_equal(slide.read_region((0, 0), 0, (64, 64)), SMALL[:64, :64])


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one shard of 3 MiB that holds many chunks."""
    pixels = np.random.default_rng(0).integers(1, 256, (1024, 1024, 3), dtype=np.uint8)
    folder = tmp_path_factory.mktemp("sharded") / "z.zarr"
    return write_ome_zarr(folder, (pixels,), version="0.5", axes="yxc", shard=1024)


def test_a_shard_of_a_web_server_is_never_read_whole(server: WebServer, sharded: Path) -> None:
    _serve_store(server, sharded)
    shard = "/z.zarr/0/c/0/0/0"
    first = read_fingerprint(server.url("/z.zarr"))
    with open_slide(server.url("/z.zarr")) as slide:
        assert slide.fingerprint == first
        slide.read_region((0, 0), 0, (64, 64))
    asked = [(start, end) for path, start, end in server.requests if path == shard]
    size = len(server.files[shard])
    assert asked[:4] == [(0, 1 << 20), (size - (1 << 20), size)] * 2
    assert sum(end - start for start, end in asked[4:] if start is not None and end is not None) < 1 << 16
    for changed in (5, -5):
        data = bytearray(server.files[shard])
        data[changed] ^= 1
        server.files[shard] = bytes(data)
        assert read_fingerprint(server.url("/z.zarr")) != first


def test_a_sharded_store_of_a_server_without_ranges_is_not_taken_for_damaged(server: WebServer, sharded: Path) -> None:
    _serve_store(server, sharded)
    server.ranges = False
    with open_slide(server.url("/z.zarr")) as slide:
        for reading in (lambda: slide.read_region((0, 0), 0, (64, 64)), lambda: slide.fingerprint):
            with pytest.raises(SlideReadError, match="serves whole files only"):
                reading()


def test_a_store_without_shards_needs_no_ranges(server: WebServer, tmp_path: Path) -> None:
    _serve_store(server, write_ome_zarr(tmp_path / "z.zarr", halves(SMALL)))
    first = read_fingerprint(server.url("/z.zarr"))
    server.ranges = False
    assert np.array_equal(whole(server.url("/z.zarr")), SMALL)
    assert read_fingerprint(server.url("/z.zarr")) == first


def test_no_more_than_64_chunks_are_read_for_a_fingerprint(server: WebServer, tmp_path: Path) -> None:
    _serve_store(server, write_ome_zarr(tmp_path / "z.zarr", halves(PIXELS), chunk=16))
    read_fingerprint(server.url("/z.zarr"))
    chunks = [path for path, *_ in server.requests if not path.rpartition("/")[2].startswith(".z")]
    assert 60 <= len(chunks) == len(set(chunks)) <= 64


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_store_that_denies_what_is_not_there(server: WebServer, tmp_path: Path, version: str) -> None:
    pixels = np.maximum(SMALL, 1)  # of nothing but zeros no chunk is written
    _serve_store(server, write_ome_zarr(tmp_path / "z.zarr", halves(pixels), version=version, axes="cyx"))
    url = server.url("/z.zarr")
    first = read_fingerprint(url)
    server.fault = lambda handler, _number: handler.path not in server.files and handler.answer(403, b"no")
    assert np.array_equal(whole(url), pixels)
    assert read_fingerprint(url) == first


def test_a_store_that_denies_its_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = put_in_memory(write_ome_zarr(tmp_path / "z.zarr", halves(SMALL)), "unlisted/z.zarr")
    listed = read_fingerprint(url)

    def denied(*_args: object, **_options: object) -> None:
        raise PermissionError("ListBucket")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "find", denied)
    first = read_fingerprint(url)
    assert first != listed
    fsspec.filesystem("memory").pipe_file("/unlisted/z.zarr/2/0.0.0.0.0", b"\1" * 4096)
    assert read_fingerprint(url) != first


def test_no_store_at_the_address(server: WebServer) -> None:
    assert "no OME-Zarr at this address" in refused(server.url("/none.zarr"), SlideNotFoundError)
    server.fault = lambda handler, _number: handler.answer(403, b"no")
    assert "access is denied" in refused(server.url("/none.zarr"))
    assert "one address with a query cannot name" in refused(server.url("/none.zarr") + SECRETS, UnsupportedSlideError)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/a.mrxs", "an MRXS slide, which is a file and a folder; copy it to a local disk first."),
        ("https://host/case/1.dcm?sig=1", "a DICOM slide, which is a folder of files; copy it to a local disk first."),
        ("https://host/", "names no file"),
        ("zip://a.svs::https://me:s3cr3t@host/a.zip", "zip://a.svs::https://host/a.zip: an address that holds '::'"),
        ("simplecache::http://me:s3cr3t@host/a.svs", "a file within another"),
        ("nonsense://host/a.svs", "nonsense:// is no protocol that is known"),
        ("memory://kinds/a.bin", "a DICOM slide, which is a folder of files; copy it to a local disk first."),
        ("memory://kinds/a.png", "no TIFF, and of other kinds only OME-Zarr"),
        ("memory://kinds/folder", "a folder, not a slide"),
    ],
)
def test_what_is_not_read_from_an_address(url: str, said: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/kinds/a.bin", b"\0" * 128 + b"DICM" + b"\0" * 64)
    memory.pipe_file("/kinds/folder/b.svs", b"")
    memory.pipe_file("/kinds/a.png", b"\x89PNG\r\n")
    assert said in refused(url, UnsupportedSlideError)


def test_a_server_that_is_logged_in_to_is_not_asked_by_a_check_and_shows_no_password_when_it_is() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ftp://me:s3cr3t@127.0.0.1:{free.getsockname()[1]}/a.svs"
        refuse_unreadable_address(Url(url))  # nobody listens there
        assert "/a.svs: cannot be opened after 3 tries: [Errno 111] Connection refused" in refused(url)


@pytest.mark.parametrize(
    ("url", "package", "remedy"),
    [
        ("s3://b/a.svs", "s3fs", "run pip install 'wsiamf[remote]'"),
        ("gs://b/a.svs", "gcsfs", "pip install gcsfs"),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, url: str, package: str, remedy: str) -> None:
    loaded = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(loaded, url.partition(":")[0], raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert remedy in refused(url, UnsupportedSlideError)


def test_without_tiffslide_plain_slides_are_read_and_vendors_name_the_extra(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    monkeypatch.delitem(sys.modules, "wsiamf.slides.tiffslide_slide", raising=False)
    monkeypatch.setitem(sys.modules, "tiffslide", None)
    server.files["/a.svs"] = (shared_data / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    with open_slide(server.url("/a.tiff")) as slide:
        assert slide.dimensions == (600, 400)
    with pytest.raises(UnsupportedSlideError, match=r"tiffslide\); run pip install 'wsiamf\[remote\]'"):
        open_slide(server.url("/a.svs"))


def _serve_store(server: WebServer, folder: Path) -> None:
    for part in folder.rglob("*"):
        if part.is_file():
            server.files[f"/{folder.name}/{part.relative_to(folder).as_posix()}"] = part.read_bytes()
