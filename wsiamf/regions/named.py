"""Named regions: the fields in which a pathologist counted, each to be counted on its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely

from wsiamf.errors import RegionError
from wsiamf.geometry import SlideFrame
from wsiamf.qupath_objects import features
from wsiamf.regions.geojson import AREA_TYPES, area_of, is_annotation, load_json, parts_of
from wsiamf.regions.qupath import to_level0
from wsiamf.regions.region import Region, multipolygon, slide_box

_CUT_TO_NOTE = 0.001  # share of a region beyond the slide's edge that is worth a note


@dataclass(frozen=True)
class NamedRegion:
    """One region that somebody named.

    Args:
        name: Unique in its file.
        region: Its area in level-0 px on the slide.
    """

    name: str
    region: Region


def read_named_regions(path: Path, frame: SlideFrame) -> list[NamedRegion]:
    """Read QuPath annotations by their names, whatever their class; they may overlap.

    Args:
        path: ``.geojson`` or ``.json``, gzipped or not, in QuPath px. Rectangles, ellipses and polygons count.
        frame: The slide's frame.

    Returns:
        The regions in the order of the file.

    Raises:
        RegionError: The file is missing or no GeoJSON, holds no area, a name is missing or twice there, or a region lies off
            the slide.
    """
    return [
        NamedRegion(name, _on_slide(area, name, frame, path, was_repaired=was_repaired))
        for name, (area, was_repaired) in _drawn(path).items()
    ]


def check_named_regions(path: Path) -> None:
    """Check a file of named regions as far as that goes without its slide.

    Raises:
        RegionError: As ``read_named_regions``, but for regions that lie off the slide.
    """
    _drawn(path)


def _drawn(path: Path) -> dict[str, tuple[shapely.MultiPolygon, bool]]:
    """Each name's area in QuPath px, and whether its outline was repaired; in the order of the file."""
    found: dict[str, tuple[shapely.MultiPolygon, bool]] = {}
    for number, feature in enumerate(features(load_json(path), path, RegionError), start=1):
        properties, geometry = parts_of(feature, number, path)
        if not is_annotation(feature, properties) or geometry.get("type") not in AREA_TYPES:
            continue
        name = _name(properties, number, path)
        if name in found:
            raise RegionError(f"{path}: two regions are called {name!r}; give each a name of its own in QuPath.")
        found[name] = area_of(geometry, number, path)
    if not found:
        raise RegionError(f"{path}: holds no area; draw the fields as annotations in QuPath and name each of them.")
    return found


def _name(properties: dict[str, Any], number: int, path: Path) -> str:
    name = " ".join(str(properties.get("name") or "").split())
    if not name:
        raise RegionError(
            f"{path}: object {number} has no name; name each field in QuPath (Annotations > Set properties)."
        )
    return name


def _on_slide(area: shapely.MultiPolygon, name: str, frame: SlideFrame, path: Path, *, was_repaired: bool) -> Region:
    drawn = to_level0([area], frame)
    clipped = multipolygon(shapely.intersection(drawn, slide_box(frame)))
    if clipped.is_empty:
        raise RegionError(f"{path}: region {name!r} has no area on the slide; is this the file of another slide?")
    return Region(clipped, "roi", tuple(_notes(name, 1 - clipped.area / drawn.area, was_repaired=was_repaired)))


def _notes(name: str, cut: float, *, was_repaired: bool) -> Iterator[str]:
    if cut > _CUT_TO_NOTE:
        yield f"Region {name!r} reaches beyond the slide: {cut:.1%} of its area was cut."
    if was_repaired:
        yield f"The outline of region {name!r} crosses itself; it was repaired."
