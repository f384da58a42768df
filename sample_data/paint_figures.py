"""Mitotic figures, normal and atypical, and apoptotic bodies that look like them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from stain_maps import Field, StainMaps, Window, soft_step

Stroke = tuple[float, float, float, float, float]
"""A rod of chromatin: its two ends (x, y, x, y) and its half width, in px along and across the figure's axis."""

_RADIUS: Final = 56  # px: half the side of the square that a figure is painted in


def _arc(center: tuple[float, float], radius: float, start: float, stop: float, half_width: float) -> list[Stroke]:
    angles = np.linspace(start, stop, 9)
    x, y = center[0] + radius * np.cos(angles), center[1] + radius * np.sin(angles)
    return [(float(x[k]), float(y[k]), float(x[k + 1]), float(y[k + 1]), half_width) for k in range(len(angles) - 1)]


def _plate(rng: np.random.Generator) -> list[Stroke]:
    half = rng.uniform(16, 22)
    bow = rng.uniform(-3, 3)
    width = rng.uniform(4.2, 6.0)
    return [(0, -half, bow, 0, width), (bow, 0, 0, half, width)]


def _metaphase(rng: np.random.Generator) -> list[Stroke]:
    return _plate(rng)


def _prometaphase(rng: np.random.Generator) -> list[Stroke]:
    ends = np.clip(rng.normal(0, 9, (9, 4)), -15, 15)
    return [(float(a), float(b), float(c), float(d), float(rng.uniform(2.6, 4.4))) for a, b, c, d in ends]


def _ring(rng: np.random.Generator) -> list[Stroke]:
    return _arc((0, 0), rng.uniform(11, 14), 0, 2 * np.pi, rng.uniform(3.6, 4.8))


def _daughters(rng: np.random.Generator, gap: float, half: float, width: float) -> list[Stroke]:
    """Two bars that bow towards each other's poles, ``gap`` px between them."""
    bow = rng.uniform(3, 6)
    bars: list[Stroke] = []
    for side in (-1, 1):
        x = side * gap / 2
        bars += [(x - side * bow, -half, x + side, 0, width), (x + side, 0, x - side * bow, half, width)]
    return bars


def _anaphase(rng: np.random.Generator) -> list[Stroke]:
    return _daughters(rng, rng.uniform(22, 30), rng.uniform(13, 17), rng.uniform(3.6, 4.8))


def _telophase(rng: np.random.Generator) -> list[Stroke]:
    return _daughters(rng, rng.uniform(38, 42), rng.uniform(11, 14), rng.uniform(4.0, 5.0))


def _tripolar(rng: np.random.Generator) -> list[Stroke]:
    return _star(rng, 3)


def _multipolar(rng: np.random.Generator) -> list[Stroke]:
    return _star(rng, 4)


def _star(rng: np.random.Generator, arms: int) -> list[Stroke]:
    angles = 2 * np.pi * np.arange(arms) / arms + rng.normal(0, 0.16, arms)
    reach = rng.uniform(17, 24, arms)
    tips = np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)
    return [(0.0, 0.0, float(x), float(y), float(rng.uniform(4.0, 5.4))) for x, y in tips]


def _bridge(rng: np.random.Generator) -> list[Stroke]:
    gap = rng.uniform(26, 32)
    strands: list[Stroke] = [
        (-gap / 2, float(y), gap / 2, float(y + rng.normal(0, 2.5)), 1.9)
        for y in rng.uniform(-9, 9, rng.integers(1, 3))
    ]
    return _daughters(rng, gap, rng.uniform(13, 16), 4.2) + strands


def _lagging(rng: np.random.Generator) -> list[Stroke]:
    bars = _daughters(rng, rng.uniform(30, 36), rng.uniform(12, 16), 4.2)
    for x, y in zip(rng.uniform(-7, 7, 3), rng.uniform(-12, 12, 3), strict=True):
        bars.append((float(x), float(y), float(x + rng.normal(0, 3)), float(y + rng.normal(0, 2)), 2.3))
    return bars


def _asymmetric(rng: np.random.Generator) -> list[Stroke]:
    gap = rng.uniform(26, 32)
    large, small = rng.uniform(17, 20), rng.uniform(5, 8)
    return [(-gap / 2, -large, -gap / 2, large, 5.4), (gap / 2, -small, gap / 2, small, 3.4)]


def _stray(rng: np.random.Generator) -> list[Stroke]:
    """A plate with chromosomes that never reached it."""
    strays: list[Stroke] = []
    for side in rng.choice([-1.0, 1.0], 3):
        x, y = side * rng.uniform(13, 20), rng.uniform(-14, 14)
        strays.append((float(x), float(y), float(x + rng.normal(0, 3)), float(y + rng.normal(0, 3)), 2.4))
    return _plate(rng) + strays


FIGURES: Final[dict[str, tuple[Callable[[np.random.Generator], list[Stroke]], ...]]] = {
    "NMF metaphase": (_metaphase,),
    "NMF prometaphase": (_prometaphase,),
    "NMF ring shape": (_ring,),
    "NMF anaphase-telophase": (_anaphase,),
    "AMF multipolar": (_tripolar, _multipolar),
    "AMF segregation": (_bridge, _lagging),
    "AMF bipolar asymmetric": (_asymmetric,),
    "AMF other": (_stray,),
}
"""AMi-Br's eight labels and the ways in which each is drawn."""


def paint_figure(maps: StainMaps, x: float, y: float, label: str, angle: float) -> None:
    """Paint one figure centred on a point in level-0 px, its spindle axis at ``angle`` (radians)."""
    ways = FIGURES[label]
    _paint_dividing(maps, (x, y), ways[int(maps.rng.integers(len(ways)))](maps.rng), angle)


def paint_telophase(maps: StainMaps, x: float, y: float, angle: float) -> tuple[tuple[float, float], ...]:
    """Paint a late telophase; returns the centres of its two daughter plates in level-0 px."""
    strokes = _telophase(maps.rng)
    _paint_dividing(maps, (x, y), strokes, angle)
    halves = (np.mean([stroke[0] + stroke[2] for stroke in part]) / 2 for part in (strokes[:2], strokes[2:]))
    return tuple((float(x + at * np.cos(angle)), float(y + at * np.sin(angle))) for at in halves)


def _paint_dividing(maps: StainMaps, center: tuple[float, float], strokes: Sequence[Stroke], angle: float) -> None:
    """A rounded cell with cleared cytoplasm, and blue-black chromatin with rough edges in it."""
    window = maps.window(*center, _RADIUS)
    along, across = window.turned(angle)
    reach = max(max(abs(x0), abs(x1)) for x0, _, x1, _, _ in strokes)
    radius, clear = maps.rng.uniform(27, 33), maps.rng.uniform(0.0, 1.0)
    stretch = np.float32(max(maps.rng.uniform(0.95, 1.1), (reach + 14) / radius))
    cell = radius - np.hypot(along / stretch, across) + 2.0 * maps.speckle(window, 9)
    grain = maps.speckle(window, 3)
    haematoxylin, eosin = 0.10 - 0.03 * clear + 0.025 * grain, 0.27 - 0.07 * clear + 0.03 * grain
    maps.paint(window, 0.9 * soft_step(cell, 5), haematoxylin, eosin)
    maps.paint(window, 0.35 * np.exp(-((cell / 1.8) ** 2)), 0.20, 0.40)
    _paint_chromatin(maps, window, _strokes_depth(strokes, along, across))


def _strokes_depth(strokes: Sequence[Stroke], along: Field, across: Field) -> Field:
    """How deep in px each pixel lies in the nearest rod (negative: outside)."""
    depths = []
    for x0, y0, x1, y1, half_width in strokes:
        run_x, run_y = x1 - x0, y1 - y0
        length = max(run_x**2 + run_y**2, 1e-6)
        share = np.clip(((along - x0) * run_x + (across - y0) * run_y) / length, 0, 1)
        depths.append(half_width - np.hypot(along - x0 - share * run_x, across - y0 - share * run_y))
    return np.asarray(np.max(depths, axis=0), dtype=np.float32)


def _paint_chromatin(maps: StainMaps, window: Window, depth: Field) -> None:
    rough = depth + 0.9 * maps.speckle(window, 3) + 1.1 * maps.speckle(window, 5)
    dark = maps.rng.uniform(1.15, 1.65) + 0.18 * maps.speckle(window, 3)
    maps.paint(window, soft_step(rough, 1.5), dark, 0.12)


def paint_apoptosis(maps: StainMaps, x: float, y: float) -> None:
    """A shrunken, very pink cell in a halo with smooth round balls of chromatin."""
    rng = maps.rng
    window = maps.window(x, y, _RADIUS)
    distance = np.hypot(window.dx, window.dy) + 1.2 * maps.speckle(window, 9)
    maps.paint(window, soft_step(25 - distance, 2.5), 0.0, 0.06)
    maps.paint(window, soft_step(18 - distance, 2), 0.16, 0.78)
    angles = np.arange(3) * 2.1 + rng.uniform(0, 6.3)
    for angle, radius in zip(angles, (7.5, 4.2, 3.0), strict=True):
        away = 4.0 if radius > 5 else rng.uniform(9.0, 11.0)
        ball = radius - np.hypot(
            window.dx - np.float32(away * np.cos(angle)), window.dy - np.float32(away * np.sin(angle))
        )
        maps.paint(window, soft_step(ball, 1.2), 1.75, 0.2)
