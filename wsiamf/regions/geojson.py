"""GeoJSON as QuPath writes it, object by object: names, classes, kinds and areas in QuPath px."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from wsiamf.errors import RegionError
from wsiamf.packed import unpacked
from wsiamf.regions.region import multipolygon

AREA_TYPES = frozenset({"Polygon", "MultiPolygon"})
_OTHER_TYPES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString", "GeometryCollection"})
_NOT_ANNOTATIONS = frozenset({"detection", "cell", "tile", "tmacore", "root"})
_TYPE_IN_ID = re.compile("Path(Annotation|Detection|Cell|Tile|TMACore|Root)Object")
_CHUNK_BYTES = 1 << 20
_ELLIPSE_QUAD_SEGMENTS = 64  # 256 vertices: the area falls short by 1e-4


def load_json(path: Path) -> Any:
    """The content of a file, gzipped or not.

    Raises:
        RegionError: It is missing, no file, empty, no JSON, or unpacks to more than ``packed.unpacked`` allows.
    """
    if not path.exists():
        raise RegionError(f"{path}: no such regions file; check the path.")
    with unpacked(path, error=RegionError) as stream:
        data = b"".join(iter(lambda: stream.read(_CHUNK_BYTES), b""))
    if not data.strip():
        raise RegionError(f"{path}: the file is empty; export the annotations from QuPath again.")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RegionError(f"{path}: not GeoJSON ({error}); export the annotations from QuPath as .geojson.") from error


def features(content: Any, path: Path) -> Iterator[Mapping[str, Any]]:
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
            waiting.append(_list_of(item, "childObjects", path) or _list_of(item, "children", path))
        elif kind in AREA_TYPES | _OTHER_TYPES:
            yield {"type": "Feature", "geometry": item, "properties": {}}
        else:
            raise RegionError(f"{path}: holds something that is no GeoJSON object; export the annotations from QuPath.")


def _list_of(item: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = item.get(key) or []
    if not isinstance(value, list):
        raise RegionError(f"{path}: {key!r} is not a list; export the annotations from QuPath again.")
    return value


def parts_of(feature: Mapping[str, Any], number: int, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Properties and geometry of an object; empty where it has none.

    Raises:
        RegionError: They are malformed.
    """
    properties, geometry = feature.get("properties") or {}, feature.get("geometry") or {}
    if not isinstance(properties, dict) or not isinstance(geometry, dict):
        raise RegionError(f"{path}: object {number} has malformed properties or geometry; export it again.")
    return properties, geometry


def is_annotation(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """Whether QuPath takes an object for an annotation; its versions up to 0.3 wrote the kind where the id belongs."""
    # QuPath reads the same three keys, in this order, and takes a missing or unknown word for an annotation.
    word = properties.get("objectType") or properties.get("object_type") or properties.get("type")
    if not word and (older := _TYPE_IN_ID.fullmatch(str(feature.get("id")))):
        word = older[1]
    return str(word).lower() not in _NOT_ANNOTATIONS


def class_name(properties: Mapping[str, Any]) -> str | None:
    """QuPath's name of the class, parts of a derived class joined by ``: ``; None where unclassified."""
    classification = properties.get("classification")
    if isinstance(classification, dict):
        names = classification.get("names")
        classification = ": ".join(map(str, names)) if isinstance(names, list) else classification.get("name")
    name = str(classification).strip() if classification is not None else ""
    return name or None


def area_of(geometry: Mapping[str, Any], number: int, path: Path) -> tuple[shapely.MultiPolygon, bool]:
    """The area of a polygon, multipolygon or ellipse, and whether its outline crossed itself and was repaired.

    Args:
        geometry: Of GeoJSON.
        number: Of the object in its file, from 1.
        path: The file.

    Raises:
        RegionError: The coordinates are malformed.
    """
    try:
        shape = shapely.from_geojson(json.dumps({key: geometry[key] for key in ("type", "coordinates")}))
    except (shapely.GEOSException, KeyError, ValueError) as error:
        raise RegionError(
            f"{path}: object {number} has malformed coordinates ({error}); export the annotations again."
        ) from error
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        raise RegionError(f"{path}: object {number} has coordinates that are no numbers; draw it again.")
    shape = shapely.force_2d(shape)
    if geometry.get("isEllipse"):
        shape = _ellipse(shape.bounds)
    is_valid = bool(shape.is_valid)
    return multipolygon(shape if is_valid else shapely.make_valid(shape)), not is_valid


def _ellipse(bounds: tuple[float, float, float, float]) -> shapely.Polygon:
    left, top, right, bottom = bounds
    circle = shapely.Point(0.0, 0.0).buffer(1.0, quad_segs=_ELLIPSE_QUAD_SEGMENTS)
    scale, center = ((right - left) / 2, (bottom - top) / 2), ((right + left) / 2, (bottom + top) / 2)
    return shapely.Polygon(shapely.get_coordinates(circle) * scale + center)
