"""A strict reader of QuPath GeoJSON: what QuPath 0.4 to 0.7 would refuse, misread or drop, told without QuPath.

Written from QuPath's own source (QuPathTypeAdapters, ROITypeAdapters, GsonTools, PathIO); where its versions differ, the
strictest one rules.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import shapely
from shapely.errors import GEOSException
from shapely.geometry import shape

OBJECT_TYPES = {"annotation", "detection", "cell", "tile", "tmaCore", "root"}
GEOMETRY_DEPTHS = {  # how deep the positions lie in the arrays
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}
FEATURE_KEYS = {"type", "id", "geometry", "nucleusGeometry", "properties", "childObjects"}
GEOMETRY_KEYS = {"type", "coordinates", "isEllipse", "plane"}
PROPERTY_KEYS = {"objectType", "name", "color", "classification", "measurements", "isLocked", "metadata"}
PRECISION_PX = 0.01  # QuPath 0.6 reduces geometries to it and refuses the whole file if one becomes invalid
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def check_qupath_geojson(path: Path) -> list[str]:
    """Everything wrong with a file, one line a problem; an empty list for a file that QuPath takes as it is meant."""
    if not path.name.endswith((".geojson", ".json", ".geojson.gz", ".json.gz")):
        return [f"{path.name}: QuPath takes .geojson, .json and their .gz (errors inside a .zip are swallowed)"]
    try:
        document = read_strict_json(path)
    except (OSError, EOFError, ValueError) as error:
        return [f"not readable as strict JSON in UTF-8: {error}"]
    return [*_check_document(document)]


def read_strict_json(path: Path) -> Any:
    """Parse a plain or gzipped file; raises ``ValueError`` for NaN, Infinity, repeated keys and text that is no UTF-8."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"the token {token} is no JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    repeated = {key for key in keys if keys.count(key) > 1}
    if repeated:
        raise ValueError(f"repeated keys {sorted(repeated)}")
    return dict(pairs)


def _check_document(document: Any) -> Iterator[str]:
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        yield "top level: not a FeatureCollection"
        return
    features = document.get("features")
    if not isinstance(features, list):
        yield "top level: features is not a list"
        return
    seen: set[str] = set()
    for index, feature in enumerate(features):
        yield from _check_feature(feature, f"feature {index}", seen)


def _check_feature(feature: Any, where: str, seen: set[str]) -> Iterator[str]:
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        yield f"{where}: not a Feature"
        return
    for key in sorted(feature.keys() - FEATURE_KEYS):
        yield f"{where}: key {key!r} beside properties is dropped"
    yield from _check_id(feature.get("id"), where, seen)
    yield from _check_geometry(feature.get("geometry"), f"{where} geometry")
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        yield f"{where}: properties is no object"
        return
    yield from _check_properties(properties, where)
    if "nucleusGeometry" in feature:
        if properties.get("objectType") != "cell":
            yield f"{where}: nucleusGeometry belongs to cells alone"
        yield from _check_geometry(feature["nucleusGeometry"], f"{where} nucleusGeometry")
    children = feature.get("childObjects", [])
    if not isinstance(children, list):
        yield f"{where}: childObjects is not a list"
        return
    for index, child in enumerate(children):
        yield from _check_feature(child, f"{where} child {index}", seen)


def _check_id(identity: Any, where: str, seen: set[str]) -> Iterator[str]:
    if not isinstance(identity, str) or not _UUID.fullmatch(identity):
        yield f"{where}: id {identity!r} is no UUID and is dropped"
        return
    if identity.lower() in seen:
        yield f"{where}: id {identity} stands twice"
    seen.add(identity.lower())


def _check_geometry(geometry: Any, where: str) -> Iterator[str]:
    if not isinstance(geometry, dict) or geometry.get("type") not in GEOMETRY_DEPTHS:
        kind = geometry.get("type") if isinstance(geometry, dict) else geometry
        yield f"{where}: type {kind!r} is not read"
        return
    for key in sorted(geometry.keys() - GEOMETRY_KEYS):
        yield f"{where}: key {key!r} is dropped"
    if not isinstance(geometry.get("isEllipse", False), bool):
        yield f"{where}: isEllipse is no truth value"
    yield from _check_plane(geometry.get("plane", {}), where)
    depth = GEOMETRY_DEPTHS[geometry["type"]]
    problems = [*_check_positions(geometry.get("coordinates"), depth, where)]
    yield from problems
    if problems:
        return
    unclosed = [ring for ring in _rings(geometry) if ring[0] != ring[-1] or len(ring) < 4]
    if unclosed:
        yield f"{where}: {len(unclosed)} rings are open or have fewer than four positions"
        return
    yield from _check_validity(geometry, where)


def _check_plane(plane: Any, where: str) -> Iterator[str]:
    if not isinstance(plane, dict) or plane.keys() - {"c", "z", "t"}:
        yield f"{where}: plane holds other things than c, z and t"
    elif not all(_is_whole(value) for value in plane.values()):
        yield f"{where}: plane is not made of whole numbers"


def _check_positions(coordinates: Any, depth: int, where: str) -> Iterator[str]:
    if not isinstance(coordinates, list) or not coordinates:
        yield f"{where}: coordinates are missing or empty"
    elif depth:
        for part in coordinates:
            yield from _check_positions(part, depth - 1, where)
    elif len(coordinates) not in (2, 3) or not all(_is_finite(value) for value in coordinates):
        yield f"{where}: position {coordinates!r} is not made of two finite numbers"


def _rings(geometry: Mapping[str, Any]) -> list[Any]:
    if geometry["type"] == "Polygon":
        return list(geometry["coordinates"])
    if geometry["type"] == "MultiPolygon":
        return [ring for polygon in geometry["coordinates"] for ring in polygon]
    return []


def _check_validity(geometry: dict[str, Any], where: str) -> Iterator[str]:
    try:
        exact = shape(geometry)
        rounded = shapely.transform(exact, lambda xy: (xy / PRECISION_PX).round() * PRECISION_PX)
    except (ValueError, GEOSException) as error:
        yield f"{where}: not a geometry: {error}"
        return
    for name, candidate in (("as written", exact), ("rounded to 0.01 px", rounded)):
        if not candidate.is_valid:
            yield f"{where}: invalid {name}: {shapely.is_valid_reason(candidate)}"


def _check_properties(properties: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in sorted(properties.keys() - PROPERTY_KEYS):
        yield f"{where}: property {key!r} is dropped"
    if properties.get("objectType") not in OBJECT_TYPES:
        yield f"{where}: objectType {properties.get('objectType')!r} becomes an annotation"
    if not isinstance(properties.get("name", ""), str):
        yield f"{where}: name is no text"
    if not isinstance(properties.get("isLocked", False), bool):
        yield f"{where}: isLocked is no truth value"
    if "color" in properties and not _is_whole(properties["color"]) and not _is_color(properties["color"], (3,)):
        yield f"{where}: color is neither a packed integer nor three of 0 to 255"
    yield from _check_classification(properties.get("classification"), f"{where} classification")
    yield from _check_measurements(properties.get("measurements", {}), f"{where} measurements")
    yield from _check_metadata(properties.get("metadata", {}), where)


def _check_classification(classification: Any, where: str) -> Iterator[str]:
    if classification is None or classification == {} or isinstance(classification, str):
        return
    if not isinstance(classification, dict):
        yield f"{where}: neither null, text nor object"
        return
    for key in sorted(classification.keys() - {"name", "names", "color"}):
        yield f"{where}: key {key!r} is dropped"
    names = classification.get("names", [classification.get("name")])
    if not isinstance(names, list) or not names or not all(isinstance(part, str) and part for part in names):
        yield f"{where}: neither name nor names is text"
    color = classification.get("color")
    if not _is_color(color, (3, 4)) and not (isinstance(color, list) and len(color) == 1 and _is_whole(color[0])):
        yield f"{where}: color {color!r} stops the import of the whole file"


def _check_measurements(measurements: Any, where: str) -> Iterator[str]:
    if not isinstance(measurements, dict):
        yield f"{where}: not an object of names and numbers"
        return
    for name, value in measurements.items():
        if not name:
            yield f"{where}: a measurement has no name"
        if not _is_finite(value):
            yield f"{where}: {name!r} is {value!r}, not a finite number"


def _check_metadata(metadata: Any, where: str) -> Iterator[str]:
    if not isinstance(metadata, dict):
        yield f"{where}: metadata is no object"
        return
    for key, value in metadata.items():
        if not isinstance(value, str):
            yield f"{where}: metadata {key!r} is {value!r}, not text"


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_color(value: Any, lengths: tuple[int, ...]) -> bool:
    if not isinstance(value, list) or len(value) not in lengths:
        return False
    return all(_is_whole(part) and 0 <= part <= 255 for part in value)
