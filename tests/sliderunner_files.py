"""SlideRunner databases as its three generations wrote them, from one list of annotations."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Generation = Literal[1, 2, 3]

SPOT, AREA, POLYGON, SPECIAL_SPOT, CIRCLE, IMAGE = range(1, 7)

# Generation 1 (2017) knows neither deleting nor identities, 2 (2019) has both, 3 (2021) adds EXACT's columns; the order of
# columns differs between files.
_TABLES: dict[Generation, tuple[str, ...]] = {
    1: (
        "Slides (uid INTEGER PRIMARY KEY, filename TEXT, width INTEGER, height INTEGER, directory TEXT)",
        "Annotations (uid INTEGER PRIMARY KEY, slide INTEGER, type INTEGER, agreedClass INTEGER)",
        (
            "Annotations_coordinates (uid INTEGER PRIMARY KEY, coordinateX INTEGER, coordinateY INTEGER, slide INTEGER, "
            "annoId INTEGER, orderIdx INTEGER)"
        ),
        "Annotations_label (uid INTEGER PRIMARY KEY, person INTEGER, class INTEGER, annoId INTEGER)",
        "Classes (uid INTEGER PRIMARY KEY, name TEXT)",
        "Persons (uid INTEGER PRIMARY KEY, name TEXT)",
    ),
    2: (
        "Slides (uid INTEGER PRIMARY KEY, filename TEXT, width INTEGER, height INTEGER, directory TEXT, uuid TEXT)",
        (
            "Annotations (uid INTEGER PRIMARY KEY, guid TEXT, lastModified REAL, deleted INTEGER DEFAULT 0, slide INTEGER, "
            "type INTEGER, agreedClass INTEGER)"
        ),
        (
            "Annotations_coordinates (uid INTEGER PRIMARY KEY, coordinateX INTEGER, coordinateY INTEGER, slide INTEGER, "
            "annoId INTEGER, orderIdx INTEGER)"
        ),
        "Annotations_label (uid INTEGER PRIMARY KEY, person INTEGER, class INTEGER, annoId INTEGER)",
        "Classes (uid INTEGER PRIMARY KEY, name TEXT, color TEXT)",
        "Persons (uid INTEGER PRIMARY KEY, name TEXT)",
    ),
    3: (
        (
            "Slides (uid INTEGER PRIMARY KEY, filename TEXT, width INTEGER, height INTEGER, directory TEXT, uuid TEXT, "
            "exactImageID TEXT, EXACTUSER INTEGER DEFAULT 0)"
        ),
        (
            "Annotations (uid INTEGER PRIMARY KEY, slide INTEGER, guid TEXT, lastModified REAL, deleted INTEGER DEFAULT 0, "
            "type INTEGER, agreedClass INTEGER, description TEXT, clickable INTEGER DEFAULT 1)"
        ),
        (
            "Annotations_coordinates (uid INTEGER PRIMARY KEY, coordinateX INTEGER, coordinateY INTEGER, coordinateZ INTEGER, "
            "slide INTEGER, annoId INTEGER, orderIdx INTEGER)"
        ),
        "Annotations_label (uid INTEGER PRIMARY KEY, person INTEGER, class INTEGER, exact_id INTEGER, annoId INTEGER)",
        "Classes (uid INTEGER PRIMARY KEY, name TEXT, color TEXT)",
        "Persons (uid INTEGER PRIMARY KEY, name TEXT, isExactUser INTEGER DEFAULT 0)",
    ),
}


@dataclass(frozen=True)
class Annotation:
    """One annotation; ``said`` holds (person, class) by their numbers from 1."""

    points: Sequence[tuple[Any, Any]]
    kind: Any = SPOT
    agreed: Any = 1
    slide: int = 1
    deleted: int = 0
    said: Sequence[tuple[int, int]] = field(default_factory=tuple)


def write_sliderunner(
    path: Path,
    annotations: Sequence[Annotation],
    *,
    generation: Generation = 3,
    slides: Sequence[str] = ("case_1.svs",),
    classes: Sequence[str] = ("AMF", "NMF"),
    persons: Sequence[str] = ("Ann", "Bob", "RetinaNet"),
) -> Path:
    """Write a database of one generation."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in _TABLES[generation]:
            connection.execute(f"CREATE TABLE {table}")
        connection.executemany("INSERT INTO Slides (uid, filename) VALUES (?, ?)", list(enumerate(slides, start=1)))
        connection.executemany("INSERT INTO Classes (uid, name) VALUES (?, ?)", list(enumerate(classes, start=1)))
        connection.executemany("INSERT INTO Persons (uid, name) VALUES (?, ?)", list(enumerate(persons, start=1)))
        for uid, annotation in enumerate(annotations, start=1):
            _insert(connection, uid, annotation, generation)
    return path


def _insert(connection: sqlite3.Connection, uid: int, annotation: Annotation, generation: Generation) -> None:
    values = {"uid": uid, "slide": annotation.slide, "type": annotation.kind, "agreedClass": annotation.agreed}
    if generation > 1:
        values["deleted"] = annotation.deleted
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO Annotations ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
    # Backwards, so that only orderIdx gives the order.
    for index, (x, y) in reversed(list(enumerate(annotation.points, start=1))):
        connection.execute(
            "INSERT INTO Annotations_coordinates (coordinateX, coordinateY, slide, annoId, orderIdx) VALUES (?, ?, ?, ?, ?)",
            (x, y, annotation.slide, uid, index),
        )
    for person, word in annotation.said:
        connection.execute(
            "INSERT INTO Annotations_label (person, class, annoId) VALUES (?, ?, ?)", (person, word, uid)
        )
