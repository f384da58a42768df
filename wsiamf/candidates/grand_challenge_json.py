"""grand-challenge's "Multiple points": mm from the image's corner, as MIDOG's detectors write them.

Layout (MIDOG25_T1_reference_docker, inference.py): ``{"name", "type": "Multiple points", "points": [{"name", "point":
[x, y, 0], "probability"}], "version"}``, names being "mitotic figure" and "non-mitotic figure". The mm come from ITK, which
multiplies px by the spacing of each axis; a TIFF without a resolution has spacing 1 there, so such a file holds px.
Laid out as documented there, and as the output in MIDOG_reference_docker, whose points have neither name nor probability.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from wsiamf.candidates.gathering import Gathered
from wsiamf.candidates.json_stream import JsonText, elements, member_names
from wsiamf.candidates.placing import MAX_OUTSIDE_PX
from wsiamf.candidates.plain import persons
from wsiamf.candidates.programs import by_programs, is_own
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike
from wsiamf.errors import CandidateError
from wsiamf.geometry import SlideFrame
from wsiamf.wording import shown

_TYPE: Final = "Multiple points"
_SIGNS: Final = re.compile(rb'"type"\s*:\s*"Multiple points"|"points"\s*:\s*\[\s*\{[^{}]*"point"\s*:')
_UM_PER_MM: Final = 1000.0
_WIDEST_SLIDE_MM: Final = 300.0
_PX_NOTE: Final = (
    "the points lie far off the slide if they are mm, and on it if they are px: taken as px, as programs write them "
    "that read a slide without its resolution"
)


def _sniff(_path: Path, head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and _SIGNS.search(head) is not None


def _read(path: Path, slide: SlideLike) -> RawPoints:
    gathered, has_points, program = Gathered(), False, ""
    with path.open("rb") as stream:
        text = JsonText(stream, path)
        for key in member_names(text):
            if key == "points":
                has_points = True
                for point in elements(text):
                    _add(gathered, point)
            elif key == "name":
                name = text.value()
                program = name if is_own(name) else ""
            elif (value := text.value()) != _TYPE and key == "type":
                raise CandidateError(f"{path}: its type is {shown(value)}; expected {_TYPE!r}.")
        text.end()
    if not has_points:
        raise CandidateError(f"{path}: has no list 'points'; expected grand-challenge's {_TYPE!r}.")
    raw = gathered.raw_points(um_per_unit=np.nan, by_person=False)
    raw = raw if raw.score is not None else replace(raw, by_person=persons(raw.labels))
    raw = by_programs(raw, [program] * len(raw))
    return replace(raw, unit="mm") if not slide.frame.width else _in_px(raw, slide.frame)


def _add(gathered: Gathered, point: Any) -> None:
    match point:
        case {"point": [x, y] | [x, y, _]}:
            name = point.get("name")
            gathered.add(x, y, name if isinstance(name, str) and name else None, score=point.get("probability"))
        case _:
            gathered.add(None, None, None, fault=f"{shown(point)} has no point of x, y, z")


def _in_px(raw: RawPoints, frame: SlideFrame) -> RawPoints:
    """By the spacing of each axis; px where the values can be nothing else."""
    scale_x, scale_y = (_UM_PER_MM / mpp for mpp in frame.mpp_xy)
    with np.errstate(over="ignore"):  # what grows beyond all numbers lies off the slide
        as_mm = replace(raw, x=raw.x * scale_x, y=raw.y * scale_y)
    only_as_px = _share_inside(as_mm, frame) == 0 and _share_inside(raw, frame) == 1
    return replace(raw, notes=(*raw.notes, _PX_NOTE)) if only_as_px and _hardly_mm(raw) else as_mm


def _hardly_mm(raw: RawPoints) -> bool:
    """Whether coordinates are larger than a glass slide or all of them whole or half numbers: of another slide they are not."""
    given = np.concatenate([raw.x, raw.y])
    given = given[np.isfinite(given)]
    return bool(given.max(initial=0.0) > _WIDEST_SLIDE_MM or (given * 2 % 1 == 0).all())


def _share_inside(raw: RawPoints, frame: SlideFrame) -> float:
    """Of the points that have coordinates; NaN, which is neither more nor less than anything, where there are none."""
    given = np.isfinite(raw.x) & np.isfinite(raw.y)
    inside = (np.abs(raw.x) <= frame.width + MAX_OUTSIDE_PX) & (np.abs(raw.y) <= frame.height + MAX_OUTSIDE_PX)
    return float(inside[given].mean()) if given.any() else np.nan


READER = Reader(name="grand-challenge-json", frame="level0", sniff=_sniff, read=_read, states_unit=True)
