"""TIAToolbox's annotation stores: SQLite, level-0 ("baseline") px, one annotation a row with its properties as JSON.

Layout (tiatoolbox/annotation/storage.py, 2.1.3): ``annotations(id, key, objtype, cx, cy, geometry, properties, area)``;
``cx, cy`` are the centroid, and all there is of a point. Its engines write ``type`` and ``probability``,
``wsiamf export`` the program that labelled as ``labelled_by``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from wsiamf.candidates.gathering import Gathered
from wsiamf.candidates.plain import persons
from wsiamf.candidates.programs import LABELLED_BY, by_programs
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike
from wsiamf.candidates.sqlite_file import MAGIC, columns_of, opened_readonly, select
from wsiamf.errors import CandidateError

_TABLE: Final = "annotations"
_COLUMNS: Final = ("key", "cx", "cy", "properties", "area")
_ESSENTIAL: Final = frozenset({"cx", "cy", "properties"})
_CLASS_KEYS: Final = ("type", "class", "label", "classification", "name")
_SCORE_KEYS: Final = ("probability", "prob", "score", "confidence")


def _sniff(path: Path, head: bytes) -> bool:
    if not head.startswith(MAGIC):
        return False
    try:
        with opened_readonly(path) as connection:
            return set(columns_of(connection, _TABLE)) >= _ESSENTIAL
    except CandidateError:
        return b"annotations(" in head and b"cx FLOAT" in head  # damaged, and ours to say so


def _read(path: Path, slide: SlideLike) -> RawPoints:
    gathered, names = Gathered("annotation"), list[str]()
    with opened_readonly(path) as connection:
        if not set(columns_of(connection, _TABLE)) >= _ESSENTIAL:
            raise CandidateError(f"{path}: has no table 'annotations' with cx, cy and properties; no TIAToolbox store.")
        for key, x, y, properties, area in select(connection, _TABLE, _COLUMNS):
            known = _properties(properties)
            names.append(_text((known or {}).get(LABELLED_BY)) or "")
            _add(gathered, x, y, known, name=_text(key) or "", area=area)
    raw = gathered.raw_points(um_per_unit=slide.frame.mpp, by_person=False)
    raw = raw if raw.score is not None else replace(raw, by_person=persons(raw.labels))
    return by_programs(raw, [names[row - 1] for row in raw.rows.tolist()])


def _add(gathered: Gathered, x: Any, y: Any, properties: dict[str, Any] | None, *, name: str, area: Any) -> None:
    side = float(area) ** 0.5 if isinstance(area, int | float) and area > 0 else 0.0
    fault = "its properties are no JSON object" if properties is None else None
    known = properties or {}
    gathered.add(x, y, _class(known), score=_first(known, _SCORE_KEYS), name=name, width=side, fault=fault)


def _properties(text: Any) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "{}")
    except (ValueError, TypeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _class(properties: Mapping[str, Any]) -> str | None:
    value = _first(properties, _CLASS_KEYS)
    return _text(value.get("name") if isinstance(value, dict) else value)  # a dict: from QuPath by way of GeoJSON


def _first(properties: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((properties[key] for key in keys if properties.get(key) is not None), None)


def _text(value: Any) -> str | None:
    return str(value).strip() or None if isinstance(value, str | int | float) else None


READER = Reader(name="tiatoolbox-db", frame="level0", sniff=_sniff, read=_read)
