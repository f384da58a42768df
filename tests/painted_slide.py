"""Slides painted in memory with tissue and nuclei whose places are known, for checks that need no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wsiamf.geometry import Bounds
from wsiamf.slides.base import DescribedSlide, SlideDescription

Shape = Literal["full", "blobs", "strips", "oval"]
Floats = NDArray[np.float64]

_GLASS, _EOSIN, _RED_OF_NUCLEI = (243, 242, 244), (228, 178, 206), np.array([1.0, 0.9, 0.35])


class ArraySlide(DescribedSlide):
    """A slide whose reduced levels are arrays; level 0 repeats the pixels of the finest of them.

    Args:
        name: The file's name.
        levels: Level-0 px per px, and pixels, of each reduced level, finest first.
        size: (width, height) of level 0.
        mpp: um per level-0 px.
        bounds: ``openslide.bounds-*``, None for none.
    """

    def __init__(
        self,
        name: str,
        levels: Sequence[tuple[int, NDArray[np.uint8]]],
        size: tuple[int, int],
        mpp: float,
        bounds: Bounds | None = None,
    ) -> None:
        self._levels = levels
        properties = {"openslide.mpp-x": str(mpp), "openslide.mpp-y": str(mpp)}
        if bounds is not None:
            properties |= {
                f"openslide.bounds-{key}": str(getattr(bounds, key)) for key in ("x", "y", "width", "height")
            }
        description = SlideDescription(
            vendor="painted",
            level_dimensions=(size, *((pixels.shape[1], pixels.shape[0]) for _, pixels in levels)),
            level_downsamples=(1.0, *(float(down) for down, _ in levels)),
            tile_grids=(None,) * (len(levels) + 1),
            properties=properties,
        )
        self._made_of: tuple[Any, ...] = (name, levels, size, mpp, bounds)
        super().__init__(Path(name), description, None)

    @property
    def painted(self) -> Sequence[tuple[int, NDArray[np.uint8]]]:
        """The reduced levels."""
        return self._levels

    @property
    def backend(self) -> str:
        return "array"

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        down, pixels = self._levels[max(level - 1, 0)]
        step = 1 / down if level == 0 else 1.0
        columns = np.floor(x / down + np.arange(width) * step).astype(np.intp)
        rows = np.floor(y / down + np.arange(height) * step).astype(np.intp)
        region: NDArray[np.uint8] = pixels[
            np.clip(rows, 0, pixels.shape[0] - 1)[:, None], np.clip(columns, 0, pixels.shape[1] - 1)
        ]
        region[(rows < 0) | (rows >= pixels.shape[0])] = 255
        region[:, (columns < 0) | (columns >= pixels.shape[1])] = 255
        return region

    def duplicate(self) -> ArraySlide:
        return ArraySlide(*self._made_of)

    def _release(self) -> None:
        pass


@dataclass(frozen=True)
class Painted:
    """A slide and what is on it.

    Args:
        slide: The slide.
        nuclei: (N, 2) centres of ordinary nuclei in level-0 px.
        figures: (M, 2) centres of darker, larger spots, in level-0 px.
    """

    slide: ArraySlide
    nuclei: Floats
    figures: Floats


def paint_slide(
    seed: int,
    *,
    size_mm: tuple[float, float] = (4.0, 3.0),
    shape: Shape = "blobs",
    mpp: float = 0.25,
    down: int = 8,
    bounds_um: tuple[float, float] | None = None,
    nuclei_mm2: float = 1500.0,
    n_figures: int = 400,
    clustered: bool = False,
    figure_density: float = 0.55,
    name: str = "painted.svs",
) -> Painted:
    """Paint a slide.

    Args:
        seed: Of everything random.
        size_mm: Width and height of the part with pixels.
        shape: Outline of the tissue.
        mpp: um per level-0 px.
        down: Level-0 px per px of the finest level that is painted; another level is four times as coarse.
        bounds_um: Where that part begins on level 0, for a slide with ``openslide.bounds-*``; as much is empty after it.
        nuclei_mm2: Ordinary nuclei per mm2 of tissue.
        n_figures: Number of figures.
        clustered: Whether figures lie in a few clusters.
        figure_density: Optical density of a figure; ordinary nuclei have 0.15 to 0.45.
        name: The file's name.
    """
    rng = np.random.default_rng(seed)
    width, height = (round(side * 1000 / mpp / down) for side in size_mm)
    tissue = _tissue(rng, shape, width, height)
    px_mm2 = (down * mpp / 1000) ** 2
    nuclei = _places(rng, tissue, int(tissue.sum() * px_mm2 * nuclei_mm2))
    figures = _clusters(rng, tissue, n_figures, 150 / (down * mpp)) if clustered else _places(rng, tissue, n_figures)
    density = _spots(nuclei, rng.uniform(0.15, 0.45, len(nuclei)), 3.0 / (down * mpp), tissue.shape)
    density += _spots(figures, np.full(len(figures), figure_density), 3.5 / (down * mpp), tissue.shape)
    picture = _stained(rng, tissue, density)
    corner = (0, 0) if bounds_um is None else tuple(round(side / mpp / down) for side in bounds_um)
    canvas = np.full((height + 2 * corner[1], width + 2 * corner[0], 3), 255, dtype=np.uint8)
    canvas[corner[1] : corner[1] + height, corner[0] : corner[0] + width] = picture
    bounds = Bounds(corner[0] * down, corner[1] * down, width * down, height * down) if bounds_um else None
    size = (canvas.shape[1] * down, canvas.shape[0] * down)
    slide = ArraySlide(name, [(down, canvas), (4 * down, _quartered(canvas))], size, mpp, bounds)
    shift = np.asarray(corner, dtype=np.float64)
    return Painted(slide, (nuclei + shift) * down, (figures + shift) * down)


def _tissue(rng: np.random.Generator, shape: Shape, width: int, height: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:height, :width]
    if shape == "full":
        return np.ones((height, width), dtype=np.bool_)
    if shape == "oval":
        return np.asarray(np.hypot(x / width - 0.5, y / height - 0.5) < 0.42)
    if shape == "strips":
        middle = width * (0.3 + 0.25 * np.sin(y / height * 4 + rng.uniform(0, 6)))
        return np.asarray((np.abs(x - middle) < 0.09 * width) & (y > 0.08 * height) & (y < 0.9 * height))
    coarse = rng.normal(size=(5, 6))
    smooth = ndimage.zoom(coarse, (height / 5, width / 6), order=3)[:height, :width]
    return np.asarray(smooth > np.quantile(smooth, rng.uniform(0.45, 0.75)))


def _places(rng: np.random.Generator, tissue: NDArray[np.bool_], n: int) -> Floats:
    """(n, 2) places on the tissue, (x, y) in its px."""
    flat = rng.choice(np.flatnonzero(tissue), size=n)
    return np.stack([flat % tissue.shape[1], flat // tissue.shape[1]], axis=1) + rng.uniform(0, 1, (n, 2))


def _clusters(rng: np.random.Generator, tissue: NDArray[np.bool_], n: int, spread: float) -> Floats:
    centres = _places(rng, tissue, 4)
    drawn = rng.normal(centres[rng.integers(4, size=20 * n + 100)], spread)
    column, row = np.floor(drawn).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < tissue.shape[1]) & (row < tissue.shape[0])
    drawn, column, row = drawn[inside], column[inside], row[inside]
    return np.asarray(drawn[tissue[row, column]][:n])


def _spots(places: Floats, density: Floats, sigma: float, shape: tuple[int, int]) -> Floats:
    """Blurred spots of a given peak density."""
    canvas = np.zeros(shape)
    column, row = np.floor(places).astype(int).T
    np.add.at(canvas, (row, column), density)
    return np.asarray(ndimage.gaussian_filter(canvas, sigma)) * (2 * np.pi * sigma**2)


def _stained(rng: np.random.Generator, tissue: NDArray[np.bool_], density: Floats) -> NDArray[np.uint8]:
    base = np.where(tissue[..., None], np.array(_EOSIN), np.array(_GLASS)).astype(np.float64)
    height, width = tissue.shape
    uneven = ndimage.zoom(rng.normal(0, 8, (8, 8)), (height / 8, width / 8), order=1)[:height, :width]
    base += np.where(tissue, uneven, 0.0)[..., None] + rng.normal(0, 4, (*tissue.shape, 1))
    seen = base * 10 ** -(np.minimum(density, 0.8)[..., None] * _RED_OF_NUCLEI)
    return np.asarray(seen.clip(0, 255), dtype=np.uint8)


def _quartered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (side // 4 * 4 for side in pixels.shape[:2])
    means = pixels[:height, :width].reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(means), dtype=np.uint8)
