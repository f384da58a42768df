"""MIDOG.json and MIDOG++.json: COCO's layout, boxes as two corners; files that follow COCO to the letter too.

An annotation's ``labelled_by``, which ``wsiamf export`` writes, names whose label its category is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.boxes import Convention, as_box, box_convention, centres
from wsiamf.candidates.cells import Numbers, read_numbers
from wsiamf.candidates.json_stream import JsonText, elements, member_names
from wsiamf.candidates.parsed_file import read_once
from wsiamf.candidates.plain import joined_faults
from wsiamf.candidates.programs import LABELLED_BY, by_programs
from wsiamf.candidates.raw import EVERY_SLIDE, ListedSlides, RawPoints, Reader, SlideLike
from wsiamf.candidates.slide_names import SlideNames
from wsiamf.classes import MITOTIC_FIGURE, NON_MITOTIC
from wsiamf.errors import CandidateError
from wsiamf.slide_names import base_name
from wsiamf.wording import shown

_NAME = "midog-json"
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_DEFAULT_CATEGORIES: dict[Any, str] = {1: MITOTIC_FIGURE, 2: NON_MITOTIC}
_NO_BOX = (np.nan,) * 4
_LISTS = ("images", "annotations", "categories")
_KEPT = ("id", "image_id", "category_id", "bbox", "area", "score", "iscrowd", LABELLED_BY)

_Record = dict[str, Any]


def _sniff(_path: Path, head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"{") and b'"FeatureCollection"' not in text and any(key in text for key in _KEYS)


def _read(path: Path, slide: SlideLike) -> RawPoints:
    file = _file(path)
    image, mine = file.image_of(slide.name)
    chosen = [file.annotations[index] for index in mine]
    score = _score(chosen) if file.has_scores else None
    points = RawPoints(
        rows=np.asarray(mine, dtype=np.int64) + 1,
        x=file.centres[mine, 0],
        y=file.centres[mine, 1],
        labels=_labels(chosen, file.categories),
        # A score is a detector's; MIDOG's own files have none, people drew them.
        by_person=np.full(len(mine), score is None),
        score=None if score is None else score.values,
        ids=["" if a.get("id") is None else str(a["id"]) for a in chosen],
        faults=joined_faults(_box_faults(file.centres[mine], chosen), score),
        notes=_size_notes(image, slide),
        row_word="annotation",
        slides=[file.name_of(annotation) for annotation in chosen],
    )
    return by_programs(points, [str(annotation.get(LABELLED_BY) or "") for annotation in chosen])


@dataclass(frozen=True)
class _File:
    """A whole file, shared by the slides that it lists; nobody changes its records.

    Args:
        path: The file, for messages.
        images: The records of the images.
        annotations: Those of the annotations, of each the keys in ``_KEPT``.
        categories: Names by id.
        by_image: Indices of an image's annotations, by the image's id.
        convention: How the file writes its boxes.
        centres: (N, 2) of the annotations' boxes in px, read-only; NaN where there is no box.
        has_scores: Whether any annotation has a score.
        names: The images' file names.
    """

    path: Path
    images: Sequence[_Record]
    annotations: Sequence[_Record]
    categories: Mapping[Any, str]
    by_image: Mapping[Any, Sequence[int]]
    convention: Convention
    centres: NDArray[np.float64]
    has_scores: bool
    names: SlideNames

    @cached_property
    def images_named(self) -> dict[str, list[_Record]]:
        """The images of each file name; more than one is a mistake in the file."""
        found: dict[str, list[_Record]] = {}
        for image in self.images:
            found.setdefault(image["file_name"], []).append(image)
        return found

    @cached_property
    def names_by_id(self) -> dict[Any, str]:
        """The images' file names by their ids."""
        return {image["id"]: image["file_name"] for image in self.images}

    def image_of(self, slide_name: str) -> tuple[_Record | None, list[int]]:
        """A slide's image and the indices of its annotations; None and all of them for every slide."""
        if slide_name == EVERY_SLIDE:
            return None, list(range(len(self.annotations)))
        name = self.names.match(slide_name)
        found = self.images_named[name]
        if len(found) > 1:
            raise CandidateError(f"{self.path}: {shown(name)} is listed {len(found)} times in 'images'; keep one.")
        return found[0], list(self.by_image.get(found[0]["id"], ()))

    def name_of(self, annotation: _Record) -> str:
        """File name of an annotation's image; empty where the file has no such image."""
        image = annotation.get("image_id")
        return self.names_by_id.get(image, "") if isinstance(image, int | float | str) else ""

    def own(self, slide_name: str) -> Any:
        """The slide's annotations with their numbers, and what of the whole file decides how they are read."""
        image, mine = self.image_of(slide_name)
        chosen = [self.annotations[index] for index in mine]
        records = [
            [*(a.get(key) for key in ("bbox", "score", "id")), *(a[key] for key in (LABELLED_BY,) if key in a)]
            for a in chosen
        ]
        return {
            "size": [image.get("width"), image.get("height")] if image else None,
            "convention": self.convention,
            "has_scores": self.has_scores,
            "rows": [index + 1 for index in mine],
            "labels": _labels(chosen, self.categories),
            "records": records,
        }


def _listed(path: Path) -> ListedSlides:
    return _file(path)


def _file(path: Path) -> _File:
    return read_once(path, _NAME, _parse, lambda file: len(file.names.known) > 1)


def _parse(path: Path) -> _File:
    data = _loaded(path)
    images, annotations = _records(data, "images", path), _records(data, "annotations", path)
    _check_images(images, path)
    boxes = np.asarray([as_box(a.get("bbox")) or _NO_BOX for a in annotations], dtype=np.float64).reshape(-1, 4)
    convention = _convention(boxes, annotations, images, path)
    points = centres(boxes, convention)
    points.flags.writeable = False
    return _File(
        path=path,
        images=images,
        annotations=annotations,
        categories=_categories(data, path),
        by_image=_by_image(annotations),
        convention=convention,
        centres=points,
        has_scores=any("score" in annotation for annotation in annotations),
        names=SlideNames((image["file_name"] for image in images), path),
    )


def _by_image(annotations: list[_Record]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    for index, annotation in enumerate(annotations):
        image_id = annotation.get("image_id")
        if isinstance(image_id, int | float | str):
            found.setdefault(image_id, []).append(index)
    return found


def _loaded(path: Path) -> _Record:
    """The file's lists, read piece by piece: of a million annotations the text is never in memory as a whole."""
    with path.open("rb") as stream:
        text = JsonText(stream, path)
        if text.peek() != "{":
            kind = type(text.value()).__name__
            raise CandidateError(f"{path}: holds a JSON {kind}; expected images, annotations and categories.")
        data: _Record = {}
        for name in member_names(text):
            if name in _LISTS and text.peek() == "[":
                keep = _trimmed if name == "annotations" else _as_it_is
                data[name] = [keep(record) for record in elements(text)]
            else:
                data[name] = text.value()
        text.end()
    return data


def _as_it_is(record: Any) -> Any:
    return record


def _trimmed(record: Any) -> Any:
    """An annotation without what is not read: outlines, and the labels of raters, are most of a file."""
    if not isinstance(record, dict):
        return record
    return {key: record[key] for key in _KEPT if key in record}


def _records(data: _Record, key: str, path: Path) -> list[_Record]:
    records = data.get(key)
    if not isinstance(records, list):
        raise CandidateError(f"{path}: has no list {key!r}; expected MIDOG's (COCO's) layout.")
    wrong = next((number for number, record in enumerate(records, start=1) if not isinstance(record, dict)), None)
    if wrong is not None:
        raise CandidateError(f"{path}: entry {wrong} of {key!r} is {shown(records[wrong - 1])}; expected an object.")
    return records


def _check_images(images: list[_Record], path: Path) -> None:
    for number, image in enumerate(images, start=1):
        if not isinstance(image.get("file_name"), str) or not isinstance(image.get("id"), int | str):
            raise CandidateError(f"{path}: image {number} needs an id and a file_name.")


def _categories(data: _Record, path: Path) -> dict[Any, str]:
    if "categories" not in data:
        return _DEFAULT_CATEGORIES
    names = {}
    for number, category in enumerate(_records(data, "categories", path), start=1):
        if not isinstance(category.get("id"), int | str) or not isinstance(category.get("name"), str):
            raise CandidateError(f"{path}: category {number} needs an id and a name.")
        names[category["id"]] = category["name"]
    return names


def _labels(annotations: list[_Record], categories: Mapping[Any, str]) -> list[str | None]:
    labels: list[str | None] = []
    for annotation in annotations:
        category = annotation.get("category_id")
        known = categories.get(category) if isinstance(category, int | float | str) else None
        labels.append(known if known is not None or category is None else f"category {shown(category)}")
    return labels


def _convention(
    boxes: NDArray[np.float64], annotations: list[_Record], images: list[_Record], path: Path
) -> Convention:
    sizes = {image["id"]: (_float(image.get("width")), _float(image.get("height"))) for image in images}
    unknown = (np.nan, np.nan)
    image_ids = [a.get("image_id") for a in annotations]
    image_sizes = [sizes.get(i, unknown) if isinstance(i, int | float | str) else unknown for i in image_ids]
    areas = [_float(annotation.get("area")) for annotation in annotations]
    whole = ~np.isnan(boxes).any(axis=1)
    convention = box_convention(
        boxes[whole],
        np.asarray(image_sizes, dtype=np.float64).reshape(-1, 2)[whole],
        np.asarray(areas, dtype=np.float64)[whole],
        coco_keys=any("iscrowd" in annotation for annotation in annotations),
    )
    if convention is None:
        raise CandidateError(
            f"{path}: its boxes may be two corners, as their likeness says, or a corner and a size, as 'iscrowd' says; state "
            "'area' of each annotation, or width and height of each image."
        )
    return convention


def _float(value: Any) -> float:
    box = as_box([value] * 4)
    return box[0] if box else float("nan")


def _score(annotations: list[_Record]) -> Numbers:
    return read_numbers("score", [str(a.get("score", "")) for a in annotations], may_be_missing=True)


def _box_faults(points: NDArray[np.float64], annotations: list[_Record]) -> Numbers:
    indices = np.flatnonzero(np.isnan(points).any(axis=1)).tolist()
    return Numbers(points[:, 0], {i: f"bbox is {shown(annotations[i].get('bbox'))}, no box" for i in indices})


def _size_notes(image: _Record | None, slide: SlideLike) -> tuple[str, ...]:
    if image is None or slide.frame.width == 0:
        return ()
    stated = _float(image.get("width")), _float(image.get("height"))
    actual = slide.frame.width, slide.frame.height
    if np.isnan(stated).any() or stated == actual:
        return ()
    note = (
        f"the points file gives {base_name(image['file_name'])} as {stated[0]:g} x {stated[1]:g} px, the slide is "
        f"{actual[0]} x {actual[1]} px: its points may belong to another resolution"
    )
    return (note,)


READER = Reader(name=_NAME, frame="level0", sniff=_sniff, read=_read, listed=_listed)
