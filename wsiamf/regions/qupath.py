"""Region files: QuPath's GeoJSON, in QuPath px (cropped to ``openslide.bounds-*``)."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely

from wsiamf.errors import RegionError
from wsiamf.geometry import SlideFrame
from wsiamf.regions.region import Region, multipolygon, slide_box

DEFAULT_INCLUDE: Final = ("Tumor",)
DEFAULT_EXCLUDE: Final = ("Necrosis", "Ulcer", "Ignore*")

_AREA_TYPES = frozenset({"Polygon", "MultiPolygon"})
_OTHER_TYPES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString", "GeometryCollection"})
_NOT_ANNOTATIONS = frozenset({"detection", "cell", "tile", "tmacore", "root"})
_GZIP_MAGIC = b"\x1f\x8b"
_ELLIPSE_QUAD_SEGMENTS = 64  # 256 vertices: the area falls short by 1e-4
_CUT_TO_NOTE = 0.001  # share of a region beyond the slide's edge that is worth a note


def read_regions(
    path: Path,
    frame: SlideFrame,
    *,
    include: Sequence[str] = DEFAULT_INCLUDE,
    exclude: Sequence[str] = DEFAULT_EXCLUDE,
) -> Region:
    """Read QuPath annotations as the region of interest.

    Annotations of an including class, and unclassified ones, are united; those of an excluding class are taken out,
    whatever they overlap. Where a file holds excluding annotations alone, they are taken out of the whole slide.

    Args:
        path: ``.geojson`` or ``.json``, gzipped or not: FeatureCollection, Feature, bare geometry or a list of them, in
            QuPath px.
        frame: The slide's frame.
        include: Class names that count, as patterns (``*``, ``?``), whatever their case.
        exclude: Class names to leave out; stronger than ``include``.

    Returns:
        The region in level-0 px; its notes name what was ignored, repaired or cut.

    Raises:
        RegionError: The file is missing, empty or no GeoJSON; no region counts; nothing of it lies on the slide.
    """
    found = _Found()
    for feature in _features(_load_json(path), path):
        _sort_feature(feature, found, include, exclude, path)
    geometry, notes = _combine(found, frame, path)
    return Region(geometry, "roi", (*found.notes(), *notes))


@dataclass
class _Found:
    """What a region file holds, in QuPath px."""

    including: list[shapely.MultiPolygon] = field(default_factory=list)
    excluding: list[shapely.MultiPolygon] = field(default_factory=list)
    other_classes: dict[str, int] = field(default_factory=dict)
    n_objects: int = 0
    n_detections: int = 0
    n_without_area: int = 0
    n_repaired: int = 0

    def notes(self) -> list[str]:
        classes = ", ".join(f"{name} ({n})" for name, n in sorted(self.other_classes.items()))
        counted = [
            (len(self.other_classes), f"Annotations of other classes were ignored: {classes}."),
            (self.n_detections, f"Objects that are no annotations were ignored: {self.n_detections}."),
            (self.n_without_area, f"Annotations without an area (points, lines) were ignored: {self.n_without_area}."),
            (self.n_repaired, f"Invalid outlines (crossing themselves) were repaired: {self.n_repaired}."),
        ]
        return [text for n, text in counted if n]


def _load_json(path: Path) -> Any:
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
    except FileNotFoundError as error:
        raise RegionError(f"{path}: no such regions file; check the path.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise RegionError(f"{path}: cannot be read ({error}); give a GeoJSON file exported from QuPath.") from error
    if not data.strip():
        raise RegionError(f"{path}: the file is empty; export the annotations from QuPath again.")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RegionError(f"{path}: not GeoJSON ({error}); export the annotations from QuPath as .geojson.") from error


def _features(content: Any, path: Path) -> Iterator[Mapping[str, Any]]:
    """The features of a file, children of QuPath's hierarchy included; a bare geometry is an unclassified feature."""
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(reversed(item))
            continue
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "FeatureCollection":
            waiting.append(_list_of(item, "features", path))
        elif kind == "Feature":
            yield item
            waiting.append(_list_of(item, "childObjects", path))
        elif kind in _AREA_TYPES | _OTHER_TYPES:
            yield {"type": "Feature", "geometry": item, "properties": {}}
        else:
            raise RegionError(f"{path}: holds something that is no GeoJSON object; export the annotations from QuPath.")


def _list_of(item: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = item.get(key) or []
    if not isinstance(value, list):
        raise RegionError(f"{path}: {key!r} is not a list; export the annotations from QuPath again.")
    return value


def _sort_feature(
    feature: Mapping[str, Any], found: _Found, include: Sequence[str], exclude: Sequence[str], path: Path
) -> None:
    found.n_objects += 1
    properties, geometry = feature.get("properties") or {}, feature.get("geometry") or {}
    if not isinstance(properties, dict) or not isinstance(geometry, dict):
        raise RegionError(f"{path}: object {found.n_objects} has malformed properties or geometry; export it again.")
    if _object_type(properties) in _NOT_ANNOTATIONS:
        found.n_detections += 1
        return
    if geometry.get("type") not in _AREA_TYPES:
        found.n_without_area += 1
        return
    name = _class_name(properties)
    if name is not None and not _matches(name, [*include, *exclude]):
        found.other_classes[name] = found.other_classes.get(name, 0) + 1
        return
    area = _area_of(geometry, found, path)
    (found.excluding if name is not None and _matches(name, exclude) else found.including).append(area)


def _object_type(properties: Mapping[str, Any]) -> str:
    # QuPath reads the same three keys, in this order, and takes a missing or unknown word for an annotation.
    word = properties.get("objectType") or properties.get("object_type") or properties.get("type")
    return str(word).lower()


def _class_name(properties: Mapping[str, Any]) -> str | None:
    """QuPath's name of the class, parts of a derived class joined by ``: ``; None where unclassified."""
    classification = properties.get("classification")
    if isinstance(classification, dict):
        names = classification.get("names")
        classification = ": ".join(map(str, names)) if isinstance(names, list) else classification.get("name")
    name = str(classification).strip() if classification is not None else ""
    return name or None


def _matches(name: str, patterns: Sequence[str]) -> bool:
    word = name.casefold()
    return any(word == p.casefold() or fnmatchcase(word, p.casefold()) for p in patterns)


def _area_of(geometry: Mapping[str, Any], found: _Found, path: Path) -> shapely.MultiPolygon:
    try:
        shape = shapely.from_geojson(json.dumps({key: geometry[key] for key in ("type", "coordinates")}))
    except (shapely.GEOSException, KeyError, ValueError) as error:
        raise RegionError(
            f"{path}: object {found.n_objects} has malformed coordinates ({error}); export the annotations again."
        ) from error
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        raise RegionError(f"{path}: object {found.n_objects} has coordinates that are no numbers; draw it again.")
    shape = shapely.force_2d(shape)
    if geometry.get("isEllipse"):
        shape = _ellipse(shape.bounds)
    if not shape.is_valid:
        found.n_repaired += 1
        shape = shapely.make_valid(shape)
    return multipolygon(shape)


def _ellipse(bounds: tuple[float, float, float, float]) -> shapely.Polygon:
    left, top, right, bottom = bounds
    circle = shapely.Point(0.0, 0.0).buffer(1.0, quad_segs=_ELLIPSE_QUAD_SEGMENTS)
    scale, center = ((right - left) / 2, (bottom - top) / 2), ((right + left) / 2, (bottom + top) / 2)
    return shapely.Polygon(shapely.get_coordinates(circle) * scale + center)


def _combine(found: _Found, frame: SlideFrame, path: Path) -> tuple[shapely.MultiPolygon, list[str]]:
    """The region in level-0 px on the slide, and notes on what was cut."""
    if not found.including and not found.excluding:
        classes = ", ".join(sorted(found.other_classes)) or "none"
        raise RegionError(
            f"{path}: no region counts ({found.n_objects} objects; other classes: {classes}); draw an area of class "
            "Tumor in QuPath, or include the class that you mean."
        )
    if not found.including:
        whole, notes = _bounds_box(frame), ["The file holds excluding regions alone: they were taken out of the slide."]
    else:
        whole, notes = _on_slide(_to_level0(found.including, frame), frame, path)
    left = multipolygon(shapely.difference(whole, _to_level0(found.excluding, frame)))
    if left.is_empty:
        raise RegionError(f"{path}: the excluding regions cover all that counts; check the classes of the annotations.")
    return left, notes


def _on_slide(drawn: Any, frame: SlideFrame, path: Path) -> tuple[Any, list[str]]:
    clipped = multipolygon(shapely.intersection(drawn, slide_box(frame)))
    if clipped.is_empty:
        raise RegionError(
            f"{path}: no region that counts has an area on the slide ({frame.width} x {frame.height} px); is this the "
            "file of another slide?"
        )
    cut = 1 - clipped.area / drawn.area
    return clipped, [f"Regions reach beyond the slide: {cut:.1%} of their area was cut."] if cut > _CUT_TO_NOTE else []


def _to_level0(areas: Sequence[shapely.MultiPolygon], frame: SlideFrame) -> Any:
    corner = np.array([frame.bounds.x, frame.bounds.y], dtype=np.float64)
    return shapely.transform(shapely.union_all(areas), lambda xy: xy + corner)


def _bounds_box(frame: SlideFrame) -> shapely.Polygon:
    bounds = frame.bounds
    return shapely.box(bounds.x, bounds.y, bounds.x + bounds.width, bounds.y + bounds.height)
