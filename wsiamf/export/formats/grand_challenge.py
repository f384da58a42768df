"""grand-challenge's "Multiple points" JSON, in mm from the upper left corner of level 0.

A mm is what the slide's file states for each axis, since that is what programs go by that read the points beside it.
The list's ``name`` is the model's, for grand-challenge allows no key of our own. A point's ``name`` is the class;
``probability`` the detector's score, as in MIDOG's track 1, and left out where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from wsiamf.export.formats.base import Format, Options
from wsiamf.export.formats.json_stream import write_list
from wsiamf.export.marks import Mark, iter_marks
from wsiamf.export.results import SlideResult

_UM_PER_MM: Final = 1000.0
_MM_DECIMALS: Final = 6
_HEAD: Final = ',"type":"Multiple points","version":{"major":1,"minor":0},"points":'


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    (result,) = results
    mpp_x, mpp_y = result.frame.mpp_xy
    mm_per_px = mpp_x / _UM_PER_MM, mpp_y / _UM_PER_MM
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write('{"name":' + json.dumps(result.labelled_by, ensure_ascii=False) + _HEAD)
        write_list(stream, (_point(mark, mm_per_px) for mark in iter_marks(result, every_row=options.every_row)))
        stream.write("}\n")


def _point(mark: Mark, mm_per_px: tuple[float, float]) -> dict[str, Any]:
    place = [round(mark.x * mm_per_px[0], _MM_DECIMALS), round(mark.y * mm_per_px[1], _MM_DECIMALS), 0]
    # a float even where it is 0 or 1: the challenge's evaluation rejects integers
    probability = {} if mark.score is None else {"probability": float(mark.score)}
    return {"name": mark.class_name, "point": place, **probability}


FORMAT: Final = Format(name="grand-challenge", suffix=".points.json", write=_write)
