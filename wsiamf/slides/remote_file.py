"""A slide's file at an address, read in ranges through fsspec: tried again where the network fails, never waited for for ever.

Whatever goes wrong is one line that holds none of the address's credentials. The library's own error is not chained to it,
since that may repeat them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import BoundedSemaphore
from typing import Any, BinaryIO, Final, TypeVar, cast

import fsspec
from fsspec.asyn import AsyncFileSystem, sync
from fsspec.config import apply_config
from fsspec.spec import AbstractBufferedFile

from wsiamf.addresses import Url
from wsiamf.errors import SlideError, SlideNotFoundError, SlideReadError, UnsupportedSlideError
from wsiamf.files import FINGERPRINT_END, fingerprint_of_ends
from wsiamf.slides.byte_ranges import RemoteRanges
from wsiamf.slides.kept_blocks import KeptBlocks
from wsiamf.slides.waiting import AT_ONCE

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = 30.0
"""Of one request; what takes longer is tried again."""

PAUSES_S: Final[tuple[float, ...]] = (0.5, 2.0)
"""Before the second and the third try."""

_BLOCK: Final = 1 << 17
_KEPT_BLOCKS: Final = 128
"""Of the header: 16 MiB."""

WEB: Final = frozenset({"http", "https"})
_NO_CREDENTIALS: Final = frozenset(
    {"NoCredentialsError", "PartialCredentialsError"}
)  # of botocore, which need not be there
_PARTIAL: Final = 206
_DENIED: Final = frozenset({401, 403})
_NOT_THERE: Final = frozenset({404, 410})
_WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429})
_FIRST_SERVER_FAULT: Final = 500
_TOTAL: Final = re.compile(r"bytes \d+-\d+/(\d+)")
EXTRA: Final = "pip install 'wsiamf[remote]'"
_OF_THE_EXTRA: Final = frozenset({"http", "https", "s3", "s3a"})

T = TypeVar("T")


class NoRangesError(Exception):
    """The server answers with the whole file where a part is asked for."""


class _ShortError(Exception):
    """Fewer bytes came than were asked for."""


class RemoteFile(RemoteRanges):
    """A file at an address, found to be there.

    Args:
        url: Its address.

    Raises:
        SlideNotFoundError: There is no such file.
        UnsupportedSlideError: Its protocol is not known, or the package for it is missing.
        SlideReadError: It cannot be reached or may not be read, or its server serves no parts of files.
    """

    def __init__(self, url: Url) -> None:
        self._url = url
        self._blocks = KeptBlocks(self._read_anew, _BLOCK, _KEPT_BLOCKS)
        self._turns = BoundedSemaphore(AT_ONCE)
        self._lost: SlideError | None = None
        self.fs, self.path = file_system(url)
        self._size, head = tried(url, "opened", lambda: size_and_head(url, self.fs, self.path, _BLOCK))
        self._blocks.put(head)

    @property
    def url(self) -> Url:
        return self._url

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, count: int) -> bytes:
        end = min(offset + count, self._size)
        if self._size <= _KEPT_BLOCKS * _BLOCK:  # a small file, all of which can be kept: no tile is asked for twice
            return self.read_kept(offset, end)
        return self._read_anew(offset, end)

    def read_kept(self, start: int, end: int) -> bytes:
        """Bytes from ``start`` to ``end``, through blocks that are kept."""
        end = min(end, self._size)
        try:
            return self._blocks.read(start, end) if start < end else b""
        except SlideError as error:
            self._lost = error
            raise

    def _read_anew(self, start: int, end: int) -> bytes:
        end = min(end, self._size)
        return tried(self._url, "read", lambda: self._fetch(start, end)) if start < end else b""

    def raise_lost(self) -> None:
        """Raise if a kept reading failed since the last call: what parses a header may pass over it."""
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    def stream(self) -> BinaryIO:
        return cast(BinaryIO, _Stream(self))

    def fingerprint(self) -> str:
        head = self.read_kept(0, FINGERPRINT_END)
        tail = self.read_kept(max(0, self._size - FINGERPRINT_END), self._size)
        return fingerprint_of_ends([(self._size, head, tail)])

    def _fetch(self, start: int, end: int) -> bytes:
        with self._turns:
            return fetch_range(self._url, self.fs, self.path, start, end)


def refuse_protocol(url: Url) -> None:
    """Raise where nothing could be read at an address, whatever is there; asks no server.

    Raises:
        UnsupportedSlideError: It is a chain of addresses, its protocol is not known, or the package for it is missing.
    """
    if "::" in url.full:
        raise UnsupportedSlideError(
            f"{url}: an address that holds '::' (a file within another, such as in an archive, or a host without a name) "
            "is not read; rename or unpack it, or name its host."
        )
    with _worded(url):
        fsspec.get_filesystem_class(url.protocol)


def file_system(url: Url) -> tuple[Any, str]:
    """fsspec's file system for an address, and its path there; some log in at their server for that.

    Raises:
        UnsupportedSlideError: As of ``refuse_protocol``, or the address is malformed.
        SlideNotFoundError: There is no such file.
        SlideReadError: The server cannot be reached, or denies access.
    """
    refuse_protocol(url)
    return tried(url, "opened", lambda: _file_system(url))


def _file_system(url: Url) -> tuple[Any, str]:
    with _worded(url):
        fs, path = fsspec.core.url_to_fs(as_sent(url), **options(url))
    return fs, path


@contextmanager
def _worded(url: Url) -> Iterator[None]:
    """Say what is wrong with an address by itself, of which another try would say the same."""
    try:
        yield
    except ImportError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        package = getattr(error.__cause__, "name", None) or error.name or "it"
        remedy = f"run {EXTRA}" if url.protocol in _OF_THE_EXTRA else f"run pip install {package}"
        raise UnsupportedSlideError(f"{url}: a package is missing ({reason}); {remedy}.") from None
    except ValueError as error:
        if "Protocol not known" not in str(error):
            raise UnsupportedSlideError(f"{url}: no usable address: {_reason(url, error)}.") from None
        raise UnsupportedSlideError(
            f"{url}: {url.protocol}:// is no protocol that is known; {EXTRA} reads s3, https and http."
        ) from None


def tried(url: Url, done: str, work: Callable[[], T]) -> T:
    """What ``work`` gives, tried again after a pause where the network may have been at fault.

    Args:
        url: What is read.
        done: What cannot be done where it fails: ``opened`` or ``read``.
        work: Reads.

    Raises:
        SlideNotFoundError: There is no such file.
        SlideReadError: It cannot be read, for the reason that it gave last.
    """
    for pause in (*PAUSES_S, None):
        try:
            return work()
        except SlideError:  # worded already, and no fault of the network
            raise
        except Exception as error:  # noqa: BLE001 - each protocol's package has errors of its own
            if pause is None or not may_pass(error):
                refused = refusal(url, done, error)
                break
            _log.info("%s: %s; trying again", url, _reason(url, error))
        time.sleep(pause)
    raise refused


class _Stream(AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    """A file object over the blocks that are kept."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        super().__init__(file.fs, file.path, mode="rb", cache_type="none", size=file.size)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._file.read_kept(start, end)


def as_sent(url: Url) -> str:
    """The address for a file system; where it holds an escape it escapes nothing itself, so that spaces have to be."""
    return url.full.replace(" ", "%20") if url.protocol in WEB and "%" in url.full else url.full


def options(url: Url) -> dict[str, Any]:
    """What the file system of a protocol is made with; users set the rest by fsspec's and the stores' own configuration."""
    if url.protocol not in WEB:
        return {}
    configured = apply_config(fsspec.get_filesystem_class(url.protocol), {})  # which what is given replaces, key by key
    return {
        "encoded": "%" in url.full,  # a signature must reach the server as it was written
        # ranges are of the file, not of what it is packed into
        "headers": {**configured.get("headers", {}), "Accept-Encoding": "identity"},
        "client_kwargs": {"trust_env": True, **configured.get("client_kwargs", {})},  # proxies
    }


async def _head(fs: Any, path: str, count: int) -> tuple[int, bytes]:
    """Size and first bytes of a web server's file. A HEAD request would not do: addresses may be signed for GET alone."""
    async with _asked(fs, path, 0, count) as response:
        total = _TOTAL.fullmatch(response.headers.get("Content-Range", ""))
        if total is None:
            raise NoRangesError
        size, data = int(total[1]), await _body(response, count)
    return size, _complete(data, min(size, count))


async def _range(fs: Any, path: str, start: int, end: int) -> bytes:
    """A range of a web server's file; fsspec itself would read whatever the server sends, without end if need be."""
    async with _asked(fs, path, start, end) as response:
        return await _body(response, end - start)


@asynccontextmanager
async def _asked(fs: Any, path: str, start: int, end: int) -> AsyncIterator[Any]:
    """A web server's answer that is a part of the file."""
    session = await fs.set_session()
    headers = {**fs.kwargs.get("headers", {}), "Range": f"bytes={start}-{end - 1}"}
    async with session.get(fs.encode_url(path), **{**fs.kwargs, "headers": headers}) as response:
        response.raise_for_status()
        if response.status != _PARTIAL:
            raise NoRangesError
        yield response


async def _body(response: Any, count: int) -> bytes:
    """What the server sends, of which more than was asked for is not read on."""
    data = bytearray()
    while len(data) <= count and (piece := await response.content.read(count + 1 - len(data))):
        data += piece
    if len(data) > count:
        raise NoRangesError
    return bytes(data)


def _complete(data: bytes, count: int) -> bytes:
    """What came of a range, where it is all of it and no more."""
    if len(data) > count:
        raise NoRangesError
    if len(data) < count:
        raise _ShortError(f"{len(data):,} of {count:,} bytes came")
    return data


def fetch(fs: Any, path: str) -> bytes:
    """All of an object; what fails is the file system's own error, or a ``TimeoutError``."""
    return bytes(_call(fs, "cat_file", path))


def fetch_range(url: Url, fs: Any, path: str, start: int, end: int) -> bytes:
    """A range that an object has; fails as ``fetch``, and where more or fewer bytes come."""
    if start == end:
        return b""
    is_web = url.protocol in WEB
    data = _wait(fs, _range, fs, path, start, end) if is_web else _call(fs, "cat_file", path, start=start, end=end)
    return _complete(bytes(data), end - start)


def size_and_head(url: Url, fs: Any, path: str, count: int) -> tuple[int, bytes]:
    """Size of an object and its first ``count`` bytes, in one request to a web server; fails as ``fetch_range``.

    Raises:
        IsADirectoryError: It is a folder.
    """
    if url.protocol in WEB:
        size, data = _wait(fs, _head, fs, path, count)
        return int(size), data
    info = _call(fs, "info", path)
    if info["type"] != "file":
        raise IsADirectoryError("it is a folder")
    return int(info["size"]), fetch_range(url, fs, path, 0, min(int(info["size"]), count))


def ends(url: Url, fs: Any, path: str, size: int | None = None) -> tuple[int, bytes, bytes]:
    """Size of an object (looked up unless given), its first and its last ``FINGERPRINT_END`` bytes; fails as the above."""
    if size is None:
        size, head = size_and_head(url, fs, path, FINGERPRINT_END)
    else:
        head = fetch_range(url, fs, path, 0, min(size, FINGERPRINT_END))
    return size, head, head if len(head) == size else fetch_range(url, fs, path, size - len(head), size)


def _call(fs: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """What a method of a file system gives, waited for no longer than ``TIMEOUT_S`` where that is possible."""
    if isinstance(fs, AsyncFileSystem):
        return _wait(fs, getattr(fs, f"_{name}"), *args, **kwargs)
    return getattr(fs, name)(*args, **kwargs)


def _wait(fs: Any, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a coroutine of a file system gives, or a ``TimeoutError``."""
    return sync(fs.loop, work, *args, timeout=TIMEOUT_S, **kwargs)


def may_pass(error: Exception) -> bool:
    """Whether another try may do better."""
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NoRangesError | ImportError):
        return False
    if type(error).__name__ in _NO_CREDENTIALS:
        return False
    status = _status(error)
    return status is None or status >= _FIRST_SERVER_FAULT or status in _WORTH_ANOTHER_TRY


def is_denied(error: Exception) -> bool:
    """Whether a store refuses to show what was asked for, which some do of what is not there."""
    return isinstance(error, PermissionError) or _status(error) in _DENIED


def _status(error: Exception) -> int | None:
    """The HTTP status that an error stands for, None where it stands for none."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


def refusal(url: Url, done: str, error: Exception) -> SlideNotFoundError | SlideReadError | UnsupportedSlideError:
    """What is said of a reading that failed for good; arguments as of ``tried``."""
    status = _status(error)
    if isinstance(error, FileNotFoundError) or status in _NOT_THERE:
        return SlideNotFoundError(f"{url}: no such slide at this address; check it.")
    if is_denied(error):
        code = f" (HTTP {status})" if status else ""
        return SlideReadError(
            f"{url}: access is denied{code}, or there is no such slide; check the address, and the credentials or whether a "
            "signed address has expired."
        )
    if type(error).__name__ in _NO_CREDENTIALS:
        return SlideReadError(
            f"{url}: no credentials for this store were found; name them (AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY), or set FSSPEC_S3='{\"anon\": true}' for a public one."
        )
    if isinstance(error, NoRangesError):
        return SlideReadError(
            f"{url}: its server serves whole files only (no range requests); copy the slide to a local disk first."
        )
    if isinstance(error, IsADirectoryError):
        return UnsupportedSlideError(f"{url}: a folder, not a slide; name the slide's file.")
    tries = f" after {len(PAUSES_S) + 1} tries" if may_pass(error) else ""
    return SlideReadError(f"{url}: cannot be {done}{tries}: {_reason(url, error)}.")


def _reason(url: Url, error: Exception) -> str:
    """Why something failed, on one line without secrets."""
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if status := _status(error):
        return f"the server says HTTP {status}"
    text = url.without_secrets(" ".join(str(error).split())).rstrip(".")
    return text or type(error).__name__
