"""Files as they are, gzipped, or alone in a zip: one stream of bytes that cannot grow without bound."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from wsiamf.errors import CandidateError, WsiamfError
from wsiamf.wording import reason_of

GZIP_MAGIC: Final = b"\x1f\x8b"
ZIP_MAGIC: Final = b"PK\x03\x04"

_ALWAYS_ALLOWED: Final = 64 << 20
_MOST_TIMES: Final = 100
"""How many times its packed size a file may unpack to; GeoJSON packs to a seventh, repetitive files to a thirtieth."""


def most_unpacked(path: Path) -> int:
    """Bytes that what is packed in a file may come to: 64 MiB, or a hundred times the file's size if that is more."""
    return max(_ALWAYS_ALLOWED, _MOST_TIMES * path.stat().st_size)


class ByteStream(Protocol):
    """What can be read from, some bytes at a time."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


@contextmanager
def unpacked(
    path: Path, suffixes: Sequence[str] = (), *, error: type[WsiamfError] = CandidateError
) -> Iterator[ByteStream]:
    """The bytes of a file, of what is gzipped in it, or of the one member of a zip that has one of the suffixes.

    Args:
        path: The file.
        suffixes: Of members; none where a zip is no archive of the format's, and is read as it is.
        error: What is raised.

    Raises:
        WsiamfError: ``error``: it is no file (a folder, a pipe), cannot be read or unpacked, a zip has not exactly one such
            member, or it unpacks to more than 64 MiB and a hundred times its size; also while the block reads.
    """
    if not path.is_file():
        raise error(f"{path}: is not a file; name the file itself.")
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
            stream.seek(0)
            if magic.startswith(GZIP_MAGIC):
                with gzip.GzipFile(fileobj=stream) as inner:
                    yield _Bounded(inner, path, error)
            elif magic == ZIP_MAGIC and suffixes:
                with (
                    zipfile.ZipFile(stream) as archive,
                    archive.open(_member(archive, suffixes, path, error)) as member,
                ):
                    yield _Bounded(member, path, error)
            else:
                yield stream
    except (EOFError, OSError, RuntimeError, zlib.error, zipfile.BadZipFile) as failure:
        # RuntimeError: a member that is encrypted, or packed in a way that Python does not know
        if isinstance(failure, RecursionError):
            raise
        raise error(f"{path}: cannot be read or unpacked: {reason_of(failure)}; save or pack it again.") from failure


def unpacked_head(path: Path, head: bytes, suffixes: Sequence[str]) -> bytes:
    """The first bytes of what a file holds, as many as ``head``, its own first bytes; ``head`` if it cannot be unpacked."""
    if not head.startswith((GZIP_MAGIC, ZIP_MAGIC)):
        return head
    try:
        with unpacked(path, suffixes) as stream:
            return stream.read(max(len(head), 1 << 10))
    except CandidateError:
        return head


def _member(archive: zipfile.ZipFile, suffixes: Sequence[str], path: Path, error: type[WsiamfError]) -> zipfile.ZipInfo:
    found = [
        info
        for info in archive.infolist()
        if info.filename.lower().endswith(tuple(suffixes)) and not info.filename.startswith("__MACOSX/")
    ]
    if len(found) != 1:
        raise error(
            f"{path}: the zip holds {len(found)} files {' or '.join(suffixes)}; expected one: give that file itself."
        )
    return found[0]


class _Bounded:
    """A stream that raises once it has given too much."""

    def __init__(self, inner: ByteStream, path: Path, error: type[WsiamfError]) -> None:
        self._inner = inner
        self._path = path
        self._error = error
        self._left = most_unpacked(path)

    def read(self, size: int, /) -> bytes:
        data = self._inner.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise self._error(
                f"{self._path}: unpacks to more than {_ALWAYS_ALLOWED >> 20} MiB and {_MOST_TIMES} times its size; if that is "
                "right, unpack it and give the file itself."
            )
        return data
