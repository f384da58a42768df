"""Which tiles each batch of crops needs, so that every tile is decoded once and dropped after its last use.

Crops are taken in stripes, a stripe from top to bottom, so that the tiles in memory are those of two or three rows of one
stripe, however large the slide and however many its candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.crops.boxes import CropBoxes
from wsiamf.slides import TileGrid

_STRIPE_PX: Final = 32_768
"""Width of a stripe. A tile between two stripes is decoded in both, about one in a hundred."""


@dataclass(frozen=True)
class TileSchedule:
    """The order of crops and the life of tiles.

    A tile's key is ``(stripe * rows + row) * columns + column``.

    Args:
        grid: The level's tiles.
        order: Crops in the order of reading, (N,); a batch is a run of them.
        first, last: (column, row) of the first and of the last tile that each crop meets, both (N, 2) and in the order of
            the input; last < first where it meets none.
        stripes: Each crop's stripe, (N,), in the order of the input.
        new: Keys of the tiles that each batch is the first to need.
        done: Keys of the tiles that no batch after this one needs.
    """

    grid: TileGrid
    order: NDArray[np.intp]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    stripes: NDArray[np.int64]
    new: list[NDArray[np.int64]]
    done: list[NDArray[np.int64]]

    def place(self, key: int) -> tuple[int, int]:
        """(column, row) of a tile."""
        row, column = divmod(key, self.grid.columns)
        return column, row % self.grid.rows


def schedule_tiles(boxes: CropBoxes, grid: TileGrid, dimensions: tuple[int, int], batch_size: int) -> TileSchedule:
    """Plan the reading of crops by tiles.

    Args:
        boxes: Of the crops.
        grid: The level's tiles.
        dimensions: (width, height) of the level.
        batch_size: Crops a batch.
    """
    first, last = _tile_ranges(boxes, grid, dimensions)
    stripes = first[:, 0] // max(1, _STRIPE_PX // grid.tile_width)
    order = np.lexsort((boxes.left, boxes.top, first[:, 0], first[:, 1], stripes))
    keys, batches = _needed(first[order], last[order], stripes[order], grid, batch_size)
    n_batches = -(-len(boxes) // batch_size)
    # np.unique keeps the first of equal keys, and the keys come in the order of the batches
    new, position = np.unique(keys, return_index=True)
    done, from_end = np.unique(keys[::-1], return_index=True)
    return TileSchedule(
        grid,
        order,
        first,
        last,
        stripes,
        new=_by_batch(new, batches[position], n_batches),
        done=_by_batch(done, batches[::-1][from_end], n_batches),
    )


def _tile_ranges(
    boxes: CropBoxes, grid: TileGrid, dimensions: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last tile (column, row) of each box; an empty range where it lies outside the level."""
    width, height = dimensions
    left, right = np.clip(boxes.left, 0, width), np.clip(boxes.right, 0, width)
    top, bottom = np.clip(boxes.top, 0, height), np.clip(boxes.bottom, 0, height)
    first = np.stack([left // grid.tile_width, top // grid.tile_height], axis=1)
    last = np.stack([(right - 1) // grid.tile_width, (bottom - 1) // grid.tile_height], axis=1)
    outside = (left >= right) | (top >= bottom)
    first[outside], last[outside] = 0, -1
    return first, last


def _needed(
    first: NDArray[np.int64], last: NDArray[np.int64], stripes: NDArray[np.int64], grid: TileGrid, batch_size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Key of every tile that every crop needs, and the crop's batch; crop by crop."""
    spans = np.maximum(last - first + 1, 0)
    counts = spans[:, 0] * spans[:, 1]
    crop = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(crop)) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(within, np.maximum(spans[crop, 0], 1))
    keys = (stripes[crop] * grid.rows + first[crop, 1] + row) * grid.columns + first[crop, 0] + column
    return keys, crop // batch_size


def _by_batch(keys: NDArray[np.int64], batches: NDArray[np.int64], n_batches: int) -> list[NDArray[np.int64]]:
    """Sorted keys, split by batch."""
    order = np.argsort(batches, kind="stable")
    return np.split(keys[order], np.searchsorted(batches[order], np.arange(1, n_batches))) if n_batches else []
