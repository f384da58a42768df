"""QuPath's tables: points as TSV (``x, y, class, name, color``) and measurements (``Centroid X µm``); in QuPath's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from wsiamf.candidates.columns import find_columns
from wsiamf.candidates.delimited import header_of, is_text, listed_in, shared_table
from wsiamf.candidates.plain import plain_points
from wsiamf.candidates.point_table import PointTable, normalised_header
from wsiamf.candidates.programs import by_programs, is_own
from wsiamf.candidates.raw import ListedSlides, RawPoints, Reader, SlideLike
from wsiamf.classes import canonical_label
from wsiamf.geometry import SlideFrame

_POINTS: Final = "qupath-points"
_MEASUREMENTS: Final = "qupath-measurements"
_POINTS_HEADER: Final = ("x", "y", "c", "z", "t", "class", "name", "color")
_SAYS_WHAT: Final = frozenset({"class", "name", "color"})
_OBJECT_TYPE: Final = "object type"


def _sniff_points(_path: Path, head: bytes) -> bool:
    # In QuPath's order and with a class, name or color: x and y alone are a plain table.
    names = head.decode("utf-8-sig", errors="replace").splitlines()[:1]
    header = names[0].strip().lower().split("\t") if names else []
    known = [name for name in _POINTS_HEADER if name in header]
    return header[:2] == ["x", "y"] and header == known and bool(_SAYS_WHAT & set(header))


def _read_points(path: Path, slide: SlideLike) -> RawPoints:
    table = shared_table(path, _POINTS, _points_columns)
    points = plain_points(table, slide)
    if "name" not in table.columns:
        return points
    # Programs that write the figure's class as its name leave the class out.
    names = table.texts("name", points.rows - 1)
    labels = [
        label or (name if canonical_label(name) else None) for label, name in zip(points.labels, names, strict=True)
    ]
    return by_programs(replace(points, labels=labels), [name if is_own(name) else "" for name in names])


def _listed_in_points(path: Path) -> ListedSlides | None:
    return listed_in(path, _POINTS, _points_columns)


def _points_columns(header: Sequence[str], path: Path) -> dict[str, int]:
    return {**find_columns(header, path), **normalised_header(header, ("name",), path)}


def _sniff_measurements(_path: Path, head: bytes) -> bool:
    # The micro sign may be of any encoding here; the reader says what is wrong with the file's.
    return is_text(head) and any(
        name.startswith("centroid x ") and (name.endswith("m") or name == "centroid x px") for name in header_of(head)
    )


def _read_measurements(path: Path, slide: SlideLike) -> RawPoints:
    table = shared_table(path, _MEASUREMENTS, _measurement_columns)
    points = _by_axis(plain_points(table, slide), slide.frame)
    return replace(points, by_person=points.by_person & _annotations(table, points))


def _by_axis(points: RawPoints, frame: SlideFrame) -> RawPoints:
    """um by the slide's mpp: QuPath multiplies px by what the file states for each axis, and mpp is the mean of both."""
    if points.unit == "px" or frame.stated_mpp_xy is None:
        return points
    mpp_x, mpp_y = frame.stated_mpp_xy
    mean = (mpp_x + mpp_y) / 2
    return replace(points, x=points.x * (mean / mpp_x), y=points.y * (mean / mpp_y))


def _listed_in_measurements(path: Path) -> ListedSlides | None:
    return listed_in(path, _MEASUREMENTS, _measurement_columns)


def _measurement_columns(header: Sequence[str], path: Path) -> dict[str, int]:
    return {**find_columns(header, path), **normalised_header(header, (_OBJECT_TYPE,), path)}


def _annotations(table: PointTable, points: RawPoints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(N,) Rows of annotations, which people draw; none in tables that do not say what their objects are."""
    if _OBJECT_TYPE not in table.columns:
        return np.zeros(len(points), dtype=np.bool_)
    kinds = table.texts(_OBJECT_TYPE, points.rows - 1)
    return np.asarray([kind.lower() == "annotation" for kind in kinds], dtype=np.bool_)


POINTS_READER = Reader(name=_POINTS, frame="qupath", sniff=_sniff_points, read=_read_points, listed=_listed_in_points)
MEASUREMENTS_READER = Reader(
    name=_MEASUREMENTS,
    frame="qupath",
    sniff=_sniff_measurements,
    read=_read_measurements,
    listed=_listed_in_measurements,
)
