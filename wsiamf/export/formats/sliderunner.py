"""SlideRunner's database, in whole level-0 px (its columns are integers): a spot a figure, one person, who is the model.

The columns are those of its newest generation (``annotations/MIDOG.sqlite`` has them too). Triggers are left out:
SlideRunner adds its own when it opens a file, and other programs cannot write to a file that has them. A file is only
ever made anew: people's labels in an existing one are theirs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wsiamf.candidates.programs import is_own
from wsiamf.candidates.sqlite_file import Database, opened_readonly, select
from wsiamf.errors import CandidateError, OutputExistsError
from wsiamf.export.formats.base import Format, Options
from wsiamf.export.formats.sqlite_files import SIDE_FILES, new_database
from wsiamf.export.marks import CLASS_NAMES, class_color, hex_color, iter_marks
from wsiamf.export.results import SlideResult
from wsiamf.geometry import nearest_pixel
from wsiamf.wording import shown

_KEY: Final = "uid INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE"
_TABLES: Final = {
    "Slides": "filename TEXT, width INTEGER, height INTEGER, directory TEXT, uuid TEXT, exactImageID TEXT, "
    "EXACTUSER INTEGER DEFAULT 0",
    "Classes": "name TEXT, color TEXT",
    "Persons": "name TEXT, isExactUser INTEGER DEFAULT 0",
    "Annotations": "slide INTEGER, guid TEXT, lastModified REAL DEFAULT 0, deleted INTEGER DEFAULT 0, type INTEGER, "
    "agreedClass INTEGER, description TEXT, clickable INTEGER DEFAULT 1",
    "Annotations_coordinates": "coordinateX INTEGER, coordinateY INTEGER, coordinateZ INTEGER DEFAULT 0, slide INTEGER, "
    "annoId INTEGER, orderIdx INTEGER",
    "Annotations_label": "person INTEGER, class INTEGER, exact_id INTEGER, annoId INTEGER",
    "Log": "dateTime FLOAT, labelId INTEGER",
}
_SPOT: Final = 1
_UNCHANGED: Final = 0.0  # a time would make equal results differ


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    persons = {name: number for number, name in enumerate(sorted({one.labelled_by for one in results}), start=1)}
    with new_database(path) as database:
        for name, columns in _TABLES.items():
            database.execute(f"CREATE TABLE {name} ({_KEY}, {columns})")
        database.executemany("INSERT INTO Persons (name) VALUES (?)", [(name,) for name in persons])
        colors = [(name, hex_color(class_color(name))) for name in CLASS_NAMES]
        database.executemany("INSERT INTO Classes (name, color) VALUES (?, ?)", colors)
        database.executemany("INSERT INTO Slides (filename, width, height) VALUES (?, ?, ?)", map(_slide, results))
        for row in _spots(results, persons, options):
            _insert_spot(database, *row)


def _slide(result: SlideResult) -> tuple[str, int, int]:
    return result.slide_name, result.frame.width, result.frame.height


def _spots(
    results: Sequence[SlideResult], persons: dict[str, int], options: Options
) -> Iterator[tuple[int, int, int, str, str, tuple[int, int]]]:
    """Slide, person, class, UUID, description and (x, y) of each figure."""
    class_ids = {name: number for number, name in enumerate(CLASS_NAMES, start=1)}
    for slide, result in enumerate(results, start=1):
        for mark in iter_marks(result, every_row=options.every_row):
            known = "" if mark.p_atypical is None else f" P(atypical) {mark.p_atypical:.4f}"
            place = nearest_pixel(mark.x), nearest_pixel(mark.y)
            yield (
                slide,
                persons[result.labelled_by],
                class_ids[mark.class_name],
                mark.uuid,
                mark.candidate_id + known,
                place,
            )


def _insert_spot(
    database: sqlite3.Connection,
    slide: int,
    person: int,
    class_id: int,
    guid: str,
    description: str,
    place: tuple[int, int],
) -> None:
    annotation = database.execute(
        "INSERT INTO Annotations (slide, guid, lastModified, type, agreedClass, description) VALUES (?, ?, ?, ?, ?, ?)",
        (slide, guid, _UNCHANGED, _SPOT, class_id, description),
    ).lastrowid
    database.execute(
        "INSERT INTO Annotations_coordinates (coordinateX, coordinateY, slide, annoId, orderIdx) VALUES (?, ?, ?, ?, 1)",
        (*place, slide, annotation),
    )
    database.execute(
        "INSERT INTO Annotations_label (person, class, annoId) VALUES (?, ?, ?)", (person, class_id, annotation)
    )


def _check_own(existing: Path) -> None:
    """Raise unless a database is as wsiamf wrote it."""
    try:
        with opened_readonly(existing) as database:
            trace = _trace_of_others(database)
    except CandidateError:
        trace = "it cannot be read"
    if trace is not None:
        raise OutputExistsError(
            f"{existing}: is not a database that wsiamf alone labelled ({trace}), so --overwrite does not touch it; choose "
            "another --out."
        )


def _trace_of_others(database: Database) -> str | None:
    """What shows that somebody else had a database in hand; None where nothing does."""
    names = [str(name) for (name,) in select(database, "Persons", ("name",))]
    strangers = [shown(name) for name in names if not is_own(name)]
    if strangers or not names:
        return ", ".join(strangers[:3]) or "no person"
    changes = select(database, "Annotations", ("lastmodified", "deleted"))
    if any(deleted or modified != _UNCHANGED for modified, deleted in changes):
        return "annotations are changed or deleted"
    if next(select(database, "Log", ("uid",)), None) is not None:
        return "its log has entries"
    triggers = database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone()
    return "SlideRunner has opened it" if triggers[0] else None


FORMAT: Final = Format(
    name="sliderunner",
    suffix=".sqlite",
    write=_write,
    many_slides=True,
    by_file_name=True,
    side_files=SIDE_FILES,
    may_replace=_check_own,
)
