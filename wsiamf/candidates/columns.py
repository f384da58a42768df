"""What the columns of a plain table may be called: the field's names for coordinates, scores, classes, slides and experts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsiamf.candidates.raw import Unit
from wsiamf.errors import CandidateError
from wsiamf.wording import shown

UNITS: Final[tuple[Unit, ...]] = ("px", "um", "mm")

_AXIS_PATTERNS: Final = (
    *("{a}", "c{a}", "centroid_{a}", "{a}_centroid", "centroid{a}", "center_{a}", "{a}_center", "center{a}"),
    *("centre_{a}", "{a}_centre", "coordinate_{a}", "coordinate{a}", "{a}_coordinate", "coord_{a}", "{a}_coord"),
    *("pos_{a}", "position_{a}", "{a}_pos", "{a}_position", "point_{a}", "location_{a}"),
)
_AXIS_NAMES: Final[dict[str, str]] = {
    **{pattern.format(a=axis): axis for axis in "xy" for pattern in _AXIS_PATTERNS},
    **dict(
        zip(("centroid_1", "centroid_0"), "xy", strict=True)
    ),  # scikit-image numbers the axes of arrays: row, column
}
_UNIT_SUFFIXES: Final[dict[str, Unit]] = {
    **dict.fromkeys(("px", "pix", "pixel", "pixels", "level0", "l0"), "px"),
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"), "um"),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), "mm"),
}
_TEXT_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id", "candidate_id", "object_id"),
    "score": ("score", "probability", "prob", "confidence", "detection_probability", "detection_score"),
    "label": ("label", "class", "class_name", "classification", "majority"),
    "slide": ("slide",),
    "filename": ("filename",),
    "file_name": ("file_name",),
    "image": ("image", "slide_name", "image_name"),
    "by_person": ("by_person",),
    "labelled_by": ("labelled_by",),
}
"""By the plain table's name: what else it may be called; the first one present is used."""

_EXPERT: Final = re.compile(r"expert[ _-]?\d+\w*|expert_.+", re.IGNORECASE)
EXPERT_PREFIX: Final = "expert_"


def coordinate_column(axis: str, unit: Unit) -> str:
    """The plain table's name of a coordinate: ``x``, ``x_um``, ``x_mm``."""
    return axis if unit == "px" else f"{axis}_{unit}"


NUMBER_COLUMNS: Final = (*(coordinate_column(axis, unit) for unit in UNITS for axis in "xy"), "score")


def find_columns(header: Sequence[str], path: Path) -> dict[str, int]:
    """Position of each column of the plain table that a header has, by the plain table's own name.

    Experts' columns keep their names, with ``expert_`` before them: ``expert_expert1`` for a column ``expert1``,
    ``expert_Ann`` for ``expert_Ann``.

    Raises:
        CandidateError: Two columns could be the same thing.
    """
    places: dict[str, int] = {}
    for index, written in enumerate(header):
        name = _coordinate(_simplified(written)) or _expert(written)
        if name is not None:
            _enter(places, name, index, header, path)
    for name, known in _TEXT_NAMES.items():
        _enter_text(places, name, known, header, path)
    return places


def _enter(places: dict[str, int], name: str, index: int, header: Sequence[str], path: Path) -> None:
    if name in places:
        first, second = header[places[name]].strip(), header[index].strip()
        if _bare(first) == _bare(second):
            raise CandidateError(f"{path}: has two columns {shown(_bare(first))}; remove or rename one.")
        raise CandidateError(
            f"{path}: columns {shown(first)} and {shown(second)} could both be {name}; remove or rename the one that is not "
            "the figure's centre."
        )
    places[name] = index


def _enter_text(places: dict[str, int], name: str, known: Sequence[str], header: Sequence[str], path: Path) -> None:
    simple = [_simplified(written) for written in header]
    for word in known:
        found = [index for index, other in enumerate(simple) if other == word]
        for index in found:
            _enter(places, name, index, header, path)
        if found:
            return


def _coordinate(name: str) -> str | None:
    """The plain table's name of a coordinate column; None for any other column."""
    if name in _AXIS_NAMES:
        return _AXIS_NAMES[name]
    stem, _, suffix = name.rpartition("_")
    if stem not in _AXIS_NAMES or suffix not in _UNIT_SUFFIXES:
        return None
    return coordinate_column(_AXIS_NAMES[stem], _UNIT_SUFFIXES[suffix])


def _expert(written: str) -> str | None:
    name = written.strip("\ufeff \t")
    if not _EXPERT.fullmatch(name):
        return None
    return EXPERT_PREFIX + (name[len(EXPERT_PREFIX) :] if name.lower().startswith(EXPERT_PREFIX) else name)


def _bare(written: str) -> str:
    return written.strip("\ufeff \t").lower()


def _simplified(written: str) -> str:
    """Lower case, micro signs as u, everything between words as one underscore."""
    plain = unicodedata.normalize("NFKC", written).casefold().replace("\u03bc", "u")
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
