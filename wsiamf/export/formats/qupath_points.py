"""QuPath's points file (TSV), in QuPath px: one annotation of many points a class.

Columns x, y, class, name and color (``PointIO`` of qupath-core); the name is the model's, so that nobody takes the labels for
a person's. QuPath makes one annotation of all rows that agree in the columns after x and y, by a linear search, so that a
column of ids would cost it minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsiamf.export.formats.base import Format, Options
from wsiamf.export.marks import iter_marks
from wsiamf.export.results import SlideResult

_OPAQUE: Final = 0xFF000000
_SIGN: Final = 1 << 32  # QuPath writes colours as Java's signed int


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    (result,) = results
    name = " ".join(result.labelled_by.split())  # no tab of a model's name
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write("x\ty\tclass\tname\tcolor\n")
        for mark in iter_marks(result, every_row=options.every_row):
            place = f"{mark.x_qupath:.2f}\t{mark.y_qupath:.2f}"
            stream.write(f"{place}\t{mark.class_name}\t{name}\t{packed_color(mark.color)}\n")


def packed_color(rgb: tuple[int, int, int]) -> int:
    """An opaque colour as QuPath packs it: ARGB in a signed 32 bit integer."""
    red, green, blue = rgb
    return (_OPAQUE | red << 16 | green << 8 | blue) - _SIGN


FORMAT: Final = Format(name="qupath-points", suffix=".points.tsv", write=_write)
