"""Boxes of a level put together from its tiles, the latest of which stay decoded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.slides.base import blank, on_background
from wsiamf.slides.interface import Tiles
from wsiamf.slides.waiting import work_through

_CACHE_BYTES: Final = 64 << 20
"""Decoded tiles that are kept; the last one is kept whatever its size, for files of one strip or chunk."""


class CachedTiles:
    """A level read by boxes; for one thread at a time.

    Args:
        tiles: The level's tiles.
        dimensions: (width, height) of the level in px.
        background: RGB of what no tile shows.
    """

    def __init__(self, tiles: Tiles, dimensions: tuple[int, int], background: tuple[int, int, int]) -> None:
        self._tiles = tiles
        self._dimensions = dimensions
        self._background = background
        self._cache: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._cached_bytes = 0

    def read(self, left: int, top: int, width: int, height: int) -> NDArray[np.uint8]:
        """A box in px of this level, (height, width, 3), RGB uint8; what lies outside the picture is background.

        Raises:
            SlideReadError: A tile cannot be read or decoded.
        """
        box, view, part = on_background((left, top), (width, height), self._dimensions, self._background)
        if not view.size:
            return box
        right, bottom = part.x + part.width, part.y + part.height
        grid = self._tiles.grid
        for row in range(part.y // grid.tile_height, -(-bottom // grid.tile_height)):
            columns = range(part.x // grid.tile_width, -(-right // grid.tile_width))
            for column, tile in zip(columns, self._row(row, columns), strict=True):
                tile_x, tile_y = column * grid.tile_width, row * grid.tile_height
                piece = tile[max(part.y - tile_y, 0) : bottom - tile_y, max(part.x - tile_x, 0) : right - tile_x]
                y, x = max(part.y, tile_y) - part.y, max(part.x, tile_x) - part.x
                view[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
        return box

    def _row(self, row: int, columns: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Tiles of one row, from the cache or decoded; those of a remote slide are asked for together."""
        tiles = {column: self._cache[column, row] for column in columns if (column, row) in self._cache}
        missing = [column for column in columns if column not in tiles]
        decoded = work_through(self._tiles, lambda column: self._decode(column, row), missing)
        tiles.update(zip(missing, decoded, strict=True))
        for column, tile in tiles.items():
            self._keep((column, row), tile)
        return [tiles[column] for column in columns]

    def _decode(self, column: int, row: int) -> NDArray[np.uint8]:
        tile = self._tiles.decode(column, row)
        if tile is None:  # a sparse file's empty tile: nothing was scanned there
            return blank(self._tiles.grid.tile_width, self._tiles.grid.tile_height, self._background)
        return tile

    def _keep(self, place: tuple[int, int], tile: NDArray[np.uint8]) -> None:
        if place not in self._cache:
            self._cached_bytes += tile.nbytes
        self._cache[place] = tile
        self._cache.move_to_end(place)
        while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
