"""What of a points file is one slide's own: the key of a result holds its hash, so that other slides' rows may change."""

from __future__ import annotations

import json
from pathlib import Path

from wsiamf.candidates.formats import reader_for
from wsiamf.candidates.parsed_file import points_sha256
from wsiamf.candidates.slide_names import SlideNames
from wsiamf.files import sha256_bytes


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
    text = json.dumps([reader.name, listed.own(slide_name)], sort_keys=True)
    return sha256_bytes(text.encode())


def slides_in(path: Path, points_format: str | None = None) -> SlideNames | None:
    """The slides that a points file lists, to be searched; None for a file of one slide, which names none.

    Raises:
        PointsNotFoundError: There is no such file.
        CandidateError: It is malformed.
    """
    listed = reader_for(path, points_format).listed(path)
    return None if listed is None else listed.names


def slide_names_in(path: Path, points_format: str | None = None) -> list[str] | None:
    """As ``slides_in``, the names alone, sorted."""
    names = slides_in(path, points_format)
    return None if names is None else list(names.known)
