"""JSON in MIDOG's layout for retraining, in level-0 px: images, categories, annotations with ``bbox`` [x0, y0, x1, y1].

Categories 1 and 2 keep MIDOG's meaning, so that a program that knows only these does not take NMF for a hard negative;
AMF and NMF are 3 and 4. Every box is MIDOG's 50 px, round the figure's centre. The labels are the model's: no ``labels``
of raters are written, and ``labelled_by`` names the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from wsiamf.classes import CLASS_COLORS, MITOTIC_FIGURE, NON_MITOTIC
from wsiamf.export.formats.base import Format, Options
from wsiamf.export.formats.json_stream import write_list
from wsiamf.export.marks import CLASS_NAMES, Mark, iter_marks
from wsiamf.export.results import SlideResult

_BOX_PX: Final = 50
_DECIMALS: Final = 2
_NOT_MITOTIC_ID: Final = 2
_FIRST_OWN_ID: Final = 3
_CATEGORY_IDS: Final = {NON_MITOTIC: _NOT_MITOTIC_ID} | {
    name: number
    for number, name in enumerate((name for name in CLASS_NAMES if name != NON_MITOTIC), start=_FIRST_OWN_ID)
}


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write('{"info":' + json.dumps(_info(results), ensure_ascii=False, separators=(",", ":")))
        stream.write(',\n"images":')
        write_list(stream, (_image(number, result) for number, result in enumerate(results, start=1)))
        stream.write(',\n"categories":')
        write_list(stream, _categories(every_row=options.every_row))
        stream.write(',\n"annotations":')
        write_list(stream, _annotations(results, options))
        stream.write("}\n")


def _info(results: Sequence[SlideResult]) -> dict[str, Any]:
    models = sorted({result.model for result in results})
    return {"description": "classified by wsiamf; boxes are [x0, y0, x1, y1]; research use only", "models": models}


def _image(number: int, result: SlideResult) -> dict[str, Any]:
    frame = result.frame
    return {"id": number, "file_name": result.slide_name, "width": frame.width, "height": frame.height}


def _categories(*, every_row: bool) -> Iterator[dict[str, Any]]:
    yield {"id": 1, "name": MITOTIC_FIGURE}
    yield {"id": _NOT_MITOTIC_ID, "name": "not mitotic figure"}
    for name, number in _CATEGORY_IDS.items():
        if number >= _FIRST_OWN_ID and (every_row or name in CLASS_COLORS):
            yield {"id": number, "name": name}


def _annotations(results: Sequence[SlideResult], options: Options) -> Iterator[dict[str, Any]]:
    numbers = count(1)
    for image_id, result in enumerate(results, start=1):
        for mark in iter_marks(result, every_row=options.every_row):
            yield _annotation(next(numbers), image_id, mark, result.labelled_by)


def _annotation(number: int, image_id: int, mark: Mark, labelled_by: str) -> dict[str, Any]:
    half = _BOX_PX / 2
    box = [mark.x - half, mark.y - half, mark.x + half, mark.y + half]
    values = {"score": mark.score, "p_atypical": mark.p_atypical, "p_hard": mark.p_hard}
    return {
        "id": number,
        "image_id": image_id,
        "category_id": _CATEGORY_IDS[mark.class_name],
        "bbox": [round(value, _DECIMALS) for value in box],
        "area": _BOX_PX**2,
        "candidate_id": mark.candidate_id,
        "labelled_by": labelled_by,
        **{name: value for name, value in values.items() if value is not None},
    }


FORMAT: Final = Format(name="midog-json", suffix=".midog.json", write=_write, many_slides=True, by_file_name=True)
