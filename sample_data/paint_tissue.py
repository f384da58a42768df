"""Tissue that never was: stroma, tumour nests, fat, necrosis and the nuclei of cells that do not divide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial
from stain_maps import Field, StainMaps, Window, smooth_noise, soft_step

Points = NDArray[np.float64]

_COARSE: Final = 2  # maps of the layout are made at half resolution
_NEST_SPACING: Final = 250
_CELL_SPACING: Final = 44
_FAR_PX: Final = 600
_FIGURE_ROOM: Final = 36  # px round a figure's centre that hold no other nucleus
_BORDER_DEPTH: Final = 2.5


@dataclass(frozen=True)
class Outline:
    """A closed smooth curve round a centre, in level-0 px."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    waves: tuple[tuple[int, float, float], ...]  # (number of bulges, height relative to the radius, phase)

    def relative_radius(self, angle: Field | Points) -> Points:
        """Distance of the curve from the centre at each angle, in units of the radii."""
        bulges = [height * np.cos(count * angle + phase) for count, height, phase in self.waves]
        return np.asarray(1 + np.sum(bulges, axis=0))

    def depth(self, x: Field | Points, y: Field | Points) -> Field:
        """About how many px a point lies inside (negative: outside)."""
        u, v = (x - self.x) / self.radius_x, (y - self.y) / self.radius_y
        reach = self.relative_radius(np.arctan2(v, u)) - np.hypot(u, v)
        return np.asarray(reach * min(self.radius_x, self.radius_y), dtype=np.float32)

    def vertices(self, count: int, shape: tuple[int, int]) -> Points:
        """Corners (count, 2) as (x, y), kept on the slide."""
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        radius = self.relative_radius(angle)
        x, y = self.x + self.radius_x * radius * np.cos(angle), self.y + self.radius_y * radius * np.sin(angle)
        return np.stack([np.clip(x, 0, shape[1]), np.clip(y, 0, shape[0])], axis=1)


@dataclass(frozen=True)
class Layout:
    """Where what lies: depths in px (positive inside) at half resolution."""

    tissue: Field
    nests: Field
    necrosis: Field

    def at(self, field: Field, points: Points) -> Field:
        """A field's values at points in level-0 px."""
        column, row = (points / _COARSE).astype(int).T
        values = field[np.clip(row, 0, field.shape[0] - 1), np.clip(column, 0, field.shape[1] - 1)]
        return np.asarray(values, dtype=np.float32)


def make_layout(rng: np.random.Generator, shape: tuple[int, int], tumor: Outline, necrosis: Outline) -> Layout:
    """Glass on three sides, tumour nests with septa inside the tumour's outline, stroma elsewhere."""
    small = shape[0] // _COARSE, shape[1] // _COARSE
    y, x = (np.indices(small, dtype=np.float32) + 0.5) * _COARSE
    ragged = 42 * smooth_noise(rng, small, 130) + 12 * smooth_noise(rng, small, 28) + 4 * smooth_noise(rng, small, 8)
    tissue = np.minimum(np.minimum(x - 190, shape[1] - 170 - x), y - 180) + ragged
    wavy = 30 * smooth_noise(rng, small, 110) + 9 * smooth_noise(rng, small, 22)
    tumor_depth = np.minimum(tumor.depth(x, y) - 30 + wavy, tissue - 50)
    necrosis_depth = necrosis.depth(x, y) + wavy / 4
    nests = np.minimum(tumor_depth, _septa_distance(rng, x, y, shape) - 13 - 5 * smooth_noise(rng, small, 60))
    return Layout(tissue.astype(np.float32), np.minimum(nests, -necrosis_depth), necrosis_depth.astype(np.float32))


def _septa_distance(rng: np.random.Generator, x: Field, y: Field, shape: tuple[int, int]) -> Field:
    """Distance in px from the fibrous septa between nests: the borders of a warped Voronoi pattern."""
    warp_x, warp_y = (38 * smooth_noise(rng, x.shape, 70) + 9 * smooth_noise(rng, x.shape, 20) for _ in range(2))
    seeds = scattered_points(rng, shape, _NEST_SPACING, jitter=0.42)
    return _border_distance(seeds, x + warp_x, y + warp_y)


def _border_distance(seeds: Points, x: Field, y: Field) -> Field:
    """How far in px each place is from the border between the two nearest seeds' domains; large far from any seed."""
    tree = spatial.cKDTree(seeds)
    nearest = np.asarray(tree.query(np.stack([x, y], axis=-1), k=2, distance_upper_bound=_FAR_PX)[0])
    nearest = np.minimum(nearest, [_FAR_PX, 2 * _FAR_PX])  # infinite beyond the bound
    return np.asarray((nearest[..., 1] - nearest[..., 0]) / 2, dtype=np.float32)


def scattered_points(rng: np.random.Generator, shape: tuple[int, int], spacing: float, jitter: float) -> Points:
    """Points (n, 2) as (x, y) on a hexagonal grid, each moved by up to ``jitter`` spacings."""
    rows, columns = int(shape[0] / spacing / 0.866) + 2, int(shape[1] / spacing) + 2
    row, column = (index.ravel() for index in np.indices((rows, columns)))
    points = np.stack([(column + 0.5 * (row % 2)) * spacing, row * spacing * 0.866], axis=1)
    moved = points + rng.uniform(-jitter, jitter, points.shape) * spacing
    inside = (moved >= 0).all(axis=1) & (moved[:, 0] < shape[1]) & (moved[:, 1] < shape[0])
    return np.asarray(moved[inside])


# --- between the nuclei -----------------------------------------------------------------------------------------------


def paint_ground(maps: StainMaps, layout: Layout, cells: Points) -> None:
    """Stroma, the nests' cytoplasm with its cell borders, and necrosis, all under one ragged tissue edge."""
    shape, rng = maps.shape, maps.rng
    tissue, nests, dead = (_enlarged(field, shape) for field in (layout.tissue, layout.nests, layout.necrosis))
    fibres = _fibres(rng, shape)
    maps.eosin[:] = 0.29 + 0.075 * fibres
    maps.eosin -= 0.20 * soft_step(-fibres - 1.25, 0.5) * soft_step(-nests - 6, 8)  # clefts between collagen bundles
    maps.haematoxylin[:] = 0.055 + 0.02 * fibres
    border = np.exp(-((_enlarged(_cell_borders(cells, layout.nests.shape), shape) / _BORDER_DEPTH) ** 2))
    grain, cloud = smooth_noise(rng, shape, 3), smooth_noise(rng, shape, 90)
    _blend(maps, soft_step(nests, 5), 0.15 + 0.03 * grain + 0.035 * cloud, 0.27 + 0.035 * grain + 0.07 * border)
    debris = np.maximum(smooth_noise(rng, shape, 6) - 1.5, 0)
    _blend(maps, soft_step(dead, 14), 0.05 + 0.5 * debris, 0.47 + 0.09 * grain + 0.06 * cloud)
    edge = soft_step(tissue, 4)
    maps.eosin *= edge * (1 + 0.18 * np.exp(-((tissue / 14) ** 2)))  # the cut edge takes more stain
    maps.haematoxylin *= edge
    np.maximum(maps.eosin, 0, out=maps.eosin)


def _blend(maps: StainMaps, mask: Field, haematoxylin: Field, eosin: Field) -> None:
    maps.haematoxylin += mask * (haematoxylin - maps.haematoxylin)
    maps.eosin += mask * (eosin - maps.eosin)


def _enlarged(field: Field, shape: tuple[int, int]) -> Field:
    return np.asarray(ndimage.zoom(field, _COARSE, order=1, mode="nearest", grid_mode=True), dtype=np.float32)[
        : shape[0], : shape[1]
    ]


def _fibres(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Wavy collagen: noise drawn out along a bending direction, mean 0, spread 1."""
    y, x = np.indices(shape, dtype=np.float32)
    bend = 60 * smooth_noise(rng, shape, 330) + 7 * smooth_noise(rng, shape, 75)
    total = 0.35 * smooth_noise(rng, shape, 4) + 0.5 * smooth_noise(rng, shape, 40)
    for angle, across_px, along_px, weight in (
        (0.5, 4.0, 70.0, 1.0),
        (0.56, 7.0, 120.0, 0.8),
        (0.42, 15.0, 160.0, 0.7),
    ):
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle) + bend
        grid = rng.standard_normal((512, 512), dtype=np.float32)
        total += weight * ndimage.map_coordinates(
            grid, [across / across_px, along / along_px], order=1, mode="grid-wrap"
        )
    return np.asarray(total / total.std(), dtype=np.float32)


def _cell_borders(cells: Points, shape: tuple[int, int]) -> Field:
    """Distance in px from the border between two cells, at half resolution."""
    y, x = (np.indices(shape, dtype=np.float32) + 0.5) * _COARSE
    return _border_distance(cells, x, y)


def paint_fat(maps: StainMaps, centers: Points) -> None:
    """Empty fat vacuoles with a thin pink rim."""
    for x, y in centers:
        radius = float(maps.rng.uniform(62, 88))
        window = maps.window(x, y, radius + 12)
        along, across = window.turned(float(maps.rng.uniform(0, np.pi)))
        depth = radius - np.hypot(along / 1.08, across / 0.93) + 0.9 * maps.speckle(window, 9)
        maps.paint(window, soft_step(depth + 5, 3), 0.09, 0.42)
        maps.paint(window, soft_step(depth, 2), 0.0, 0.01)


# --- nuclei -----------------------------------------------------------------------------------------------------------


def tumor_cells(rng: np.random.Generator, shape: tuple[int, int], layout: Layout, figures: Points) -> Points:
    """Centres of the tumour cells at rest, with room left for the figures."""
    cells = scattered_points(rng, shape, _CELL_SPACING, jitter=0.27)
    cells = cells[layout.at(layout.nests, cells) > 5]
    distance, _ = spatial.cKDTree(figures).query(cells)
    return np.asarray(cells[distance > _FIGURE_ROOM])


def paint_tumor_nuclei(maps: StainMaps, cells: Points) -> None:
    """Large vesicular nuclei: membrane, clumped chromatin, one or two nucleoli."""
    for x, y in cells:
        rng = maps.rng
        long, wide = rng.uniform(14.5, 20.5), rng.uniform(11.0, 15.0)
        window, depth = _nucleus_depth(maps, (x, y), (long, wide), rng.uniform(0, np.pi))
        chromatin = rng.uniform(0.36, 0.74) + 0.11 * maps.speckle(window, 3) + 0.10 * maps.speckle(window, 5)
        chromatin += 0.28 * np.exp(-((depth - 1.8) ** 2) / 3.5)
        maps.paint(window, soft_step(depth, 1.6), chromatin, 0.16)
        for _ in range(rng.integers(0, 3)):
            radius, (off_x, off_y) = rng.uniform(2.0, 3.3), rng.uniform(-5, 5, 2)
            spot = radius - np.hypot(window.dx - np.float32(off_x), window.dy - np.float32(off_y))
            maps.paint(window, 0.85 * soft_step(spot, 1.5), 1.0, 0.35)


def paint_fibroblasts(maps: StainMaps, cells: Points, angle: float) -> None:
    """Thin dark spindles along the collagen."""
    for x, y in cells:
        size = maps.rng.uniform(13, 24), maps.rng.uniform(3.0, 5.0)
        window, depth = _nucleus_depth(maps, (x, y), size, angle + maps.rng.normal(0, 0.35))
        maps.paint(window, soft_step(depth, 1.5), 0.72 + 0.15 * maps.speckle(window, 3), 0.22)


def paint_lymphocytes(maps: StainMaps, cells: Points) -> None:
    """Small round dark nuclei with hardly any cytoplasm."""
    for x, y in cells:
        radius = maps.rng.uniform(10.0, 13.0)
        window, depth = _nucleus_depth(maps, (x, y), (radius, radius * 0.94), 0.0)
        chromatin = 0.98 + 0.20 * maps.speckle(window, 3) + 0.12 * maps.speckle(window, 5)
        maps.paint(window, soft_step(depth, 1.5), chromatin, 0.15)


def paint_red_cells(maps: StainMaps, cells: Points) -> None:
    """Erythrocytes: bright eosin, paler in the middle."""
    for x, y in cells:
        radius = maps.rng.uniform(10.5, 13.0)
        window, depth = _nucleus_depth(
            maps, (x, y), (radius, radius * maps.rng.uniform(0.75, 1.0)), maps.rng.uniform(0, 3)
        )
        pale = np.exp(-(((depth - np.float32(radius)) / 5) ** 2))
        maps.paint(window, soft_step(depth, 1.5), 0.02, np.float32(0.72) - np.float32(0.16) * pale)


def _nucleus_depth(
    maps: StainMaps, center: tuple[float, float], half_axes: tuple[float, float], angle: float
) -> tuple[Window, Field]:
    """A window and how deep in px each of its pixels lies in a slightly lumpy ellipse."""
    long, wide = half_axes
    window = maps.window(*center, max(long, wide) * 1.35 + 6)
    along, across = window.turned(float(angle))
    theta = np.arctan2(across / np.float32(wide), along / np.float32(long))
    lumps = sum(maps.rng.normal(0, 0.035) * np.cos(k * theta + maps.rng.uniform(0, 6.3)) for k in (2, 3, 4))
    radius = np.hypot(along / np.float32(long), across / np.float32(wide))
    return window, np.asarray((1 + lumps - radius) * min(long, wide), dtype=np.float32)
