"""Bytes of one file by their place, for any number of threads at once."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from wsiamf.addresses import Url

_HAS_PREAD: Final = hasattr(os, "pread")  # Windows has none
_LARGEST_READ: Final = 1 << 30


class ByteRanges(ABC):
    """Reads ranges of a file; no position is shared between threads."""

    @abstractmethod
    def read(self, offset: int, count: int) -> bytes:
        """The bytes of a range, fewer where the file ends within it.

        Raises:
            OSError: A local file cannot be read.
            SlideReadError: A remote one cannot.
        """


class RemoteRanges(ByteRanges):
    """A file at an address. There is nothing to close, so that slides and their duplicates share one."""

    @property
    @abstractmethod
    def url(self) -> Url:
        """Where it is."""

    @abstractmethod
    def stream(self) -> BinaryIO:
        """A file object for what is read in many small pieces, such as a header; its blocks are kept for all of them."""

    @abstractmethod
    def fingerprint(self) -> str:
        """``files.fingerprint`` of its bytes.

        Raises:
            SlideReadError: They cannot be read.
        """


class LocalRanges(ByteRanges):
    """A file on a local disk.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def read(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        while count:  # one call gives no more than 2 GiB
            part = self._read_once(offset, min(count, _LARGEST_READ))
            if not part:
                break
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Release the file; harmless when called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read_once(self, offset: int, count: int) -> bytes:
        if _HAS_PREAD:
            return os.pread(self._file, count, offset)
        with self._lock:
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.read(self._file, count)
