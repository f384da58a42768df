"""Work on many tiles, in turn or, where they are waited for rather than worked on, many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from wsiamf.slides.interface import Tiles

AT_ONCE: Final = 16
"""Requests of one slide under way, whatever reads it: what hides the time of an answer, and what servers take without
complaint."""

T = TypeVar("T")
R = TypeVar("R")


def work_through(tiles: Tiles, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """What ``work`` gives of each item, in their order.

    Args:
        tiles: What ``work`` decodes.
        work: Decodes one tile.
        items: Which ones.
    """
    if not tiles.waits or len(items) < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(min(AT_ONCE, len(items)), thread_name_prefix="wsiamf-wait") as pool:
        yield from pool.map(work, items)
