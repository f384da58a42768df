"""What was read of the points file last in use: many slides of one file cost one parse, and no more than one file is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any, Final, TypeVar

from wsiamf.files import sha256_file

T = TypeVar("T")

_SETTLED_NS: Final = 2_000_000_000
"""A file changed less than this ago may change again without another time stamp, so nothing of it is kept."""


class _LastFile:
    """Values by kind, all of one file; another file, or the same one changed, takes their place."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._file: tuple[Path, int, int] | None = None
        self._values: dict[str, Any] = {}

    def value(self, path: Path, kind: str, read: Callable[[Path], T], worth_keeping: Callable[[T], bool]) -> T:
        with self._lock:
            stat = path.stat()
            file = (path.absolute(), stat.st_size, stat.st_mtime_ns)
            if file == self._file and kind in self._values:
                kept: T = self._values[kind]
                return kept
            if file != self._file:
                self._file, self._values = file, {}  # before the other is read, so that never both are held
            value = read(path)
            if time.time_ns() - stat.st_mtime_ns > _SETTLED_NS and worth_keeping(value):
                self._values[kind] = value
            return value


_LAST_FILE: Final = _LastFile()


def read_once(path: Path, kind: str, read: Callable[[Path], T], worth_keeping: Callable[[T], bool]) -> T:
    """What ``read`` makes of a file, kept as long as the file is the last in use and its size and time stand.

    Args:
        path: The file.
        kind: What ``read`` makes: one word a function.
        read: The parser; what it gives is shared by later callers, so nobody may change it.
        worth_keeping: Whether another slide may ask for the value.
    """
    return _LAST_FILE.value(path, kind, read, worth_keeping)


def points_sha256(path: Path) -> str:
    """Hex sha256 of a points file's content."""
    return read_once(path, "sha256", sha256_file, lambda _digest: True)
