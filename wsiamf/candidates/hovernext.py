"""HoVer-NeXt's results: a table for each class, and every nucleus in ``class_inst.json``.

Layout, after the program's source (hover_next_inference, src/post_process_utils.py and src/viz_utils.py, commits 9f2d368 and
733ff7c): ``class_inst.json`` is ``{"1": [class, [y, x]], ...}``, class 7 mitosis. Its grid of tiles has the slide's bounds
subtracted, as QuPath counts, and is halved, exactly, where the slide's mpp lies within 0.05 of 0.2425; on no other slide is it
scaled. ``pred_<class>.tsv`` has ``x, y, name, color``, the same places times that factor: level-0 px as QuPath counts.
"""

from __future__ import annotations

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
from wsiamf.errors import CandidateError
from wsiamf.wording import shown

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
_MPP_10X, _MPP_20X, _MPP_40X = 0.97, 0.485, 0.2425  # as HoVer-NeXt has them
_HALVED_WITHIN: Final = 0.05


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
        f"class_inst.json does not say its scale: taken as {factor:g} level-0 px a px, as HoVer-NeXt reads such a slide"
    )
    return replace(raw, x=raw.x * factor, y=raw.y * factor, notes=(*raw.notes, note))


def _add(gathered: Gathered, key: str, value: Any) -> None:
    match value:
        case [int(kind), [y, x]]:
            gathered.add(x, y, _CLASSES.get(kind, f"class {shown(kind)}"), name=key)
        case _:
            gathered.add(None, None, None, name=key, fault=f"{shown(value)} is no class and (y, x)")


def _downsample(mpp: float, path: Path) -> float:
    """Level-0 px of one px of ``class_inst.json``, by the program's own rule.

    Slides that it takes for neither 20x nor, within its tolerance, for 40x get a grid of tiles of one scale filled with tiles
    of another: nothing can be made of such a file.
    """
    if abs(mpp - _MPP_40X) < _HALVED_WITHIN:
        return 2.0
    if min((_MPP_10X, _MPP_20X, _MPP_40X), key=lambda known: abs(known - mpp)) == _MPP_20X:
        return 1.0
    raise CandidateError(
        f"{path}: HoVer-NeXt reads slides of about {_MPP_40X:g} and {_MPP_20X:g} um/px, and this one has {mpp:g}: its places "
        "in class_inst.json are of mixed scale; use another file of points."
    )


TABLE_READER = Reader(name="hovernext-tsv", frame="qupath", sniff=_sniff_table, read=_read_table)
NUCLEI_READER = Reader(name="hovernext-json", frame="qupath", sniff=_sniff_nuclei, read=_read_nuclei, states_unit=True)
