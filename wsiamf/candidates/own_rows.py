"""What of a points file is one slide's own: the key of a result holds its hash, so that other slides' rows may change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from wsiamf.candidates.formats import reader_for
from wsiamf.candidates.parsed_file import points_sha256
from wsiamf.candidates.slide_names import SlideNames

_ITEMS_AT_A_TIME: Final = 4096
_SHORT: Final = 16
"""Lists of so many items are written whole: annotations of a box and an id, pairs of coordinates."""


def own_rows_sha256(path: Path, slide_name: str, points_format: str | None) -> str:
    """Hex sha256 of all that one slide's candidates follow from in a points file.

    That is the slide's own rows (or annotations) with their numbers, the columns there are, the names of their labels, and
    what a reader decides from the whole file (the kind of its boxes, whether it holds scores). Of a file that names no
    slides it is the hash of the whole file.

    Args:
        path: The points file.
        slide_name: The slide's file name.
        points_format: A reader's name, or None to look at the content.

    Raises:
        PointsNotFoundError: There is no such file.
        CandidateError: It is malformed, or does not list the slide.
    """
    reader = reader_for(path, points_format)
    listed = reader.listed(path)
    if listed is None:
        return points_sha256(path)
    digest = hashlib.sha256()
    for piece in json_pieces([reader.name, listed.own(slide_name)]):
        digest.update(piece.encode())
    return digest.hexdigest()


def json_pieces(value: Any) -> Iterator[str]:
    """What ``json.dumps`` makes of a value with its keys sorted, in pieces: a million rows are never one text."""
    if isinstance(value, dict):
        yield "{"
        for number, key in enumerate(sorted(value)):
            yield f"{', ' if number else ''}{json.dumps(key)}: "
            yield from json_pieces(value[key])
        yield "}"
    elif isinstance(value, list | tuple | np.ndarray):
        yield "["
        for start in range(0, len(value), _ITEMS_AT_A_TIME):
            yield ", " if start else ""
            yield from _items(value[start : start + _ITEMS_AT_A_TIME])
        yield "]"
    else:
        yield json.dumps(value)


def _is_long(value: Any) -> bool:
    return isinstance(value, dict | np.ndarray) or (isinstance(value, list | tuple) and len(value) > _SHORT)


def _items(values: Any) -> Iterator[str]:
    """Some values of a list as JSON, without its brackets."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not any(map(_is_long, values)):
        yield json.dumps(values, sort_keys=True)[1:-1]
        return
    for number, value in enumerate(values):
        yield ", " if number else ""
        yield from json_pieces(value)


def slides_in(path: Path, points_format: str | None = None) -> SlideNames | None:
    """The slides that a points file lists, to be searched; None for a file of one slide, which names none.

    Raises:
        PointsNotFoundError: There is no such file.
        CandidateError: It is malformed.
    """
    listed = reader_for(path, points_format).listed(path)
    return None if listed is None else listed.names
