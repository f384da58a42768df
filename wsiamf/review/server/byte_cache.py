"""Encoded pictures kept in memory up to a bound, the least used dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

CACHE_BYTES: Final = 96 << 20
"""Some 2,000 tiles of 512 px."""


class ByteCache:
    """Byte strings by key, for any number of threads.

    Args:
        limit: Most bytes that are kept.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._held = 0
        self._entries: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes kept now."""
        return self._held

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What is kept under a key; made and kept where nothing is (two threads may both make it)."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        made = make()
        self._keep(key, made)
        return made

    def _keep(self, key: Hashable, value: bytes) -> None:
        with self._lock:
            if key in self._entries or len(value) > self._limit:
                return
            self._entries[key] = value
            self._held += len(value)
            while self._held > self._limit:
                _, dropped = self._entries.popitem(last=False)
                self._held -= len(dropped)
