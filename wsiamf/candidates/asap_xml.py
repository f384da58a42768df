"""ASAP's XML: dots, point sets and outlines in level-0 px, classes as groups.

Layout (ASAP, annotation/XmlRepository.cpp): ``ASAP_Annotations/Annotations/Annotation`` with ``Name``, ``Type`` (Dot, PointSet,
Polygon, Spline, Rectangle, Measurement) and ``PartOfGroup``, the word None for none; its ``Coordinates/Coordinate`` have
``Order``, ``X`` and ``Y``. ``AnnotationGroups/Group/Attributes/Attribute`` has a group's attributes; ``labelled_by``, which
``wsiamf export`` writes, names whose labels the group's annotations are.
Laid out as documented there; no file of that program was at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wsiamf.candidates.gathering import Gathered, Vertices
from wsiamf.candidates.programs import LABELLED_BY, by_programs
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike
from wsiamf.candidates.xml_elements import Start, root_of, xml_events
from wsiamf.wording import counted, shown

_ROOT: Final = "ASAP_Annotations"
_POINTS: Final = frozenset({"Dot", "PointSet"})
_OUTLINES: Final = frozenset({"Polygon", "Spline", "Rectangle"})
_MEASUREMENT: Final = "Measurement"


def _sniff(_path: Path, head: bytes) -> bool:
    return root_of(head) == _ROOT


def _read(path: Path, slide: SlideLike) -> RawPoints:
    gathered, n_measurements = Gathered(), 0
    annotation, group, labelled_by = _Annotation({}), "", dict[str | None, str]()
    for event in xml_events(path, _ROOT):
        if isinstance(event, Start):
            if event.name == "Annotation":
                annotation = _Annotation(event.attributes)
            elif event.name == "Group":
                group = event.attributes.get("Name", "").strip()
            elif event.name == "Attribute" and LABELLED_BY in event.attributes:  # ASAP writes an element an attribute
                labelled_by[group] = event.attributes[LABELLED_BY]
            elif event.name == "Coordinate":
                annotation.add(event.attributes.get("X"), event.attributes.get("Y"), gathered)
        elif event.name == "Annotation":
            n_measurements += annotation.kind == _MEASUREMENT
            annotation.close(gathered)
    notes = (f"{counted(n_measurements, 'measured line')} left out",) if n_measurements else ()
    raw = gathered.raw_points(um_per_unit=slide.frame.mpp, by_person=True, notes=notes)
    return by_programs(raw, [labelled_by.get(label, "") for label in raw.labels])


@dataclass
class _Annotation:
    """One annotation while its coordinates come in."""

    attributes: dict[str, str]
    vertices: Vertices = field(default_factory=Vertices)
    has_points: bool = False

    @property
    def kind(self) -> str | None:
        return self.attributes.get("Type")

    @property
    def group(self) -> str | None:
        group = self.attributes.get("PartOfGroup", "").strip()
        return group if group not in ("", "None") else None

    def add(self, x: str | None, y: str | None, gathered: Gathered) -> None:
        """A coordinate: a point by itself, or a vertex of an outline."""
        if self.kind in _POINTS:
            self.has_points = True
            gathered.add(x, y, self.group)
        else:
            self.vertices.add(x, y)

    def close(self, gathered: Gathered) -> None:
        """All coordinates are in."""
        if self.has_points or self.kind == _MEASUREMENT:
            return
        known = self.kind in _OUTLINES or self.kind in _POINTS
        gathered.add_outline(self.vertices, self.group, None if known else f"its type is {shown(self.kind)}")


READER = Reader(name="asap-xml", frame="level0", sniff=_sniff, read=_read)
