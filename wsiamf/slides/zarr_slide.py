"""OME-Zarr slides (NGFF) through zarr: on disk, or in whatever store the caller opens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray

from wsiamf.addresses import Address
from wsiamf.errors import SlideError, SlideReadError, UnsupportedSlideError
from wsiamf.slides.base import DescribedSlide, SlideDescription, grid_of, level_properties, mean_downsample
from wsiamf.slides.interface import TileGrid, Tiles
from wsiamf.slides.ngff import Multiscale, NgffLevel, ngff_metadata, parse_multiscale
from wsiamf.slides.resolution import NGFF_SCALE, Resolution, mpp_properties
from wsiamf.slides.tile_cache import CachedTiles
from wsiamf.wording import one_line

OpenGroup = Callable[[], zarr.Group]

_VENDOR: Final = "ome-zarr"
_SAMPLES: Final = frozenset({1, 3})  # of grey and RGB
_LARGEST_CHUNK: Final = 1 << 28  # bytes; a chunk is decoded whole for whatever part of it is needed
_ROUNDING_PX: Final = 1.5  # a level's sides are rounded up or down, so they fit its scale to a px of it


class ZarrSlide(DescribedSlide):
    """An OME-Zarr picture: NGFF 0.4 in Zarr 2, 0.5 in Zarr 3, sharded or not.

    Chunks that the store leaves out show the array's fill value, as the format has it.

    Args:
        path: The folder; of a store that lies elsewhere, what messages and ``name`` call it by.
        given: The caller's resolution, which overrides the file's.
        open_group: Opens the store's root group for reading, each time anew (a duplicate has a handle of its own); left
            out, ``path`` is a folder on this machine.
        fingerprint_store: Gives the slide's fingerprint; left out, that of the folder ``path``.

    Raises:
        SlideNotFoundError: There is nothing at ``path``.
        UnsupportedSlideError: It is no OME-Zarr picture of 8-bit grey or RGB, or has a codec that is not installed.
    """

    def __init__(
        self,
        path: Address,
        given: Resolution | None = None,
        *,
        open_group: OpenGroup | None = None,
        fingerprint_store: Callable[[], str] | None = None,
    ) -> None:
        self._open_group = open_group or partial(zarr.open_group, path, mode="r")
        self._fingerprint_store = fingerprint_store
        picture, arrays = _alike(*open_levels(path.name, self._open_group))
        super().__init__(path, _describe(picture, arrays), given)
        waits = open_group is not None
        self._levels = [_ZarrTiles(path.name, picture.axes, array, waits=waits) for array in arrays]
        self._cached = [
            CachedTiles(tiles, size, self.background)
            for tiles, size in zip(self._levels, self.level_dimensions, strict=True)
        ]

    @property
    def backend(self) -> str:
        return "zarr"

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        return self._cached[level].read(*self._level_corner(x, y, level), width, height)

    def _tiles(self, level: int) -> Tiles | None:
        return self._levels[level]

    def _content_fingerprint(self) -> str:
        return super()._content_fingerprint() if self._fingerprint_store is None else self._fingerprint_store()

    def duplicate(self) -> ZarrSlide:
        return ZarrSlide(
            self._path, self._given, open_group=self._open_group, fingerprint_store=self._fingerprint_store
        )

    def _release(self) -> None:
        self._levels, self._cached = [], []


class _ZarrTiles(Tiles):
    """The chunks of one level; of a sharded array the chunks inside its shards. Channels in chunks of their own are joined."""

    def __init__(self, name: str, axes: Sequence[str], array: zarr.Array[Any], *, waits: bool) -> None:
        self._name = name
        self.waits = waits
        self._axes = axes
        self._array = array
        self._grid = _grid(axes, array)

    @property
    def grid(self) -> TileGrid:
        return self._grid

    def decode(self, column: int, row: int) -> NDArray[np.uint8] | None:
        x, y = column * self._grid.tile_width, row * self._grid.tile_height
        box = {"x": slice(x, x + self._grid.tile_width), "y": slice(y, y + self._grid.tile_height), "c": slice(None)}
        try:
            samples = np.asarray(self._array[tuple(box.get(axis, 0) for axis in self._axes)])
        except SlideError:  # of a store at an address, which names it
            raise
        except Exception as error:  # codecs and stores are plugins, and raise what they like
            raise SlideReadError(
                f"{self._name}: chunk {(column, row)} of {self._array.path or 'the array'} cannot be read: {one_line(error)}."
            ) from error
        order = [axis for axis in self._axes if axis in box]
        samples = samples.transpose([order.index(axis) for axis in "yxc" if axis in order])
        rgb = samples[..., None] if samples.ndim == 2 else samples
        return np.ascontiguousarray(np.broadcast_to(rgb, (*rgb.shape[:2], 3)))


def open_levels(name: str, open_group: OpenGroup) -> tuple[Multiscale, list[zarr.Array[Any]]]:
    """The picture and its levels' arrays, finest first.

    Raises:
        SlideError: As of ``ZarrSlide``.
    """
    try:
        group = _picture_group(name, open_group())
        picture = parse_multiscale(name, ngff_metadata(dict(group.attrs)))
        arrays = [_array(name, group, level) for level in picture.levels]
    except SlideError:
        raise
    except Exception as error:  # codecs and stores are plugins, and raise what they like
        raise UnsupportedSlideError(
            f"{name}: no OME-Zarr slide that can be opened: {one_line(error)}; copy it again if it may be incomplete, and "
            "install the codec (numcodecs, zarr) that it names."
        ) from error
    for array in arrays:
        _refuse_samples(name, picture.axes, array)
    order = sorted(range(len(arrays)), key=lambda level: -_size(picture.axes, arrays[level])[0])
    levels = tuple(picture.levels[level] for level in order)
    return Multiscale(picture.axes, picture.um_per_unit_xy, levels), [arrays[level] for level in order]


def _alike(picture: Multiscale, arrays: Sequence[zarr.Array[Any]]) -> tuple[Multiscale, list[zarr.Array[Any]]]:
    """The levels that shrink level 0 alike along both axes; by the one factor that a level has, others show wrong pixels."""
    sizes = [_size(picture.axes, array) for array in arrays]
    kept = [number for number, size in enumerate(sizes) if _shrinks_alike(sizes[0], size)]
    levels = tuple(picture.levels[number] for number in kept)
    return Multiscale(picture.axes, picture.um_per_unit_xy, levels), [arrays[number] for number in kept]


def _shrinks_alike(whole: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether one factor gives both sides of a level from those of level 0, each within its rounding."""
    fewest = max(side / (own + _ROUNDING_PX) for side, own in zip(whole, size, strict=True))
    most = min(side / max(own - _ROUNDING_PX, 0.5) for side, own in zip(whole, size, strict=True))
    return fewest <= most


def _picture_group(name: str, root: zarr.Group) -> zarr.Group:
    """The group of the picture: the root, or of what bioformats2raw wrote the first of its series."""
    metadata = ngff_metadata(dict(root.attrs))
    if "plate" in metadata:
        raise UnsupportedSlideError(
            f"{name}: a plate of many wells, not one slide; name the folder of one picture in it."
        )
    if "multiscales" not in metadata and "bioformats2raw.layout" in metadata:
        first = root["0"]
        if isinstance(first, zarr.Group):
            return first
    return root


def _array(name: str, group: zarr.Group, level: NgffLevel) -> zarr.Array[Any]:
    found = group.get(level.path)
    if not isinstance(found, zarr.Array):
        raise UnsupportedSlideError(f"{name}: incomplete, its level {level.path!r} is missing; copy it again.")
    return found


def _refuse_samples(name: str, axes: Sequence[str], array: zarr.Array[Any]) -> None:
    lengths = dict(zip(axes, array.shape, strict=False))
    if len(array.shape) != len(axes):
        raise UnsupportedSlideError(
            f"{name}: an array of {len(array.shape)} dimensions for {len(axes)} axes; convert it again."
        )
    if array.dtype != np.uint8:
        raise UnsupportedSlideError(
            f"{name}: samples of {array.dtype.itemsize * 8} bits ({array.dtype}), where 8-bit colour is read; "
            "save it as 8-bit RGB."
        )
    if any(lengths.get(axis, 1) != 1 for axis in "tz"):
        raise UnsupportedSlideError(
            f"{name}: a stack of {lengths.get('z', 1)} planes and {lengths.get('t', 1)} times, not one picture; "
            "save one plane by itself."
        )
    if (channels := lengths.get("c", 1)) not in _SAMPLES:
        raise UnsupportedSlideError(
            f"{name}: {channels} channels, where a stained slide has 3 (red, green, blue) or 1 (grey); save it as RGB."
        )
    if (n_bytes := math.prod(array.chunks)) > _LARGEST_CHUNK:
        raise UnsupportedSlideError(
            f"{name}: chunks of {' x '.join(map(str, array.chunks))} samples ({n_bytes >> 20:,} MiB each), of which "
            f"{_LARGEST_CHUNK >> 20} MiB are read; convert it again with smaller ones."
        )
    if 0 in array.shape:
        raise UnsupportedSlideError(f"{name}: an array without pixels, {array.shape}; convert it again.")


def _describe(picture: Multiscale, arrays: Sequence[zarr.Array[Any]]) -> SlideDescription:
    dimensions = tuple(_size(picture.axes, array) for array in arrays)
    downsamples = tuple(
        _downsample(picture.levels[0], level, dimensions[0], size)
        for level, size in zip(picture.levels, dimensions, strict=True)
    )
    grids = tuple(_grid(picture.axes, array) for array in arrays)
    mpp = picture.mpp_xy
    stated = {} if mpp is None else mpp_properties(NGFF_SCALE, *mpp)
    return SlideDescription(
        vendor=_VENDOR,
        level_dimensions=dimensions,
        level_downsamples=downsamples,
        tile_grids=grids,
        properties=level_properties(_VENDOR, dimensions, downsamples, grids) | stated,
    )


def _downsample(finest: NgffLevel, level: NgffLevel, whole: tuple[int, int], size: tuple[int, int]) -> float:
    """By the stated scales where they fit the sizes, which are rounded; else by the sizes, the mean of both axes."""
    if finest.scale_xy is not None and level.scale_xy is not None and all(finest.scale_xy):
        stated = [own / first for own, first in zip(level.scale_xy, finest.scale_xy, strict=True)]
        fits = all(
            down > 0 and abs(side / down - own) <= _ROUNDING_PX
            for down, side, own in zip(stated, whole, size, strict=True)
        )
        if fits:
            return sum(stated) / 2
    return mean_downsample(whole, size)


def _size(axes: Sequence[str], array: zarr.Array[Any]) -> tuple[int, int]:
    """(width, height) in px."""
    return int(array.shape[axes.index("x")]), int(array.shape[axes.index("y")])


def _grid(axes: Sequence[str], array: zarr.Array[Any]) -> TileGrid:
    width, height = (int(array.chunks[axes.index(axis)]) for axis in "xy")
    return grid_of(_size(axes, array), (width, height))
