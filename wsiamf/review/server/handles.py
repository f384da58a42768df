"""Open slides for many requests at once: a few handles each, the least used slides closed first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from wsiamf.slides import Slide

HANDLES_A_SLIDE: Final = 4
OPEN_SLIDES: Final = 6
"""Slides that keep handles while nobody reads them: OpenSlide holds some 32 MiB of decoded tiles for each."""

Opener = Callable[[], Slide]


@dataclass
class _Handles:
    """What is open of one slide; ``count`` includes those lent."""

    idle: list[Slide] = field(default_factory=list)
    count: int = 0


class SlideShelf:
    """Lends slides, one thread a handle, and opens them on first use.

    Args:
        openers: What opens each slide, in the order of their numbers.
    """

    def __init__(self, openers: Sequence[Opener]) -> None:
        self._openers = openers
        self._used: OrderedDict[int, _Handles] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False

    @contextmanager
    def borrow(self, number: int) -> Iterator[Slide]:
        """A handle on a slide for the time of the block; waits where all of its handles are lent.

        Raises:
            SlideError: The slide is not found or cannot be opened.
        """
        slide = self._take(number)
        try:
            yield slide
        finally:
            self._put_back(number, slide)

    def close(self) -> None:
        """Close what is not lent, and the rest when it comes back."""
        with self._changed:
            self._closed = True
            idle = [slide for handles in self._used.values() for slide in self._drain(handles)]
        for slide in idle:
            slide.close()

    def _take(self, number: int) -> Slide:
        with self._changed:
            handles = self._used_handles(number)
            while not handles.idle and handles.count >= HANDLES_A_SLIDE:
                self._changed.wait()
                handles = self._used_handles(number)  # the slide may have left the shelf, once all came back
            if handles.idle:
                return handles.idle.pop()
            handles.count += 1
        try:
            return self._openers[number]()
        except BaseException:
            self._forget(handles)
            raise

    def _used_handles(self, number: int) -> _Handles:
        handles = self._used.setdefault(number, _Handles())
        self._used.move_to_end(number)
        return handles

    def _put_back(self, number: int, slide: Slide) -> None:
        surplus: list[Slide] = []
        with self._changed:
            handles = self._used[number]
            handles.idle.append(slide)
            if self._closed:
                surplus = self._drain(handles)
            elif len(self._used) > OPEN_SLIDES:
                surplus = self._least_used(number)
            self._changed.notify_all()
        for one in surplus:
            one.close()

    def _least_used(self, spared: int) -> list[Slide]:
        """Take the handles of the slide that was used longest ago, if nobody reads it."""
        for number, handles in self._used.items():
            if number != spared and len(handles.idle) == handles.count:
                del self._used[number]
                return self._drain(handles)
        return []

    def _forget(self, handles: _Handles) -> None:
        with self._changed:
            handles.count -= 1
            self._changed.notify_all()

    @staticmethod
    def _drain(handles: _Handles) -> list[Slide]:
        idle, handles.idle = handles.idle, []
        handles.count -= len(idle)
        return idle
