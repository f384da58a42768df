"""TIAToolbox's annotation store (``SQLiteStore`` 1.0.1), in level-0 px: a point a figure.

Points stand in ``cx, cy`` with a null geometry, as TIAToolbox itself writes them. ``properties`` holds ``type`` (the
class, which its viewer colours by), ``color`` (red, green and blue from 0 to 1), the probabilities, the id and who labelled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from wsiamf.export.formats.base import Format, Options
from wsiamf.export.formats.sqlite_files import SIDE_FILES, new_database
from wsiamf.export.marks import Mark, iter_marks
from wsiamf.export.results import SlideResult

_TABLES: Final = (
    "CREATE TABLE metadata (key TEXT UNIQUE, value TEXT)",
    "CREATE VIRTUAL TABLE rtree USING rtree(id, min_x, max_x, min_y, max_y)",
    """CREATE TABLE annotations (
        id INTEGER PRIMARY KEY, key TEXT UNIQUE, objtype TEXT, cx FLOAT NOT NULL, cy FLOAT NOT NULL, geometry BLOB,
        properties TEXT, area FLOAT NOT NULL)""",
)
_METADATA: Final[dict[str, Any]] = {"version": "1.0.1", "compression": "zlib", "compression_level": 9}
_MAX_COLOR: Final = 255


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    (result,) = results
    with new_database(path) as database:
        for statement in _TABLES:
            database.execute(statement)
        stated = [(key, json.dumps(value)) for key, value in _METADATA.items()]
        database.executemany("INSERT INTO metadata VALUES (?, ?)", stated)
        database.executemany(
            "INSERT INTO annotations VALUES (?, ?, 'Point', ?, ?, NULL, ?, 0.0)", _rows(result, options)
        )
        database.execute("INSERT INTO rtree SELECT id, cx, cx, cy, cy FROM annotations ORDER BY id")


def _rows(result: SlideResult, options: Options) -> Iterator[tuple[int, str, float, float, str]]:
    marks = iter_marks(result, every_row=options.every_row)
    for number, mark in enumerate(marks, start=1):
        yield number, mark.uuid, mark.x, mark.y, json.dumps(_properties(mark, result), separators=(",", ":"))


def _properties(mark: Mark, result: SlideResult) -> dict[str, Any]:
    values = {"p_atypical": mark.p_atypical, "p_hard": mark.p_hard, "score": mark.score}
    return {
        "type": mark.class_name,
        "color": [round(part / _MAX_COLOR, 4) for part in mark.color],
        **{name: value for name, value in values.items() if value is not None},
        "candidate_id": mark.candidate_id,
        "model": result.model,
        "labelled_by": result.labelled_by,
    }


FORMAT: Final = Format(name="tiatoolbox", suffix=".db", write=_write, side_files=SIDE_FILES)
