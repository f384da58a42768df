"""Aperio ImageScope's XML: regions of vertices in level-0 px, in layers whose names are the classes.

Layout (files of ImageScope 12): ``Annotations`` with ``MicronsPerPixel``; ``Annotation`` (a layer) with ``Name``;
``Regions/Region`` with ``Type``, ``Text`` (what the user wrote beside it), ``NegativeROA``; ``Vertices/Vertex`` with ``X, Y``.
Rectangles (type 1) and ellipses (type 2) of two vertices are given by two corners.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wsiamf.candidates.gathering import Gathered, Vertices, read_number
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike
from wsiamf.candidates.xml_elements import Start, root_of, xml_events
from wsiamf.classes import canonical_label
from wsiamf.wording import counted

_ROOT: Final = "Annotations"
_CORNERS: Final = frozenset({"1", "2"})
_LINE: Final = "it is a line or an arrow; which of its ends is the figure is not in the file"
_MPP_TOLERANCE: Final = 0.01


def _sniff(_path: Path, head: bytes) -> bool:
    return root_of(head) == _ROOT


def _read(path: Path, slide: SlideLike) -> RawPoints:
    gathered, left_out = Gathered("region"), Counter[str]()
    header: dict[str, str] = {}
    layer: dict[str, str] = {}
    region: dict[str, str] = {}
    vertices = Vertices()
    for event in xml_events(path, _ROOT):
        if isinstance(event, Start):
            if event.name == "Vertex":
                vertices.add(event.attributes.get("X"), event.attributes.get("Y"))
            elif event.name == "Region":
                region, vertices = event.attributes, Vertices()
            elif event.name == "Annotation":
                layer = event.attributes
            elif event.name == _ROOT:
                header = event.attributes
        elif event.name == "Region":
            if region.get("NegativeROA") == "1":
                left_out["negative region"] += 1
            else:
                gathered.add_outline(vertices, _label(region, layer), _fault(region, vertices))
    notes = (*_mpp_notes(header, slide), *(f"{counted(n, word)} left out" for word, n in left_out.items()))
    return gathered.raw_points(um_per_unit=slide.frame.mpp, by_person=True, notes=notes)


def _label(region: dict[str, str], layer: dict[str, str]) -> str | None:
    """The region's text or the layer's name, whichever names a class; else whichever is there."""
    words = [word for word in (region.get("Text", "").strip(), layer.get("Name", "").strip()) if word]
    return next((word for word in words if canonical_label(word)), words[0] if words else None)


def _fault(region: dict[str, str], vertices: Vertices) -> str | None:
    return _LINE if len(vertices) == 2 and region.get("Type") not in _CORNERS else None


def _mpp_notes(header: dict[str, str], slide: SlideLike) -> Iterator[str]:
    """Coordinates are px of the slide that was annotated: another resolution means another slide."""
    stated, _ = read_number("MicronsPerPixel", header.get("MicronsPerPixel", ""))
    if stated > 0 and abs(stated / slide.frame.mpp - 1) > _MPP_TOLERANCE:
        yield (
            f"the points file was made on a slide of {stated:g} um/px, this one has {slide.frame.mpp:g}: "
            "its points may belong to another resolution"
        )


READER = Reader(name="imagescope-xml", frame="level0", sniff=_sniff, read=_read)
