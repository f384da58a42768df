"""A mask's outline as polygons, exactly along its pixel edges.

Every edge between a set and a clear pixel is walked with the set pixel on the right hand (clockwise as one sees the
image, y down). Straight runs of edges are segments, and each leads on into one other at its end. Where two set pixels
meet in a corner alone, the walk turns right and so keeps to its own pixel: parts are 4-connected. Shapely's polygonize
and union need many seconds for the ragged mask of a large slide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

_EAST, _SOUTH, _WEST, _NORTH = range(4)  # one more is a right turn
_RIGHT_HAND_PIXEL: Final = np.array([(0, 0), (-1, 0), (-1, -1), (0, -1)])  # (x, y), by heading


class _Segments(NamedTuple):
    """Straight runs of edges: corners (n, 2) as (x, y) in mask px, and headings (n,)."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    heading: NDArray[np.int64]


def mask_outline(mask: NDArray[np.bool_]) -> shapely.MultiPolygon:
    """Outline a mask.

    Args:
        mask: Shape (height, width).

    Returns:
        One polygon a 4-connected part, in mask px (x, y), (0, 0) being the outer corner of the first pixel.
    """
    segments = _all_segments(mask)
    if not len(segments.start):
        return shapely.MultiPolygon()
    labels, _ = ndimage.label(mask)
    pixel = segments.start + _RIGHT_HAND_PIXEL[segments.heading]
    part_of_segment = labels[pixel[:, 1], pixel[:, 0]]
    width = mask.shape[1]
    rings = list(_rings(_followers(segments, width), _corner_number(segments.start, width)))
    return _assemble(rings, segments.start, part_of_segment)


def _all_segments(mask: NDArray[np.bool_]) -> _Segments:
    padded = np.pad(mask, 1).astype(np.int8)
    across = np.diff(padded, axis=0)[:, 1:-1]  # (height + 1, width): 1 where the pixel below an edge is set, -1 above
    along = np.diff(padded, axis=1)[1:-1]  # (height, width + 1): 1 where the pixel right of an edge is set, -1 left
    corner = _touched(across != 0, axis=1) & _touched(along != 0, axis=0)
    runs = [
        _runs(across == 1, corner, _EAST),
        _runs(across == -1, corner, _WEST),
        _runs(along.T == -1, corner.T, _SOUTH),
        _runs(along.T == 1, corner.T, _NORTH),
    ]
    return _Segments(*(np.concatenate(parts) for parts in zip(*runs, strict=True)))


def _touched(edges: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Which grid corners an edge starts or ends at; one longer than ``edges`` along ``axis``."""
    before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
    before[axis], after[axis] = (1, 0), (0, 1)
    return np.asarray(np.pad(edges, before) | np.pad(edges, after))


def _runs(edges: NDArray[np.bool_], corner: NDArray[np.bool_], heading: int) -> _Segments:
    """Runs of edges along the last axis from corner to corner, turned to a heading."""
    line, low = np.nonzero(edges & corner[:, :-1])
    _, high = np.nonzero(edges & corner[:, 1:])
    ends = [np.stack([low, line], axis=1), np.stack([high + 1, line], axis=1)]
    if heading in {_WEST, _NORTH}:
        ends.reverse()
    if heading in {_SOUTH, _NORTH}:
        ends = [end[:, ::-1] for end in ends]
    return _Segments(ends[0], ends[1], np.full(len(line), heading))


def _followers(segments: _Segments, width: int) -> NDArray[np.int64]:
    """The segment that each one leads on into: to the right where one starts there, else to the left."""
    key = _corner_number(segments.start, width) * 4 + segments.heading
    order = np.argsort(key)
    end_number = _corner_number(segments.end, width) * 4
    to_right, to_left = end_number + (segments.heading + 1) % 4, end_number + (segments.heading + 3) % 4
    place = np.minimum(np.searchsorted(key, to_right, sorter=order), len(key) - 1)
    is_right = key[order[place]] == to_right
    place[~is_right] = np.searchsorted(key, to_left[~is_right], sorter=order)
    return np.asarray(order[place], dtype=np.int64)


def _corner_number(corners: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    return np.asarray(corners[:, 1] * (width + 1) + corners[:, 0], dtype=np.int64)


def _rings(follower: NDArray[np.int64], corner_number: NDArray[np.int64]) -> Iterator[list[int]]:
    """The closed walks over all segments, cut where one meets itself in a corner."""
    following, numbers = follower.tolist(), corner_number.tolist()
    done = bytearray(len(following))
    for first in range(len(following)):
        walk: list[int] = []
        segment = first
        while not done[segment]:
            done[segment] = 1
            walk.append(segment)
            segment = following[segment]
        if walk:
            yield from _cut(walk, numbers)


def _cut(walk: list[int], corner_number: list[int]) -> Iterator[list[int]]:
    """Part a closed walk into rings that pass each corner once, as valid polygons need."""
    ring: list[int] = []
    place: dict[int, int] = {}
    for segment in walk:
        number = corner_number[segment]
        if number in place:
            loop = ring[place[number] :]
            yield loop
            del ring[place[number] :]
            for passed in loop:
                del place[corner_number[passed]]
        place[number] = len(ring)
        ring.append(segment)
    yield ring


def _assemble(
    rings: list[list[int]], start: NDArray[np.int64], part_of_segment: NDArray[np.int32]
) -> shapely.MultiPolygon:
    """Join each part's shell (counter-clockwise with y up) with its holes."""
    sizes = [len(ring) for ring in rings]
    corners = start[np.concatenate([np.asarray(ring) for ring in rings])].astype(np.float64)
    outlines = shapely.linearrings(corners, indices=np.repeat(np.arange(len(rings)), sizes))
    shell_of: dict[int, shapely.LinearRing] = {}
    holes_of: dict[int, list[shapely.LinearRing]] = defaultdict(list)
    for ring, outline, is_shell in zip(rings, outlines, shapely.is_ccw(outlines), strict=True):
        part = int(part_of_segment[ring[0]])
        if is_shell:
            assert part not in shell_of, "a connected part has one outer outline"
            shell_of[part] = outline
        else:
            holes_of[part].append(outline)
    return shapely.MultiPolygon([shapely.Polygon(shell, holes_of[part]) for part, shell in shell_of.items()])
