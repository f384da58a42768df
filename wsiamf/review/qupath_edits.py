"""What a reader changed in QuPath, as decisions.

An object is told by its UUID: that of the figure's detection (``detections.geojson``, ``reviewed_detections.geojson``)
or of its hard case (``review.geojson``); if QuPath gave it a new one, by ``candidate_id`` in its metadata, as long as
it lies in that figure's box (ids are often mere row numbers, which every slide has), or by lying within 2 um of a
figure. An object of a known class that is none of these is an addition. An answer is a class that differs from what the
file was written with; the others were only exported again. What is missing means nothing, unless that is asked for. A
file whose objects wsiamf wrote for another slide, or for other results of this one, is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
import shapely.geometry
from scipy.spatial import cKDTree
from shapely.errors import ShapelyError

from wsiamf.classes import AMF, HOTSPOT, NMF, NON_MITOTIC, canonical_label
from wsiamf.errors import CandidateError, ReviewError
from wsiamf.export.results import SlideResult
from wsiamf.export.rows import counted_positions, hard_positions
from wsiamf.export.uuids import REVIEW, Identities
from wsiamf.geometry import FIGURE_BOX_UM
from wsiamf.packed import unpacked
from wsiamf.qupath_objects import class_name, features
from wsiamf.review.answers import ADDED, FIGURE, SAME_PLACE_UM, Answer, Decision, utc_now
from wsiamf.review.reviewed_tables import ADDED_BY_READER

_SUFFIXES: Final = (".geojson", ".json")
_PART: Final = 1 << 20  # bytes read at a time
_IGNORED: Final = "ignore"  # QuPath's class `Ignore*` stands for what is to be left out
_ANSWERS: Final = {AMF: Answer.AMF, NMF: Answer.NMF, NON_MITOTIC: Answer.NOT_MITOSIS}

_Json = Mapping[str, Any]


@dataclass
class Edits:
    """What a file comes to.

    Args:
        decisions: Answers and additions of the reader.
        n_unchanged: Figures that the file holds as they were written.
        n_other: Objects of classes that say nothing of a figure (regions, hotspots).
        n_deleted: Figures that are missing, and were answered for that.
    """

    decisions: list[Decision] = field(default_factory=list)
    n_unchanged: int = 0
    n_other: int = 0
    n_deleted: int = 0


class _Figures:
    """One slide's figures, by every name that QuPath may know them under."""

    def __init__(self, result: SlideResult) -> None:
        table = result.table()
        self.result = result
        counted = counted_positions(table)
        self.table = table.iloc[counted].reset_index(drop=True)
        identities = Identities(result.fingerprint, REVIEW, table["x_um"], table["y_um"])
        self.by_detection = {str(uuid): row for row, uuid in enumerate(self.table["uuid"])}
        self.by_review = {identities[int(place)]: row for row, place in enumerate(counted)}
        self.hard = np.searchsorted(counted, hard_positions(table)).tolist()
        names = Counter(self.table["candidate_id"].astype(str))
        self._by_candidate = {
            name: row for row, name in enumerate(self.table["candidate_id"].astype(str)) if names[name] == 1
        }
        self._tree = cKDTree(self.table[["x_um", "y_um"]].to_numpy(dtype=np.float64)) if len(self.table) else None

    def n_known(self, objects: list[_Object]) -> int:
        """How many of the objects have an id of this slide."""
        return sum(self.knows(one) for one in objects)

    def knows(self, one: _Object) -> bool:
        """Whether an object has an id of this slide."""
        return one.identity in self.by_detection or one.identity in self.by_review

    def row_of(self, one: _Object, x_um: float, y_um: float) -> int | None:
        """Row of the figure that an object is."""
        for known in (self.by_detection, self.by_review):
            if one.identity in known:
                return known[one.identity]
        row = self._by_candidate.get(str(one.metadata.get("candidate_id")))
        if row is not None and self._is_in_box(row, x_um, y_um):
            return row
        if self._tree is None:
            return None
        distance, nearest = self._tree.query([x_um, y_um])
        return int(nearest) if distance <= SAME_PLACE_UM else None

    def _is_in_box(self, row: int, x_um: float, y_um: float) -> bool:
        apart = np.abs(self.table[["x_um", "y_um"]].iloc[row].to_numpy(dtype=np.float64) - (x_um, y_um))
        return bool((apart <= FIGURE_BOX_UM / 2).all())


@dataclass(frozen=True)
class _Object:
    """An object of the file, numbered from 1."""

    number: int
    identity: str
    class_name: str | None
    metadata: _Json
    x_qupath: float
    y_qupath: float

    @property
    def is_written_figure(self) -> bool:
        """Whether wsiamf wrote it, or what QuPath copied it from, as a figure of the points."""
        return {"candidate_id", "model"} <= self.metadata.keys()

    @property
    def answer(self) -> Answer | None:
        """What its class says; None for a class that says nothing of a figure."""
        if self.class_name is None:
            return None
        if self.class_name.rstrip("*").strip().lower() == _IGNORED:
            return Answer.NOT_MITOSIS
        return _ANSWERS.get(canonical_label(self.class_name) or "")


def read_edits(
    path: Path, results: list[SlideResult], *, reader: str, slide_id: str | None = None, deletions: Answer | None = None
) -> Edits:
    """Read a file that QuPath wrote.

    Args:
        path: ``*.geojson``, plain, gzipped or alone in a zip.
        results: The slides of OUT.
        reader: Who edited it.
        slide_id: Which slide it is of; None to find that by the objects' ids.
        deletions: What it means that a figure is missing; None for nothing.

    Raises:
        ReviewError: The file is no GeoJSON, of no slide of OUT, of another slide or other results, or says two things of one
            figure.
    """
    objects = list(_objects(path))
    figures = _of_slide(path, results, objects, slide_id)
    edits = Edits()
    answers: dict[int, tuple[Answer, int]] = {}
    seen: set[int] = set()
    for one in objects:
        x, y = figures.result.frame.level0_from_qupath(one.x_qupath, one.y_qupath)
        x_um, y_um = (float(figures.result.frame.um_from_px(value)) for value in (x, y))
        row = None if one.class_name == HOTSPOT else figures.row_of(one, x_um, y_um)
        if row is not None:
            seen.add(row)
            if _is_unchanged(one, figures, row):
                edits.n_unchanged += 1
            elif one.answer is None:
                edits.n_other += 1
            else:
                _enter(answers, row, one, path)
        else:
            _enter_addition(edits, figures, reader, one, (x_um, y_um))
    if deletions is not None:
        missing = set(_expected(path, figures, objects)) - seen
        edits.n_deleted = len(missing)
        answers |= dict.fromkeys(sorted(missing), (deletions, 0))
    for row, (answer, _) in answers.items():
        place = (float(figures.table["x_um"].iloc[row]), float(figures.table["y_um"].iloc[row]))
        edits.decisions.append(_decision(figures, reader, answer, place, str(figures.table["uuid"].iloc[row])))
    return edits


def _enter_addition(edits: Edits, figures: _Figures, reader: str, one: _Object, place_um: tuple[float, float]) -> None:
    """A new object is an addition if it is called a mitotic figure; one that a reader added before may be called anything."""
    was_added = one.metadata.get("source") == ADDED_BY_READER
    if was_added and one.class_name == one.metadata.get("final_label"):
        edits.n_unchanged += 1
    elif one.answer is not None and (was_added or one.answer.is_mitosis):
        edits.decisions.append(_decision(figures, reader, one.answer, place_um, None))
    else:
        edits.n_other += 1


def _enter(answers: dict[int, tuple[Answer, int]], row: int, one: _Object, path: Path) -> None:
    assert one.answer is not None, "an object without an answer is not entered"
    before = answers.setdefault(row, (one.answer, one.number))
    if before[0] is not one.answer:
        raise ReviewError(
            f"{path}: objects {before[1]} and {one.number} are one figure and say {before[0]} and {one.answer}; keep one."
        )


def _is_unchanged(one: _Object, figures: _Figures, row: int) -> bool:
    """Whether an object has the class that it was written with."""
    if one.identity in figures.by_review:
        return one.answer is None
    written = one.metadata.get("final_label", figures.table["label"].iloc[row])
    return bool(one.class_name == written)


def _expected(path: Path, figures: _Figures, objects: list[_Object]) -> list[int]:
    """Rows of the figures that the file was written with."""
    if any(one.identity in figures.by_detection for one in objects):
        return list(figures.by_detection.values())
    if any(one.identity in figures.by_review for one in objects):
        return list(figures.hard)
    raise ReviewError(f"{path}: --deletions: holds no object that wsiamf wrote, so nothing can be missing.")


def _decision(
    figures: _Figures, reader: str, answer: Answer, place_um: tuple[float, float], uuid: str | None
) -> Decision:
    return Decision(
        slide_id=figures.result.slide_id,
        fingerprint=figures.result.fingerprint,
        x_um=place_um[0],
        y_um=place_um[1],
        kind=ADDED if uuid is None else FIGURE,
        reader=reader,
        answer=answer,
        blinded=False,
        source="qupath",
        candidate_uuid=uuid,
        seconds=None,
        time=utc_now(),
    )


def _of_slide(path: Path, results: list[SlideResult], objects: list[_Object], slide_id: str | None) -> _Figures:
    if slide_id is not None:
        named = [result for result in results if result.slide_id == slide_id]
        if not named:
            raise ReviewError(f"--slide {slide_id}: is not among the results.")
        figures = _Figures(named[0])
        _check_no_other(path, figures, results, objects)
    else:
        figures = _slide_of(path, results, objects)
    _check_written_for(path, figures, objects)
    return figures


def _slide_of(path: Path, results: list[SlideResult], objects: list[_Object]) -> _Figures:
    """The slide that the objects' ids are of."""
    slides = [_Figures(result) for result in results]
    if len(slides) == 1:
        return slides[0]
    known = [slide.n_known(objects) for slide in slides]
    best = int(np.argmax(known))
    if known[best] == 0 or known.count(known[best]) > 1:
        raise ReviewError(f"{path}: its objects do not tell which slide it is of; name the slide with --slide.")
    return slides[best]


def _check_no_other(path: Path, figures: _Figures, results: list[SlideResult], objects: list[_Object]) -> None:
    """Raise unless the slide that was named has as many of the objects' ids as any other."""
    n_known = figures.n_known(objects)
    if 2 * n_known >= len(objects):
        return
    for result in results:
        if result.slide_id != figures.result.slide_id and _Figures(result).n_known(objects) > n_known:
            raise ReviewError(
                f"{path}: is of slide {result.slide_id}, by its objects' ids, and not of {figures.result.slide_id}; "
                f"give --slide {result.slide_id}."
            )


def _check_written_for(path: Path, figures: _Figures, objects: list[_Object]) -> None:
    """Raise where most of the figures that wsiamf wrote into the file are none of this slide's."""
    written = [one for one in objects if one.is_written_figure]
    n_known = figures.n_known(written)
    if 2 * n_known < len(written):
        raise ReviewError(
            f"{path}: was written for another slide or other results: of its {len(written)} figures {n_known} are among "
            f"those of slide {figures.result.slide_id}; give the OUT that it was exported from."
        )


def _objects(path: Path) -> Iterator[_Object]:
    if not path.is_file():
        raise ReviewError(f"{path}: no such file.")
    try:
        with unpacked(path, _SUFFIXES) as stream:
            content = json.loads(b"".join(iter(partial(stream.read, _PART), b"")).decode("utf-8-sig"))
    except (OSError, ValueError, CandidateError) as error:
        raise ReviewError(f"{path}: not readable as GeoJSON ({error}); export it from QuPath again.") from error
    for number, item in enumerate(features(content, path, ReviewError), start=1):
        yield _object(item, number, path)


def _object(item: _Json, number: int, path: Path) -> _Object:
    properties = item.get("properties") or {}
    metadata = properties.get("metadata") if isinstance(properties, dict) else None
    try:
        centre = shapely.geometry.shape(item["geometry"]).centroid
        x, y = float(centre.x), float(centre.y)
        word = class_name(properties)
    except (ShapelyError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ReviewError(f"{path}: object {number}: cannot be read ({error}); export it from QuPath again.") from error
    if not (np.isfinite(x) and np.isfinite(y)):
        raise ReviewError(f"{path}: object {number}: has no place; export it from QuPath again.")
    return _Object(number, str(item.get("id", "")).lower(), word, metadata if isinstance(metadata, dict) else {}, x, y)
