"""HoVer-NeXt's results: a table for each class, and every nucleus in ``class_inst.json``.

Layout (hover_next_inference, src/post_process_utils.py): ``pred_<class>.tsv`` has ``x, y, name, color`` in level-0 px after the
slide's bounds are subtracted, as QuPath counts. ``class_inst.json`` is ``{"1": [class, [y, x]], ...}`` in px of the
magnification that the network saw, 20x or about 0.5 um/px, bounds not subtracted; class 7 is mitosis.
Laid out as documented there; no file of that program was at hand.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from wsiamf.candidates.cells import read_numbers
from wsiamf.candidates.delimited import header_of, is_text, read_delimited
from wsiamf.candidates.gathering import Gathered
from wsiamf.candidates.json_stream import JsonText, member_names
from wsiamf.candidates.nuclei import figures_among
from wsiamf.candidates.plain import joined_faults
from wsiamf.candidates.point_table import missing_columns
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike
from wsiamf.candidates.wording import shown
from wsiamf.errors import CandidateError

_COLUMNS: Final = ("x", "y", "name", "color")
_CLASSES: Final = {
    1: "neutrophil",
    2: "epithelial-cell",
    3: "lymphocyte",
    4: "plasma-cell",
    5: "eosinophil",
    6: "connective-tissue-cell",
    7: "mitosis",
}
_FIRST_MEMBER: Final = re.compile(rb'\{\s*"\d+"\s*:\s*\[\s*\d+\s*,\s*\[')
_NETWORK_MPP: Final = 0.5
_MOST_OCTAVES_OFF: Final = 0.25


def _sniff_table(_path: Path, head: bytes) -> bool:
    if not is_text(head) or tuple(header_of(head)) != _COLUMNS:
        return False
    first = head.decode("utf-8-sig", errors="replace").strip().splitlines()[1:2]
    return not first or first[0].split("\t")[2:3] in [[name] for name in _CLASSES.values()]  # else QuPath's own


def _read_table(path: Path, _slide: SlideLike) -> RawPoints:
    table = read_delimited(path, _COLUMNS)
    if not table.has("x", "y", "name"):
        raise missing_columns(table, "x, y, name and color")
    rows = np.arange(table.n_rows, dtype=np.int64)
    x, y = (read_numbers(name, table.cells(name, rows)) for name in "xy")
    labels = [name or None for name in table.texts("name", rows)]
    raw = RawPoints(
        rows=rows + 1,
        x=x.values,
        y=y.values,
        labels=labels,
        by_person=np.zeros(len(rows), dtype=np.bool_),
        score=None,
        ids=None,
        faults=joined_faults(x, y),
    )
    return figures_among(raw, (label for label in labels if label), path) if len(rows) else raw


def _sniff_nuclei(_path: Path, head: bytes) -> bool:
    return _FIRST_MEMBER.match(head.removeprefix(b"\xef\xbb\xbf").lstrip()) is not None


def _read_nuclei(path: Path, slide: SlideLike) -> RawPoints:
    gathered = Gathered("cell")
    with path.open("rb") as stream:
        text = JsonText(stream, path)
        for key in member_names(text):
            _add(gathered, key, text.value())
        text.end()
    raw = gathered.raw_points(um_per_unit=np.nan, by_person=False)
    raw = figures_among(raw, _CLASSES.values(), path)
    if not slide.frame.width:
        return replace(raw, x=raw.x * _NETWORK_MPP, y=raw.y * _NETWORK_MPP, unit="um")
    factor = _downsample(slide.frame.mpp, path)
    note = (
        f"class_inst.json does not say its scale: taken as px of a level {factor:g} times smaller than level 0; "
        "pred_mitosis.tsv of the same run holds level-0 px"
    )
    return replace(raw, x=raw.x * factor, y=raw.y * factor, notes=(*raw.notes, note))


def _add(gathered: Gathered, key: str, value: Any) -> None:
    match value:
        case [int(kind), [y, x]]:
            gathered.add(x, y, _CLASSES.get(kind, f"class {shown(kind)}"), name=key)
        case _:
            gathered.add(None, None, None, name=key, fault=f"{shown(value)} is no class and (y, x)")


def _downsample(mpp: float, path: Path) -> float:
    """Level-0 px of one px of the network's.

    HoVer-NeXt goes by the nominal magnification (10x, 20x, 40x), not by the exact resolution: a slide of 0.243 um/px is
    read at half its size, 0.485 um/px.
    """
    octaves = math.log2(_NETWORK_MPP / mpp)
    if abs(octaves - round(octaves)) > _MOST_OCTAVES_OFF:
        raise CandidateError(
            f"{path}: does not say its scale, and a slide of {mpp:g} um/px is of no magnification that HoVer-NeXt knows; "
            "use pred_mitosis.tsv of the same run."
        )
    return float(2.0 ** round(octaves))


TABLE_READER = Reader(name="hovernext-tsv", frame="qupath", sniff=_sniff_table, read=_read_table)
NUCLEI_READER = Reader(name="hovernext-json", frame="level0", sniff=_sniff_nuclei, read=_read_nuclei)
