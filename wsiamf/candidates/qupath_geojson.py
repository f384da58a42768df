"""QuPath's GeoJSON: points, detections, cells and annotations, plain, gzipped or alone in a zip; in QuPath px.

CellViT writes such files too, with one annotation a class: a MultiPolygon of all its cells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.columns import EXPERT_PREFIX
from wsiamf.candidates.json_stream import json_items
from wsiamf.candidates.nuclei import figures_among, without_cells
from wsiamf.candidates.outlines import Outlines, may_hold_regions, region_limits_px, region_notes, region_rows
from wsiamf.candidates.raters import check_persons
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike
from wsiamf.classes import canonical_label
from wsiamf.errors import CandidateError
from wsiamf.packed import ZIP_MAGIC, unpacked, unpacked_head
from wsiamf.qupath_objects import TYPE_IN_ID, TYPES, class_name, features, object_type
from wsiamf.wording import counted, shown

SCORE_NAMES: Final = (
    "score",
    "probability",
    "confidence",
    "detector score",
    "detection score",
    "detection probability",
    "p(mitosis)",
    "p(mitotic figure)",
)
"""Measurements that are taken for the detector's score, whatever their case; the first one present."""

_SUFFIXES: Final = (".geojson", ".json")
_TYPE: Final = re.compile(rb'"type"\s*:\s*"(' + "|".join(TYPES).encode() + rb')"')
_NOT_OBJECTS: Final = frozenset({"tile", "tmacore", "root"})
_NOT_PERSONS: Final = frozenset({"detection", "cell"})

_Json = Mapping[str, Any]


def _sniff(path: Path, head: bytes) -> bool:
    text = unpacked_head(path, head, _SUFFIXES).removeprefix(b"\xef\xbb\xbf").lstrip()
    # The only format that comes in a zip, so what is wrong with a zip is said here.
    return text.startswith(ZIP_MAGIC) or (text.startswith((b"{", b"[")) and _TYPE.search(text) is not None)


def _read(path: Path, slide: SlideLike) -> RawPoints:
    found = _Found(path, slide.frame.mpp)
    with unpacked(path, _SUFFIXES) as stream:
        for item in json_items(stream, path, "features"):
            for feature in features(item, path, CandidateError):
                found.add(feature)
    return found.points()


@dataclass
class _Found:
    """What a file holds so far; lists of one entry a point."""

    path: Path
    mpp: float
    outlines: Outlines = field(default_factory=Outlines)
    rows: list[int] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    is_annotation: list[bool] = field(default_factory=list)
    of_multipolygon: list[bool] = field(default_factory=list)
    holds_cells: bool = False
    may_hold_cells: bool = False
    faults: dict[int, str] = field(default_factory=dict)
    experts: dict[int, _Json] = field(default_factory=dict)
    n_objects: int = 0
    n_left_out: int = 0

    def add(self, feature: _Json) -> None:
        """Append the points of a feature."""
        self.n_objects += 1
        properties, geometry = feature.get("properties") or {}, _geometry(feature)
        if not isinstance(properties, dict):
            raise CandidateError(
                f"{self.path}: object {self.n_objects}: its properties are {shown(properties)}; export it again."
            )
        kind = object_type(feature, properties)
        if kind in _NOT_OBJECTS:
            self.n_left_out += 1
            return
        metadata = properties.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        identity = _identity(feature, metadata)
        experts = {key: word for key, word in metadata.items() if key.startswith(EXPERT_PREFIX)}
        class_word = class_name(properties)
        label, score = _label(class_word, properties.get("name")), _score(properties.get("measurements"))
        objects, reason = _objects(geometry)
        # of no class is what people and QuPath draw: a tissue in pieces
        are_cells = class_word is not None and self._are_cells(geometry)
        if are_cells:
            objects = [_rings(polygon) for polygon in geometry["coordinates"]]
        for number, rings in enumerate(objects, start=1):
            if not self.outlines.add(rings):
                self.faults[len(self.rows)] = reason or "its coordinates are no numbers"
            self.rows.append(self.n_objects)
            self.labels.append(label)
            self.scores.append(score)
            part = f"/{number}" if len(objects) > 1 else ""
            self.ids.append(identity and identity + part)
            self.numbers.append(f"{self.n_objects}{part}")
            self.is_annotation.append(kind not in _NOT_PERSONS and not are_cells)
            self.of_multipolygon.append(class_word is not None and _is_multipolygon(geometry))
            if experts:
                self.experts[len(self.rows) - 1] = experts

    def _are_cells(self, geometry: Any) -> bool:
        """Whether a geometry is a MultiPolygon of many cells: none wide enough for a region, all of them together wider.

        A figure of several parts is narrower, and the parts of a drawn region touch or are wider. Without a resolution only
        what is so at every one are cells; that others may be is noted.
        """
        parts = _parts(geometry)
        if parts is None:
            return False
        (widest, whole), (none, region) = _widths(*parts), region_limits_px(self.mpp)
        are_cells, may_be = widest <= none and whole > region, widest <= region and whole > max(none, widest)
        if not may_be or _touch(*parts):
            return False
        self.holds_cells |= are_cells
        self.may_hold_cells |= not are_cells
        return are_cells

    def points(self) -> RawPoints:
        """The points, without outlines that are regions."""
        centres, widths = self.outlines.places()
        for index in np.flatnonzero(np.isnan(centres[:, 0])).tolist():
            self.faults.setdefault(index, "its coordinates are no finite numbers")
        score = np.asarray(self.scores, dtype=np.float64)
        is_annotation = np.asarray(self.is_annotation, dtype=np.bool_)
        # a class of a single cell, or of a few close by, is a program's too
        is_cell = np.asarray(self.of_multipolygon, dtype=np.bool_) & self.holds_cells
        points = RawPoints(
            rows=np.asarray(self.rows, dtype=np.int64),
            x=centres[:, 0],
            y=centres[:, 1],
            labels=self.labels,
            by_person=is_annotation & ~is_cell & np.isnan(score),
            score=None if np.isnan(score).all() else score,
            ids=self.ids,
            faults=self.faults,
            row_word="object",
            person_labels=self._person_labels(),
        )
        drawn_widths = np.where(is_annotation, widths, 0.0)
        is_region = region_rows(drawn_widths, self.mpp)
        notes = region_notes(int(is_region.sum()))
        if self.n_left_out:
            notes = (*notes, f"{counted(self.n_left_out, 'tile or core')} of QuPath left out")
        kept = np.flatnonzero(~is_region)
        points = self._named(replace(points.take(kept), notes=notes), kept)
        may_hold = self.may_hold_cells or may_hold_regions(drawn_widths, self.mpp)
        return self._figures(replace(points, may_hold_regions=may_hold), is_cell[kept])

    def _named(self, points: RawPoints, kept: NDArray[np.int64]) -> RawPoints:
        """The points that are left, by their ids if all have one, else by their objects' numbers."""
        lacking = {row for row, name in zip(points.rows.tolist(), points.ids or (), strict=True) if not name}
        if not lacking:
            return points
        note = f"{counted(len(lacking), 'object')} without an id: all objects are called by their numbers in the file"
        notes = (*points.notes, note) if any(points.ids or ()) else points.notes
        return replace(points, ids=[self.numbers[index] for index in kept.tolist()], notes=notes)

    def _figures(self, points: RawPoints, is_cell: NDArray[np.bool_]) -> RawPoints:
        """Of a program's cells only the mitotic figures, as of the other files of such programs."""
        is_unknown = [label is not None and canonical_label(label) is None for label in points.labels]
        is_other = is_cell & np.asarray(is_unknown, dtype=np.bool_)
        if len(points) and is_other.all():
            return figures_among(points, (label for label in points.labels if label), self.path)
        return without_cells(points, is_other)

    def _person_labels(self) -> dict[str, list[str | None]] | None:
        """Words by expert, from metadata such as ``expert_Ann: AMF``; names in the order in which they first come."""
        if not self.experts:
            return None
        names = list(dict.fromkeys(name for words in self.experts.values() for name in words))
        check_persons(len(names), len(self.rows), self.path)
        words = [self.experts.get(index, {}) for index in range(len(self.rows))]
        return {
            name.removeprefix(EXPERT_PREFIX): [
                word if isinstance(word := one.get(name), str) else None for one in words
            ]
            for name in names
        }


_Rings = list[tuple[Any, bool]]


def _geometry(feature: _Json) -> Any:
    """A cell's nucleus, else the object itself."""
    return feature.get("nucleusGeometry") or feature.get("geometry")


def _objects(geometry: Any) -> tuple[list[_Rings], str | None]:
    """Rings (and whether they are holes) of each point of a geometry; and why the one that stands for none is none."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if kind not in ("Point", "MultiPoint", "Polygon", "MultiPolygon"):
        return [[]], f"a geometry of type {shown(kind)} is no point and no area"
    if not isinstance(coordinates, list) or not coordinates:
        return [[]], f"its coordinates are {shown(coordinates)}"
    if kind == "Point":
        return [[([coordinates], False)]], None
    if kind == "MultiPoint":
        return [[([point], False)] for point in coordinates], None
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not all(isinstance(polygon, list) for polygon in polygons):
        return [[]], f"its coordinates are {shown(coordinates)}"
    return [[ring for polygon in polygons for ring in _rings(polygon)]], None


def _rings(polygon: Sequence[Any]) -> _Rings:
    return [(ring, place > 0) for place, ring in enumerate(polygon)]


def _is_multipolygon(geometry: Any) -> bool:
    return isinstance(geometry, dict) and geometry.get("type") == "MultiPolygon"


def _parts(geometry: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """(V, 2) outer vertices of a MultiPolygon's parts, and where each part begins; None for what is malformed or none."""
    if not _is_multipolygon(geometry):
        return None
    try:
        parts = [np.asarray(polygon[0], dtype=np.float64) for polygon in geometry["coordinates"]]
    except (TypeError, LookupError, ValueError, OverflowError):  # malformed; said when it is read as an outline
        return None
    if not parts or not all(part.ndim == 2 and len(part) and part.shape[1] >= 2 for part in parts):
        return None
    return np.concatenate([part[:, :2] for part in parts]), np.cumsum([0, *(len(part) for part in parts[:-1])])


def _widths(xy: NDArray[np.float64], starts: NDArray[np.int64]) -> tuple[float, float]:
    """Longer sides of the widest part and of all of them."""
    with np.errstate(over="ignore", invalid="ignore"):
        sides = np.maximum.reduceat(xy, starts) - np.minimum.reduceat(xy, starts)
        return float(sides.max()), float(np.ptp(xy, axis=0).max())


def _touch(xy: NDArray[np.float64], starts: NDArray[np.int64]) -> bool:
    """Whether two of the parts share a vertex."""
    part = np.searchsorted(starts, np.arange(len(xy)), side="right")
    order = np.lexsort((part, xy[:, 1], xy[:, 0]))
    same_place = (np.diff(xy[order], axis=0) == 0).all(axis=1)
    return bool((same_place & (np.diff(part[order]) != 0)).any())


def _identity(feature: _Json, metadata: _Json) -> str:
    """The id that wsiamf wrote beside QuPath's UUID, else the feature's own."""
    for name in (metadata.get("candidate_id"), feature.get("id")):
        if isinstance(name, str | int) and not isinstance(name, bool) and not TYPE_IN_ID.fullmatch(str(name)):
            return str(name)
    return ""


def _label(class_word: str | None, name: Any) -> str | None:
    """The class: of a derived one (``AMF: Hard``) the first part that wsiamf knows; an object's name only if it is one."""
    if class_word is not None:
        parts = [part for part in class_word.split(":") if canonical_label(part) is not None]
        return class_word if canonical_label(class_word) or not parts else parts[0].strip()
    return name if isinstance(name, str) and canonical_label(name) is not None else None


def _score(measurements: Any) -> float:
    """The detector's score among measurements (an object, or the list of older versions); NaN where there is none."""
    if isinstance(measurements, list):
        pairs = [(entry.get("name"), entry.get("value")) for entry in measurements if isinstance(entry, dict)]
    else:
        pairs = list(measurements.items()) if isinstance(measurements, dict) else []
    if not pairs:
        return np.nan
    by_name = {name.strip().casefold(): value for name, value in pairs if isinstance(name, str)}
    value = next((by_name[name] for name in SCORE_NAMES if name in by_name), None)
    try:
        score = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else np.nan
    except (ValueError, OverflowError):
        return np.nan
    return score if np.isfinite(score) else np.nan


READER = Reader(name="qupath-geojson", frame="qupath", sniff=_sniff, read=_read)
