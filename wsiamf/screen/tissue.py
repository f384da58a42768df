"""Finding the tissue of a slide while its candidates are classified."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event

from wsiamf.geometry import SlideFrame
from wsiamf.regions import Region, tissue_region
from wsiamf.screen.overview import read_overview
from wsiamf.slides import Slide


@contextmanager
def tissue_meanwhile(slide: Slide, frame: SlideFrame) -> Iterator[Future[tuple[Region, int]]]:
    """Find the tissue in a thread of its own, on a handle of its own; it is given up where the block inside fails.

    Gives:
        The tissue and the number of blocks of the overview that could not be decoded, once the block inside is left.
    """
    given_up = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="wsiamf-tissue") as beside:
        found = beside.submit(_find_tissue, slide, frame, given_up)
        try:
            yield found
            wait([found])
        except BaseException:
            given_up.set()
            raise


def _find_tissue(slide: Slide, frame: SlideFrame, given_up: Event) -> tuple[Region, int]:
    with slide.duplicate() as own:
        picture, scale, unreadable = read_overview(own, frame.mpp, given_up)
    if given_up.is_set():
        raise InterruptedError("the tissue is no longer wanted")
    return tissue_region(picture, scale, frame), unreadable
