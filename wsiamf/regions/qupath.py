"""Region files: QuPath's GeoJSON, in QuPath px (cropped to ``openslide.bounds-*``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely

from wsiamf.errors import RegionError
from wsiamf.geometry import SlideFrame
from wsiamf.qupath_objects import class_name, features
from wsiamf.regions.geojson import AREA_TYPES, area_of, is_annotation, load_json, parts_of
from wsiamf.regions.region import Region, multipolygon, slide_box

DEFAULT_INCLUDE: Final = ("Tumor",)
DEFAULT_EXCLUDE: Final = ("Necrosis", "Ulcer", "Ignore*")

_CUT_TO_NOTE = 0.001  # share of a region beyond the slide's edge that is worth a note


def read_regions(
    path: Path,
    frame: SlideFrame,
    *,
    include: Sequence[str] = DEFAULT_INCLUDE,
    exclude: Sequence[str] = DEFAULT_EXCLUDE,
) -> Region:
    """Read QuPath annotations as the region of interest.

    Annotations of an including class, and unclassified ones, are united; those of an excluding class are taken out,
    whatever they overlap. Where a file holds excluding annotations alone, they are taken out of the whole slide.

    Args:
        path: ``.geojson`` or ``.json``, gzipped or not: FeatureCollection, Feature, bare geometry or a list of them, in
            QuPath px.
        frame: The slide's frame.
        include: Class names that count, as patterns (``*``, ``?``), whatever their case.
        exclude: Class names to leave out; stronger than ``include``.

    Returns:
        The region in level-0 px; its notes name what was ignored, repaired or cut.

    Raises:
        RegionError: The file is missing, empty or no GeoJSON; no region counts; nothing of it lies on the slide.
    """
    found = _Found()
    for feature in features(load_json(path), path, RegionError):
        _sort_feature(feature, found, include, exclude, path)
    geometry, notes = _combine(found, frame, path)
    return Region(geometry, "roi", (*found.notes(), *notes))


@dataclass
class _Found:
    """What a region file holds, in QuPath px."""

    including: list[shapely.MultiPolygon] = field(default_factory=list)
    excluding: list[shapely.MultiPolygon] = field(default_factory=list)
    other_classes: dict[str, int] = field(default_factory=dict)
    n_objects: int = 0
    n_detections: int = 0
    n_without_area: int = 0
    n_repaired: int = 0

    def notes(self) -> list[str]:
        classes = ", ".join(f"{name} ({n})" for name, n in sorted(self.other_classes.items()))
        counted = [
            (len(self.other_classes), f"Annotations of other classes were ignored: {classes}."),
            (self.n_detections, f"Objects that are no annotations were ignored: {self.n_detections}."),
            (self.n_without_area, f"Annotations without an area (points, lines) were ignored: {self.n_without_area}."),
            (self.n_repaired, f"Invalid outlines (crossing themselves) were repaired: {self.n_repaired}."),
        ]
        return [text for n, text in counted if n]


def _sort_feature(
    feature: Mapping[str, Any], found: _Found, include: Sequence[str], exclude: Sequence[str], path: Path
) -> None:
    found.n_objects += 1
    properties, geometry = parts_of(feature, found.n_objects, path)
    if not is_annotation(feature, properties):
        found.n_detections += 1
        return
    if geometry.get("type") not in AREA_TYPES:
        found.n_without_area += 1
        return
    name = class_name(properties)
    if name is not None and not _matches(name, [*include, *exclude]):
        found.other_classes[name] = found.other_classes.get(name, 0) + 1
        return
    area, was_repaired = area_of(geometry, found.n_objects, path)
    found.n_repaired += was_repaired
    (found.excluding if name is not None and _matches(name, exclude) else found.including).append(area)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    word = name.casefold()
    return any(word == p.casefold() or fnmatchcase(word, p.casefold()) for p in patterns)


def _combine(found: _Found, frame: SlideFrame, path: Path) -> tuple[shapely.MultiPolygon, list[str]]:
    """The region in level-0 px on the slide, and notes on what was cut."""
    if not found.including and not found.excluding:
        classes = ", ".join(sorted(found.other_classes)) or "none"
        raise RegionError(
            f"{path}: no region counts ({found.n_objects} objects; other classes: {classes}); draw an area of class "
            "Tumor in QuPath, or include the class that you mean."
        )
    if not found.including:
        whole, notes = _bounds_box(frame), ["The file holds excluding regions alone: they were taken out of the slide."]
    else:
        whole, notes = _on_slide(to_level0(found.including, frame), frame, path)
    left = multipolygon(shapely.difference(whole, to_level0(found.excluding, frame)))
    if left.is_empty:
        raise RegionError(f"{path}: the excluding regions cover all that counts; check the classes of the annotations.")
    return left, notes


def _on_slide(drawn: Any, frame: SlideFrame, path: Path) -> tuple[Any, list[str]]:
    clipped = multipolygon(shapely.intersection(drawn, slide_box(frame)))
    if clipped.is_empty:
        raise RegionError(
            f"{path}: no region that counts has an area on the slide ({frame.width} x {frame.height} px); is this the "
            "file of another slide?"
        )
    cut = 1 - clipped.area / drawn.area
    return clipped, [f"Regions reach beyond the slide: {cut:.1%} of their area was cut."] if cut > _CUT_TO_NOTE else []


def to_level0(areas: Sequence[shapely.MultiPolygon], frame: SlideFrame) -> Any:
    """Areas in QuPath px united, in level-0 px."""
    corner = np.array([frame.bounds.x, frame.bounds.y], dtype=np.float64)
    return shapely.transform(shapely.union_all(areas), lambda xy: xy + corner)


def _bounds_box(frame: SlideFrame) -> shapely.Polygon:
    bounds = frame.bounds
    return shapely.box(bounds.x, bounds.y, bounds.x + bounds.width, bounds.y + bounds.height)
