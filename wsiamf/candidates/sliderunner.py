"""SlideRunner's SQLite databases, of all its generations: columns go by name, and those that are missing are done without.

Spots are points; areas and circles count by the middle of their two corners, polygons by their centre of area. What several
persons said of a figure is kept by person, and the class agreed on is the label. A person may be a program (one in MIDOG's
database is a RetinaNet), so nobody's labels are votes until the user says whose are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.outlines import Outlines, may_hold_regions, region_notes, region_rows
from wsiamf.candidates.programs import by_programs, is_own
from wsiamf.candidates.raters import check_persons
from wsiamf.candidates.raw import EVERY_SLIDE, ListedSlides, RawPoints, Reader, SlideLike
from wsiamf.candidates.slide_names import SlideNames
from wsiamf.candidates.sqlite_file import MAGIC, Database, columns_of, opened_readonly, select
from wsiamf.errors import CandidateError
from wsiamf.wording import counted, shown

_ESSENTIAL: Final = {
    "Slides": ("uid", "filename"),
    "Annotations": ("uid", "slide"),
    "Annotations_coordinates": ("coordinatex", "coordinatey", "annoid"),
}
_SPOT, _AREA, _POLYGON, _SPECIAL_SPOT, _CIRCLE, _IMAGE = range(1, 7)
_TYPES: Final = frozenset({_SPOT, _AREA, _POLYGON, _SPECIAL_SPOT, _CIRCLE})


def _sniff(path: Path, head: bytes) -> bool:
    if not head.startswith(MAGIC):
        return False
    # The schema need not stand in the file's first bytes.
    try:
        with opened_readonly(path) as connection:
            return all(columns_of(connection, table) for table in _ESSENTIAL)
    except CandidateError:
        return b"Annotations_coordinates" in head  # damaged, and ours to say so


def _read(path: Path, slide: SlideLike) -> RawPoints:
    with opened_readonly(path) as connection:
        slides = _slides(connection, path)
        figures, words = _annotations(connection, _uids_of(slides, slide.name, path), path)
    return _points(figures, slides, slide.frame.mpp, words)


def _listed(path: Path) -> ListedSlides | None:
    """None where the database names no slide, so that it counts whole."""
    with opened_readonly(path) as connection:
        slides = _slides(connection, path)
    return _Listed(path, slides, SlideNames(slides.values(), path)) if any(slides.values()) else None


@dataclass(frozen=True)
class _Listed:
    """``raw.ListedSlides`` of a database: names by the slides' uids."""

    path: Path
    slides: dict[Any, str]
    names: SlideNames

    def own(self, slide_name: str) -> Any:
        """The slide's annotations with their numbers, the classes' and persons' names, and who said what."""
        with opened_readonly(self.path) as connection:
            figures, words = _annotations(connection, _uids_of(self.slides, slide_name, self.path), self.path)
        return {
            # As Python writes them: a damaged database holds bytes where numbers belong.
            "figures": [[one.uid, repr(one.kind), words.class_name(one.agreed), repr(one.vertices)] for one in figures],
            "persons": list(words.by_person([one.uid for one in figures]).items()),
            "unclear": words.unclear_notes(),
        }


def _slides(connection: Database, path: Path) -> dict[Any, str]:
    """File names by uid."""
    _check_tables(connection, path)
    return {uid: str(name or "") for uid, name in select(connection, "Slides", ("uid", "filename"))}


def _annotations(connection: Database, uids: Sequence[Any], path: Path) -> tuple[list[_Figure], _Words]:
    """What slides' annotations are, and what is said of them."""
    figures = _figures(connection, uids)
    _add_coordinates(connection, figures)
    classes = {uid: str(name) for uid, name in select(connection, "Classes", ("uid", "name")) if name is not None}
    words = _Words(classes, _persons(connection), _said(connection, figures))
    check_persons(len(words.persons), len(figures), path)
    return list(figures.values()), words


@dataclass
class _Figure:
    """One annotation that is not deleted."""

    uid: int
    slide: Any
    kind: Any
    agreed: Any
    vertices: list[tuple[Any, Any]] = field(default_factory=list)
    first_place: Any = None


@dataclass(frozen=True)
class _Words:
    """Names of classes and persons by uid, and each person's classes by annotation and person."""

    classes: dict[Any, str]
    persons: dict[Any, str]
    said: dict[tuple[int, Any], set[Any]]

    def class_name(self, uid: Any) -> str | None:
        """Name of a class; 0 and NULL are no class."""
        return None if not uid else self.classes.get(uid, f"class {shown(uid)}")

    def by_person(self, figures: Sequence[int]) -> dict[str, list[str | None]]:
        """The class that each person gave each figure; None where a person gave none, or several."""
        return {
            name: [self._one_class(self.said.get((uid, person))) for uid in figures]
            for person, name in self.persons.items()
        }

    def programs(self, figures: Sequence[int]) -> list[str]:
        """The program that labelled each figure, where no person did; empty for the others, unlabelled ones too."""
        found: dict[int, str] = {}
        for uid, person in self.said:
            name = self.persons.get(person, "")
            found[uid] = name if is_own(name) and found.get(uid, name) else ""
        return [found.get(uid, "") for uid in figures]

    def unclear_notes(self) -> tuple[str, ...]:
        """What the user is told of figures that one person put into several classes."""
        n = sum(len(given) > 1 for given in self.said.values())
        return (f"{counted(n, 'label')} left out: one person gave several classes to one annotation",) if n else ()

    def _one_class(self, given: set[Any] | None) -> str | None:
        return self.class_name(next(iter(given))) if given is not None and len(given) == 1 else None


def _check_tables(connection: Database, path: Path) -> None:
    for table, wanted in _ESSENTIAL.items():
        columns = columns_of(connection, table)
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise CandidateError(
                f"{path}: its table {table} lacks {', '.join(missing)}; expected a SlideRunner database."
            )


def _uids_of(slides: dict[Any, str], slide_name: str, path: Path) -> list[Any]:
    """The slide's uids (a name may be entered in several folders); all of them for every slide."""
    if slide_name == EVERY_SLIDE:
        return list(slides)
    name = SlideNames(slides.values(), path).match(slide_name)
    found = [uid for uid, listed in slides.items() if listed == name]
    if len(found) > 1:
        raise CandidateError(
            f"{path}: {shown(name)} is listed {len(found)} times in its table Slides; keep one entry in SlideRunner."
        )
    return found


def _where(uids: Sequence[Any]) -> tuple[str, Any] | None:
    return ("slide", uids[0]) if len(uids) == 1 else None


def _figures(connection: Database, uids: Sequence[Any]) -> dict[int, _Figure]:
    wanted = ("uid", "slide", "type", "agreedclass", "deleted")
    found = {
        uid: _Figure(uid, slide, kind, agreed)
        for uid, slide, kind, agreed, deleted in select(connection, "Annotations", wanted, where=_where(uids))
        if isinstance(uid, int) and not deleted and kind != _IMAGE
    }
    return {uid: found[uid] for uid in sorted(found)}


def _add_coordinates(connection: Database, figures: dict[int, _Figure]) -> None:
    # The coordinates' own column of the slide is not in every generation: they are found by their annotation.
    wanted = ("annoid", "coordinatex", "coordinatey", "orderidx")
    places: dict[int, list[Any]] = {}  # of each annotation that has several, to put its vertices in order
    for uid, x, y, place in select(connection, "Annotations_coordinates", wanted):
        if uid not in figures:
            continue
        if figures[uid].vertices:
            places.setdefault(uid, [figures[uid].first_place]).append(place)
        else:
            figures[uid].first_place = place
        figures[uid].vertices.append((x, y))
    for uid, given in places.items():
        vertices = figures[uid].vertices
        figures[uid].vertices = [vertices[index] for index in sorted(range(len(given)), key=lambda i: _rank(given[i]))]


def _rank(value: Any) -> tuple[int, Any]:
    """What SQLite sorts a value by: null, numbers, text, other bytes."""
    if value is None:
        return 0, 0
    return (1 if isinstance(value, int | float) else 2 if isinstance(value, str) else 3), value


def _persons(connection: Database) -> dict[Any, str]:
    """Names by uid; a name that two have is told apart by the uid."""
    names = {uid: str(name or f"person {uid}") for uid, name in select(connection, "Persons", ("uid", "name"))}
    counts = Counter(names.values())
    return {uid: name if counts[name] == 1 else f"{name} ({uid})" for uid, name in names.items()}


def _said(connection: Database, figures: dict[int, _Figure]) -> dict[tuple[int, Any], set[Any]]:
    said: dict[tuple[int, Any], set[Any]] = {}
    for uid, person, word in select(connection, "Annotations_label", ("annoid", "person", "class")):
        if uid in figures and word:
            said.setdefault((uid, person), set()).add(word)
    return said


def _points(figures: Sequence[_Figure], slides: dict[Any, str], mpp: float, words: _Words) -> RawPoints:
    centres, widths, faults = _places(figures)
    labels_of = words.by_person([figure.uid for figure in figures])
    points = RawPoints(
        rows=np.asarray([figure.uid for figure in figures], dtype=np.int64),
        x=centres[:, 0],
        y=centres[:, 1],
        labels=[words.class_name(figure.agreed) for figure in figures],
        by_person=np.ones(len(figures), dtype=np.bool_),  # but for programs' alone
        score=None,
        ids=[str(figure.uid) for figure in figures],
        faults=faults,
        row_word="annotation",
        slides=[slides.get(figure.slide, "") for figure in figures],
        person_labels=labels_of,
        persons_are_experts=False,
        may_hold_regions=may_hold_regions(widths, mpp),
    )
    points = by_programs(points, words.programs([figure.uid for figure in figures]))
    regions = region_rows(widths, mpp)
    notes = (*points.notes, *region_notes(int(regions.sum())), *words.unclear_notes())
    return replace(points.take(np.flatnonzero(~regions)), notes=notes)


def _places(figures: Sequence[_Figure]) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[int, str]]:
    """(N, 2) centres, (N,) widths of what is more than a spot, and why figures have no place."""
    outlines, faults = Outlines(), {}
    for index, figure in enumerate(figures):
        vertices = figure.vertices[:1] if figure.kind in (_SPOT, _SPECIAL_SPOT) else figure.vertices
        right = outlines.add([(vertices, False)])
        reason = _fault(figure)
        if reason is not None or not right:
            faults[index] = reason or f"its coordinates are {shown(vertices)}"
    centres, widths = outlines.places()
    for index in np.flatnonzero(np.isnan(centres[:, 0])).tolist():
        faults.setdefault(index, "its coordinates are no numbers")
    return centres, widths, faults


def _fault(figure: _Figure) -> str | None:
    if figure.kind is not None and figure.kind not in _TYPES:
        return f"its type is {shown(figure.kind)}, which is none of SlideRunner's"
    if not figure.vertices:
        return "it has no coordinates"
    return None


READER = Reader(name="sliderunner", frame="level0", sniff=_sniff, read=_read, listed=_listed)
