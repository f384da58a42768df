"""The ``Slide`` interface: OpenSlide's words, plus resolution, bounds, tiles and a fingerprint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsiamf.addresses import Address
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.slides.glass import centre_offset_nm
from wsiamf.slides.resolution import OBJECTIVE_POWER, POWER_KEY, stated_resolution

WHITE = (255, 255, 255)


@dataclass(frozen=True)
class TileGrid:
    """How one level is cut into tiles in the file.

    Args:
        tile_width, tile_height: Size of a whole tile in px of the level.
        columns, rows: Number of tiles; those of the last column and row may hang over the edge.
    """

    tile_width: int
    tile_height: int
    columns: int
    rows: int


class Tiles(ABC):
    """The file's own tiles (or strips) of one level, raw access for any number of threads at once.

    They live as long as the slide that gave them.
    """

    waits: bool = False
    """Whether each is waited for, as over a network, so that it is best to ask for many at once."""

    @property
    @abstractmethod
    def grid(self) -> TileGrid:
        """How the level is cut."""

    @abstractmethod
    def decode(self, column: int, row: int) -> NDArray[np.uint8] | None:
        """Read and decode one tile.

        Returns:
            Array (height, width, 3), RGB uint8; a tile that hangs over the level's edge comes whole or cut off there. None
            where the file leaves the tile out: it shows background.

        Raises:
            SlideReadError: It cannot be read or decoded. The others stay usable.
        """


class Slide(ABC):
    """One open slide. Use it as a context manager, or call ``close``.

    Pixels are RGB uint8; what lies outside the slide or is transparent has the colour ``background``. Every failure of the
    library below leaves as a ``SlideError``. A slide is used by one thread at a time.
    """

    background: tuple[int, int, int] = WHITE

    @property
    @abstractmethod
    def path(self) -> Address:
        """The file or folder that was opened, or its URL, which is shown without credentials."""

    @property
    @abstractmethod
    def backend(self) -> str:
        """Name of the reading library: ``openslide``, ``tifffile``, ``tiffslide``, ``wsidicom``, ``zarr`` or ``pillow``."""

    @property
    @abstractmethod
    def vendor(self) -> str:
        """OpenSlide's vendor word (``aperio``, ``mirax``, ``dicom``, ``generic-tiff``, ...); for formats that it does not know
        ``ome-tiff``, ``ome-zarr``, ``png``, ``jpeg`` or ``bmp``."""

    @property
    @abstractmethod
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level in px of that level, finest first."""

    @property
    @abstractmethod
    def level_downsamples(self) -> tuple[float, ...]:
        """Level-0 px per px of each level; the first is 1.0."""

    @property
    @abstractmethod
    def properties(self) -> Mapping[str, str]:
        """The file's metadata as text, under OpenSlide's keys."""

    @property
    @abstractmethod
    def mpp(self) -> float:
        """um per level-0 pixel, the mean of both axes.

        Raises:
            MppError: Missing, absurd (outside 0.05 to 20) or anisotropic by more than 2 %, and none was given.
        """

    @property
    @abstractmethod
    def mpp_source(self) -> str:
        """Where ``mpp`` comes from: a property's key, ``tiff resolution tag``, ``objective power`` (a guess, of which
        ``mpp_warning`` tells) or ``given``; ``none`` where it is missing."""

    @property
    @abstractmethod
    def bounds(self) -> Bounds:
        """The non-empty part of level 0 (``openslide.bounds-*``); all of it where the file names none."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 that names the slide's content without its path (``files.fingerprint`` over all its parts)."""

    @abstractmethod
    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Read pixels of one level.

        Args:
            location: (x, y) of the upper left corner in *level-0* px; may lie outside the slide.
            level: Index into ``level_dimensions``.
            size: (width, height) of the region in px *of that level*.

        Returns:
            Array (height, width, 3), RGB uint8; what lies outside the slide is ``background``.

        Raises:
            SlideReadError: The pixels could not be decoded. The slide stays usable.
        """

    @abstractmethod
    def tile_grid(self, level: int) -> TileGrid | None:
        """The file's own tiles of a level, or None where the format has none or hides them."""

    @abstractmethod
    def tiles(self, level: int) -> Tiles | None:
        """The raw tiles of a level, or None where regions are the only way: no tiles, or not the pixels of ``read_region``."""

    @abstractmethod
    def duplicate(self) -> Slide:
        """Another handle on the same file, for another thread; to be closed as well.

        Raises:
            SlideError: The file cannot be opened again.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the file; harmless when called twice."""

    @property
    def name(self) -> str:
        """The file's (or folder's) own name, with its suffix."""
        return self.path.name

    @property
    def dimensions(self) -> tuple[int, int]:
        """(width, height) of level 0 in px."""
        return self.level_dimensions[0]

    @property
    def level_count(self) -> int:
        """Number of levels."""
        return len(self.level_dimensions)

    @property
    def mpp_warning(self) -> str | None:
        """What a user must be told of ``mpp`` where it is a guess from the objective power; None where the file states it."""
        if self.mpp_source != OBJECTIVE_POWER:
            return None
        return (
            f"{self.name}: states no um per pixel; {self.mpp:.4g} is guessed from its objective power of "
            f"{float(self.properties[POWER_KEY]):g}x and may be off by 10 % or more; give the true value with --mpp."
        )

    @property
    def frame(self) -> SlideFrame:
        """Size, mpp, bounds and place on the glass as a value that outlives the slide.

        Raises:
            MppError: As ``mpp``.
        """
        width, height = self.dimensions
        return SlideFrame(
            width=width,
            height=height,
            mpp=self.mpp,
            bounds=self.bounds,
            stated_mpp_xy=stated_resolution(self.properties).positive,
            centre_offset_nm=centre_offset_nm(self.properties),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
