"""Reading crops: one, or many in batches on a pool of threads, with no more read ahead than is asked for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsiamf.crops.boxes import CropBoxes, crop_boxes
from wsiamf.crops.plan import CROP_PX, ReadingPlan
from wsiamf.crops.sources import WHITE, BrokenReading, CropSource, crop_source
from wsiamf.errors import SlideError, SlideReadError
from wsiamf.machine import usable_cores
from wsiamf.slides import Slide

logger = logging.getLogger(__name__)

_AHEAD: Final = 2
"""Batches under way beyond one for each thread: enough that no thread waits for the consumer, little enough for the memory."""


@dataclass(frozen=True)
class CropBatch:
    """Some crops of a run over candidates.

    Args:
        rows: Position of each crop's candidate in the input, (N,).
        crops_NSS3: The crops; white where unreadable.
        coverage: Share of each crop that lies inside the slide, 0 to 1.
        problems: Why a crop could not be read, or None, one a crop.
    """

    rows: NDArray[np.intp]
    crops_NSS3: NDArray[np.uint8]
    coverage: NDArray[np.float64]
    problems: tuple[str | None, ...]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which crops hold pixels, (N,)."""
        return np.array([problem is None for problem in self.problems], dtype=bool)


def read_crop(
    slide: Slide, center: tuple[float, float], plan: ReadingPlan, size_px: int = CROP_PX
) -> NDArray[np.uint8]:
    """Read the crop round one point.

    Args:
        center: (x, y) in level-0 px; the crop may hang over the edge.
        plan: From ``plan_reading``.
        size_px: Side of the crop, S.

    Returns:
        (S, S, 3), RGB uint8, white outside the slide.

    Raises:
        SlideReadError: The pixels could not be decoded.
    """
    boxes = crop_boxes([center[0]], [center[1]], plan, size_px)
    height, width = boxes.shape(0)
    location = (round(boxes.left[0] * plan.downsample), round(boxes.top[0] * plan.downsample))
    region = slide.read_region(location, plan.level, (width, height))
    return boxes.resample(0, region) if plan.resampled else region


def iter_crops(
    slide: Slide,
    x: ArrayLike,
    y: ArrayLike,
    plan: ReadingPlan,
    *,
    size_px: int = CROP_PX,
    batch_size: int = 32,
    threads: int | None = None,
) -> Generator[CropBatch, None, None]:
    """Read the crops round many points, in batches, on a pool of threads.

    Where the slide has tiles, each one is decoded once. The batches come in the order of the tiles, always the same;
    ``CropBatch.rows`` puts them back into the order of the points. Only a few batches are read ahead of the one that is
    asked for. Close the iterator (``contextlib.closing``) where it may not be used up, so that its threads end.

    Args:
        x, y: Centres in level-0 px, (M,).
        plan: From ``plan_reading``.
        size_px: Side of a crop, S.
        batch_size: Crops a batch; the last one may be shorter.
        threads: That decode; None for one a core.

    Raises:
        SlideError: A thread cannot open the slide again, or reading broke off (memory ran out, say).
    """
    boxes = crop_boxes(x, y, plan, size_px)
    threads = threads or usable_cores()
    source = crop_source(slide, boxes, plan, batch_size)
    reader = _BatchReader(source, boxes, slide, plan, batch_size)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="wsiamf-read")
    try:
        # The pool begins its tasks in this order, so a batch only ever waits for tiles that another thread is decoding.
        numbers = iter(range(-(-len(boxes) // batch_size)))
        pending: deque[tuple[int, Future[CropBatch]]] = deque()
        while True:
            room = threads + _AHEAD - len(pending)
            pending.extend((number, pool.submit(reader.read, number)) for number in islice(numbers, room))
            if not pending:
                return
            number, future = pending.popleft()
            batch = _result(future, slide)
            source.finish(number)
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        source.close()


def _result(future: Future[CropBatch], slide: Slide) -> CropBatch:
    try:
        return future.result()
    except SlideError:
        raise
    except BrokenReading as broken:  # another batch's error, which this one was waiting for
        raise _broken_off(slide, broken.__cause__ or broken) from broken
    except Exception as error:
        raise _broken_off(slide, error) from error


def _broken_off(slide: Slide, error: BaseException) -> SlideReadError:
    reason = " ".join(str(error).split()) or "no reason given"
    return SlideReadError(f"{slide.name}: reading broke off: {type(error).__name__}: {reason}.")


class _BatchReader:
    """Reads one batch; called from many threads."""

    def __init__(self, source: CropSource, boxes: CropBoxes, slide: Slide, plan: ReadingPlan, batch_size: int) -> None:
        self._source = source
        self._boxes = boxes
        self._resampled = plan.resampled
        self._batch_size = batch_size
        self._coverage = boxes.coverage(slide.level_dimensions[plan.level])

    def read(self, number: int) -> CropBatch:
        self._source.prepare(number)
        rows = self._source.order[number * self._batch_size : (number + 1) * self._batch_size]
        crops = np.empty((len(rows), self._boxes.size_px, self._boxes.size_px, 3), dtype=np.uint8)
        problems = tuple(self._fill(row, crop) for row, crop in zip(rows.tolist(), crops, strict=True))
        return CropBatch(rows, crops, self._coverage[rows], problems)

    def _fill(self, row: int, crop: NDArray[np.uint8]) -> str | None:
        """Fill one crop; why it could not be read, if it could not, and then it is white."""
        try:
            if self._resampled:
                region = np.full((*self._boxes.shape(row), 3), WHITE, dtype=np.uint8)
                self._source.paint(row, region)
                crop[:] = self._boxes.resample(row, region)
                return None
            if self._coverage[row] < 1:
                crop.fill(WHITE)
            self._source.paint(row, crop)
        except SlideReadError as error:
            logger.debug("candidate %d: %s", row, error)
            crop.fill(WHITE)
            return str(error)
        return None
