"""Places for slides that are on no disk: fsspec's memory, a file system that counts, and a web server on loopback."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec

from tests.slide_contract import SlideCase
from wsiamf.addresses import Url

_MEMORY = "memory://"


def put_in_memory(path: Path, place: str) -> Url:
    """Copy a file or folder into fsspec's memory, where every file system of a process sees it."""
    fsspec.filesystem("memory").put(str(path), f"/{place}", recursive=path.is_dir())
    return Url(f"{_MEMORY}{place}")


@dataclass(frozen=True)
class MemoryCase(SlideCase):
    """A slide in fsspec's memory."""

    def copy_to(self, folder: Path, name: str) -> Url:
        """Copy the slide under another name, the folder's last part before it."""
        place = f"{folder.parent.name}-{folder.name}/{name}"
        fsspec.filesystem("memory").copy(self._place, f"/{place}", recursive=True)
        return Url(f"{_MEMORY}{place}")

    def changed_copy(self, folder: Path, name: str) -> Url:
        """Copy the slide, with another last byte."""
        url, memory = self.copy_to(folder, name), fsspec.filesystem("memory")
        parts = [part for part in memory.find(f"/{url.full.removeprefix(_MEMORY)}") if not part.endswith(".json")]
        data = bytearray(memory.cat_file(max(parts)))
        data[self.last_byte] ^= 1
        memory.pipe_file(max(parts), bytes(data))
        return url

    @property
    def _place(self) -> str:
        assert isinstance(self.path, Url)
        return f"/{self.path.full.removeprefix(_MEMORY)}"


Fault = Callable[["Handler", int], bool]
"""Answers a request in a way of its own, given its number from 0, or says that it did not."""


@dataclass
class WebServer:
    """What a web server serves, and what it was asked for.

    Args:
        files: Content by path, such as ``/slide.svs``.
        ranges: Whether it serves parts of files.
        fault: What it does wrong.
        requests: (path, first byte, end) of each GET; None where the whole was asked for.
    """

    files: dict[str, bytes]
    ranges: bool = True
    fault: Fault | None = None
    requests: list[tuple[str, int | None, int | None]] = field(default_factory=list)
    address: str = ""

    def url(self, path: str) -> str:
        """Of a file."""
        return f"{self.address}{path}"


class Handler(BaseHTTPRequestHandler):
    """Answers GET, with ranges."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet, else each answer waits 40 ms
    disable_nagle_algorithm = True
    content: WebServer

    def handle(self) -> None:
        with suppress(ConnectionError):  # who does not want an answer hangs up
            super().handle()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        data = self.content.files.get(path)
        asked = re.fullmatch(r"bytes=(?:(\d+)-(\d+)|-(\d+))", self.headers.get("Range", ""))
        start, end = self._range(asked, len(data or b"")) if asked else (None, None)
        number = len(self.content.requests)
        self.content.requests.append((path, start, end))
        if self.content.fault is not None and self.content.fault(self, number):
            return
        if data is None:
            self.answer(404, b"not here")
        elif start is None or end is None or not self.content.ranges:
            self.answer(200, data)
        else:
            end = min(end, len(data))
            self.answer(206, data[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})

    def _range(self, asked: re.Match[str], size: int) -> tuple[int, int]:
        """First byte and end of a range, or of as many last bytes."""
        first, last, n_last = asked.groups()
        return (max(0, size - int(n_last)), size) if n_last else (int(first), int(last) + 1)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, sent: int | None = None
    ) -> bool:
        """Send an answer; ``sent`` bytes of the body, and then the connection is cut. True, as of a ``Fault``."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if sent is None else body[:sent])
        if sent is not None:
            self.wfile.flush()
            self.close_connection = True
        return True

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def serving(files: dict[str, bytes], **how: Any) -> Iterator[WebServer]:
    """A web server on loopback, as long as the block lasts."""
    content = WebServer(files, **how)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"content": content}))
    server.daemon_threads = True
    content.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield content
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
