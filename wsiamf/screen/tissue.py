"""Reading the slide's overview, and finding its tissue, beside the rest of a run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from wsiamf.coordinates import Overview, SlideMap, read_overview
from wsiamf.geometry import SlideFrame
from wsiamf.regions import Region, region_of_mask, tissue_mask
from wsiamf.slides import Slide


@dataclass(frozen=True)
class TissueMeanwhile:
    """What becomes known one after the other.

    Args:
        map: The overview and the tissue mask.
        region: The tissue's outline.
    """

    map: Future[SlideMap]
    region: Future[Region]


@contextmanager
def tissue_meanwhile(slide: Slide, frame: SlideFrame) -> Iterator[TissueMeanwhile]:
    """Find the tissue in a thread of its own, on a handle of its own; it is given up where the block inside fails.

    Both are known once the block inside is left.
    """
    given_up = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="wsiamf-tissue") as beside:
        seen = beside.submit(_slide_map, slide, frame, given_up)
        found = beside.submit(lambda: _outlined(seen.result(), frame))  # begun after the other, so it waits for nothing
        try:
            yield TissueMeanwhile(seen, found)
            wait([found])
        except BaseException:
            given_up.set()
            raise


def _slide_map(slide: Slide, frame: SlideFrame, given_up: Event) -> SlideMap:
    with slide.duplicate() as own:
        overview: Overview = read_overview(own, frame.mpp, given_up)
    if given_up.is_set():
        raise InterruptedError("the tissue is no longer wanted")
    return SlideMap(overview, tissue_mask(overview.coarse.pixels, overview.coarse.scale, frame))


def _outlined(seen: SlideMap, frame: SlideFrame) -> Region:
    return region_of_mask(seen.tissue, seen.overview.coarse.scale, frame)
