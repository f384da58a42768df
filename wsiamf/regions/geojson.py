"""GeoJSON as QuPath writes it: content, kinds and areas in QuPath px."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from wsiamf.errors import RegionError
from wsiamf.packed import unpacked
from wsiamf.qupath_objects import object_type
from wsiamf.regions.region import multipolygon

AREA_TYPES = frozenset({"Polygon", "MultiPolygon"})
_NOT_ANNOTATIONS = frozenset({"detection", "cell", "tile", "tmacore", "root"})
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
    """Whether QuPath takes an object for an annotation."""
    return object_type(feature, properties) not in _NOT_ANNOTATIONS


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
