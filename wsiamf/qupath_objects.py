"""Objects of QuPath's GeoJSON: all of a hierarchy, what kind each is, and what class."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from wsiamf.errors import WsiamfError
from wsiamf.wording import shown

_GEOMETRIES: Final = (
    *("Point", "MultiPoint", "Polygon", "MultiPolygon"),
    *("LineString", "MultiLineString", "GeometryCollection"),
)
_COLLECTION: Final = "FeatureCollection"
_FEATURE: Final = "Feature"
TYPES: Final = (_COLLECTION, _FEATURE, *_GEOMETRIES)
"""What an object of GeoJSON says that it is."""
TYPE_IN_ID: Final = re.compile("Path(Annotation|Detection|Cell|Tile|TMACore|Root)Object")
"""QuPath 0.3 and older write the kind of object where the id belongs."""


def features(content: Any, path: Path, error: type[WsiamfError]) -> Iterator[Mapping[str, Any]]:
    """The features of a file or of a part of it, children after their parents; a bare geometry is an unclassified one.

    Args:
        content: What JSON gives: a collection, a feature, a geometry, or a list of them.
        path: The file, for messages.
        error: What is raised.

    Raises:
        WsiamfError: ``error``: something in it is no GeoJSON object.
    """
    waiting = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(reversed(one))
            continue
        kind = one.get("type") if isinstance(one, dict) else None
        if kind == _COLLECTION:
            waiting.append(_list_of(one, "features", path, error))
        elif kind == _FEATURE:
            yield one
            waiting.append(
                _list_of(one, "childObjects", path, error) or _list_of(one, "children", path, error)  # an older key
            )
        elif kind in _GEOMETRIES:
            yield {"type": _FEATURE, "geometry": one, "properties": {}}
        else:
            raise error(f"{path}: holds {shown(one)}, which is no GeoJSON object; export it from QuPath again.")


def _list_of(item: Mapping[str, Any], key: str, path: Path, error: type[WsiamfError]) -> list[Any]:
    value = item.get(key) or []
    if not isinstance(value, list):
        raise error(f"{path}: {key!r} is {shown(value)}, not a list; export it from QuPath again.")
    return value


def object_type(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """The kind of object in lower case: annotation, detection, cell, tile, tmacore, root; empty where nothing is said.

    QuPath takes a missing or unknown word for an annotation.
    """
    # QuPath reads the same three keys, in this order.
    word = properties.get("objectType") or properties.get("object_type") or properties.get("type")
    if not isinstance(word, str):
        older = TYPE_IN_ID.fullmatch(str(feature.get("id")))
        word = older[1] if older else ""
    return word.lower()


def class_name(properties: Mapping[str, Any]) -> str | None:
    """QuPath's name of the class, parts of a derived class joined by ``: ``; None where unclassified, or no text."""
    classification = properties.get("classification")
    if isinstance(classification, dict):
        names = classification.get("names")
        classification = ": ".join(map(str, names)) if isinstance(names, list) else classification.get("name")
    return classification.strip() or None if isinstance(classification, str) else None
