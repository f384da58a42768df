"""Hamamatsu NDP.view's annotations (NDPA): nm from the centre of the glass slide, titles for classes.

Layout (files of NDP.view 2): ``annotations/ndpviewstate`` with ``title``, ``coordformat`` (nanometers) and ``annotation``,
whose ``type`` is pin or circle (``x``, ``y``), freehand (``pointlist/point``), pointer or linearmeasure (``x1, y1, x2, y2``).
``x`` and ``y`` of the view state itself are where the screen was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from wsiamf.candidates.gathering import Gathered, Vertices
from wsiamf.candidates.raw import RawPoints, Reader, SlideLike
from wsiamf.candidates.xml_elements import Start, root_of, xml_events
from wsiamf.errors import CandidateError
from wsiamf.wording import counted, shown

_ROOT: Final = "annotations"
_NM_PER_UM: Final = 1000.0
_NANOMETERS: Final = "nanometers"
_MEASURE: Final = "linearmeasure"
_KINDS: Final = frozenset({"pin", "circle", "freehand", "rectangle"})
_POINTER: Final = "it is an arrow; which of its ends is the figure is not in the file"


def _sniff(_path: Path, head: bytes) -> bool:
    return root_of(head) == _ROOT


def _read(path: Path, slide: SlideLike) -> RawPoints:
    gathered, n_measures = Gathered("annotation"), 0
    view = _View()
    for event in xml_events(path, _ROOT):
        if isinstance(event, Start):
            if event.name == "ndpviewstate":
                view = _View()
            elif event.name == "annotation":
                view.kind = event.attributes.get("type", "")
        elif event.name == "ndpviewstate":
            n_measures += view.kind == _MEASURE
            view.close(gathered)
        else:
            view.add(event.name, event.text)
    notes = (f"{counted(n_measures, 'measured line')} left out",) if n_measures else ()
    raw = gathered.raw_points(um_per_unit=1 / _NM_PER_UM, by_person=True, notes=notes)
    return _placed(raw, path, slide)


@dataclass
class _View:
    """One view state while its parts come in; ``kind`` is None until its annotation begins."""

    kind: str | None = None
    title: str | None = None
    unit: str = _NANOMETERS
    vertices: Vertices = field(default_factory=Vertices)
    _x: str | None = None

    def add(self, name: str, text: str) -> None:
        """The text of an element; those without a meaning here are passed over."""
        if name == "title":
            self.title = text or None
        elif name == "coordformat":
            self.unit = text
        elif self.kind is None:  # x and y of the screen
            return
        elif name == "x":
            self._x = text
        elif name == "y":
            self.vertices.add(self._x, text)
            self._x = None

    def close(self, gathered: Gathered) -> None:
        """All parts are in; a view state without an annotation is a bookmark."""
        if self.kind is not None and self.kind != _MEASURE:
            gathered.add_outline(self.vertices, self.title, self._fault())

    def _fault(self) -> str | None:
        if self.unit != _NANOMETERS:
            return f"its coordformat is {shown(self.unit)}, not {_NANOMETERS}"
        if self.kind == "pointer":
            return _POINTER
        return None if self.kind in _KINDS else f"its type is {shown(self.kind)}"


def _placed(raw: RawPoints, path: Path, slide: SlideLike) -> RawPoints:
    """From nm and the slide's centre to px and the image's corner; without a slide to um from the centre."""
    if not slide.frame.width:
        return replace(raw, x=raw.x / _NM_PER_UM, y=raw.y / _NM_PER_UM, unit="um")
    frame = slide.frame
    if frame.centre_offset_nm is None:
        raise CandidateError(
            f"{path}: counts in nm from the centre of the glass, and {slide.name} does not say where that is "
            "(hamamatsu.XOffsetFromSlideCentre, as NDPI and VMS have it); screen the slide that was annotated."
        )
    (offset_x, offset_y), (mpp_x, mpp_y) = frame.centre_offset_nm, frame.mpp_xy
    return replace(
        raw,
        x=(raw.x - offset_x) / (_NM_PER_UM * mpp_x) + frame.width / 2,
        y=(raw.y - offset_y) / (_NM_PER_UM * mpp_y) + frame.height / 2,
    )


READER = Reader(name="ndpa", frame="level0", sniff=_sniff, read=_read, states_unit=True)
