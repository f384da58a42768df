"""CellViT's ``cells.json`` and ``cell_detection.json``: every nucleus of a slide, centroids (x, y) in level-0 px.

Layout (CellViT-Inference, its README and config/templates.py): ``{"wsi_metadata", "type_map": {"1": name, ...}, "cells":
[{"bbox", "centroid": [x, y], "contour", "type_prob", "type", ...}]}``. Bounds are not subtracted.
Laid out as documented there; no file of that program was at hand.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from wsiamf.candidates.gathering import Gathered
from wsiamf.candidates.json_stream import JsonText, elements, member_names
from wsiamf.candidates.nuclei import figures_among
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike
from wsiamf.errors import CandidateError
from wsiamf.wording import shown

_SIGNS: Final = re.compile(rb'"(wsi_metadata|type_map|cells)"\s*:\s*[\[{]')


def _sniff(_path: Path, head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and _SIGNS.search(head) is not None


def _read(path: Path, _slide: SlideLike) -> RawPoints:
    gathered, names = Gathered("cell"), None
    with path.open("rb") as stream:
        text = JsonText(stream, path)
        for key in member_names(text):
            if key == "cells":
                for cell in elements(text):
                    _add(gathered, cell)
            elif (value := text.value()) is not None and key == "type_map":
                names = _names(value, path)
        text.end()
    if names is None:
        raise CandidateError(f"{path}: has no type_map, so nobody knows which cells are mitotic figures.")
    raw = gathered.raw_points(um_per_unit=np.nan, by_person=False)
    labels = [None if kind is None else names.get(kind, f"type {kind}") for kind in raw.labels]
    return figures_among(replace(raw, labels=labels), names.values(), path)


def _names(value: Any, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise CandidateError(f"{path}: its type_map is {shown(value)}; expected names by number.")
    return value


def _add(gathered: Gathered, cell: Any) -> None:
    match cell:
        case {"centroid": [x, y], "type": int(kind)}:
            gathered.add(x, y, shown(kind), score=cell.get("type_prob"))
        case _:
            gathered.add(None, None, None, fault="it has no type or no centroid of x and y")


READER = Reader(name="cellvit-json", frame="level0", sniff=_sniff, read=_read)
