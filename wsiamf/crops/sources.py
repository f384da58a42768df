"""Where the pixels of crops come from: tiles decoded once, or regions where a slide has no tiles.

Both are asked batch by batch from several threads, and told in order which batches are over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Condition, Lock, local
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.crops.boxes import CropBoxes
from wsiamf.crops.plan import ReadingPlan
from wsiamf.crops.tile_schedule import TileSchedule, schedule_tiles
from wsiamf.errors import SlideReadError
from wsiamf.slides import Slide, TileGrid, Tiles, work_through

WHITE: Final = 255
"""What lies outside the slide; one number, since NumPy fills with an RGB triple a hundred times more slowly."""

_Tile = NDArray[np.uint8] | SlideReadError


class BrokenReading(Exception):  # noqa: N818 - no error of its own: its cause is
    """Tiles that a batch waits for will not come; the cause is what broke their decoding."""


class CropSource(ABC):
    """The pixels of the boxes of one run."""

    order: NDArray[np.intp]
    """Crops in the order in which they are best read, (N,); a batch is a run of them."""

    @abstractmethod
    def prepare(self, batch: int) -> None:
        """Called in a thread, once a batch, and begun in the order of the batches."""

    @abstractmethod
    def paint(self, row: int, region: NDArray[np.uint8]) -> None:
        """Put the pixels of a box into a region of its shape; what lies outside the slide is left as it is.

        Args:
            row: The crop, of a batch that was prepared.
            region: (height, width, 3), RGB uint8.

        Raises:
            SlideReadError: Some of the pixels cannot be decoded.
        """

    @abstractmethod
    def finish(self, batch: int) -> None:
        """Called in the order of the batches, when this one and all before it are painted."""

    @abstractmethod
    def close(self) -> None:
        """Release what was opened; no thread paints any more."""


def crop_source(slide: Slide, boxes: CropBoxes, plan: ReadingPlan, batch_size: int) -> CropSource:
    """Tiles where the slide has them, else regions."""
    tiles = slide.tiles(plan.level)
    if tiles is not None:
        return TileSource(tiles, boxes, slide.level_dimensions[plan.level], batch_size)
    return RegionSource(slide, boxes, plan)


class TileSource(CropSource):
    """A sliding window of decoded tiles: each is decoded once and dropped after the last batch that needs it.

    Args:
        tiles: The level's.
        boxes: Of the crops.
        dimensions: (width, height) of the level.
        batch_size: Crops a batch.
    """

    def __init__(self, tiles: Tiles, boxes: CropBoxes, dimensions: tuple[int, int], batch_size: int) -> None:
        self._tiles = tiles
        self._absent = np.broadcast_to(np.uint8(WHITE), (tiles.grid.tile_height, tiles.grid.tile_width, 3))
        self._boxes = boxes
        self._dimensions = dimensions
        self._schedule: TileSchedule = schedule_tiles(boxes, tiles.grid, dimensions, batch_size)
        self.order = self._schedule.order
        self._window: dict[int, _Tile] = {}
        self._decoded = Condition()
        self._broken: BaseException | None = None

    def prepare(self, batch: int) -> None:
        try:
            keys = self._schedule.new[batch].tolist()
            self._window.update(zip(keys, work_through(self._tiles, self._decode, keys), strict=True))
        except BaseException as error:
            self._broken = error  # whoever waits for one of these tiles must not wait for ever
            raise
        finally:
            with self._decoded:
                self._decoded.notify_all()

    def paint(self, row: int, region: NDArray[np.uint8]) -> None:
        schedule = self._schedule
        (first_column, first_row), (last_column, last_row) = schedule.first[row].tolist(), schedule.last[row].tolist()
        left, top = int(self._boxes.left[row]), int(self._boxes.top[row])
        stripe = int(schedule.stripes[row]) * schedule.grid.rows
        for tile_row in range(first_row, last_row + 1):
            for column in range(first_column, last_column + 1):
                tile = self._tile((stripe + tile_row) * schedule.grid.columns + column)
                corner = (column * schedule.grid.tile_width - left, tile_row * schedule.grid.tile_height - top)
                _paste(region, tile, corner, (self._dimensions[0] - left, self._dimensions[1] - top))

    def finish(self, batch: int) -> None:
        for key in self._schedule.done[batch].tolist():
            del self._window[key]

    def close(self) -> None:
        self._window.clear()

    def _decode(self, key: int) -> _Tile:
        try:
            tile = self._tiles.decode(*self._schedule.place(key))
            return self._absent if tile is None else tile
        except SlideReadError as error:
            return error

    def _tile(self, key: int) -> NDArray[np.uint8]:
        """A tile of this batch or of one that was begun before it."""
        if key not in self._window:
            with self._decoded:
                self._decoded.wait_for(lambda: key in self._window or self._broken is not None)
        if key not in self._window:
            raise BrokenReading from self._broken
        tile = self._window[key]
        if isinstance(tile, SlideReadError):
            raise tile
        return tile


class RegionSource(CropSource):
    """Regions read one by one, sorted so that the library's own tile cache is of use; each thread has a handle of its own.

    Args:
        slide: The slide; it is not read itself, so that its owner may read it meanwhile.
        boxes: Of the crops.
        plan: Which level.
    """

    def __init__(self, slide: Slide, boxes: CropBoxes, plan: ReadingPlan) -> None:
        self._slide = slide
        self._boxes = boxes
        self._plan = plan
        self._threads = local()
        self._handles: list[Slide] = []
        self._lock = Lock()
        self.order = _tile_order(boxes, slide.tile_grid(plan.level))

    def prepare(self, batch: int) -> None:
        """Nothing is read ahead."""

    def paint(self, row: int, region: NDArray[np.uint8]) -> None:
        location = (round(box[row] * self._plan.downsample) for box in (self._boxes.left, self._boxes.top))
        height, width = region.shape[:2]
        region[:] = self._handle().read_region(tuple(location), self._plan.level, (width, height))

    def finish(self, batch: int) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        for handle in self._handles:
            handle.close()

    def _handle(self) -> Slide:
        handle: Slide | None = getattr(self._threads, "handle", None)
        if handle is None:
            handle = self._threads.handle = self._slide.duplicate()
            with self._lock:
                self._handles.append(handle)
        return handle


def _paste(region: NDArray[np.uint8], tile: NDArray[np.uint8], corner: tuple[int, int], end: tuple[int, int]) -> None:
    """Copy what of a tile lies in a region.

    Args:
        corner: (x, y) of the tile's upper left corner in the region.
        end: (x, y) in the region where the level ends; a tile may hang over.
    """
    x, y = corner
    left, top = max(x, 0), max(y, 0)
    right = min(x + tile.shape[1], region.shape[1], end[0])
    bottom = min(y + tile.shape[0], region.shape[0], end[1])
    region[top:bottom, left:right] = tile[top - y : bottom - y, left - x : right - x]


def _tile_order(boxes: CropBoxes, grid: TileGrid | None) -> NDArray[np.intp]:
    """Crops sorted by the tile (where there are none, 256 px square) of their upper left corner."""
    width, height = (grid.tile_width, grid.tile_height) if grid is not None else (256, 256)
    return np.lexsort((boxes.left, boxes.top, boxes.left // width, boxes.top // height))
