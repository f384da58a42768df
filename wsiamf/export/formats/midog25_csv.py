"""CSV in the layout of MIDOG 2025 track 2 for retraining, in level-0 px.

``majority`` is the model's label; the columns of the experts are empty, for no expert has looked. What the results do not
know (tumour, scanner, origin, species) is empty too.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

from wsiamf.export.formats.base import Format, Options
from wsiamf.export.marks import iter_marks
from wsiamf.export.results import SlideResult

_UNKNOWN: Final = ("Tumor", "Scanner", "Origin", "Species", "expert1", "expert2", "expert3")
_COLUMNS: Final = ("image_id", "filename", "coordinateX", "coordinateY", *_UNKNOWN, "majority")
_OWN_COLUMNS: Final = ("candidate_id", "p_atypical", "score", "labelled_by")


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    numbers = count(1)
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow([*_COLUMNS, *_OWN_COLUMNS])
        for result in results:
            for mark in iter_marks(result, every_row=options.every_row):
                place = [f"{next(numbers)}.png", result.slide_name, f"{mark.x:.2f}", f"{mark.y:.2f}"]
                unknown = [""] * len(_UNKNOWN)
                own = [mark.candidate_id, _cell(mark.p_atypical), _cell(mark.score), result.labelled_by]
                table.writerow([*place, *unknown, mark.class_name, *own])


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


FORMAT: Final = Format(name="midog25-csv", suffix=".midog25.csv", write=_write, many_slides=True, by_file_name=True)
