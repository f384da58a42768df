"""What the page is told of a slide: its size, its tiles, its hotspots and the outlines of its regions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import shapely

from wsiamf.crops.plan import CROP_PX
from wsiamf.errors import RegionError
from wsiamf.export.results import SlideResult
from wsiamf.files import sha256_file
from wsiamf.regions.qupath import read_regions
from wsiamf.regions.region import multipolygon
from wsiamf.review.server.pictures import VIEW_MPP
from wsiamf.review.server.pyramid import TILE_PX, Pyramid

_MARK_DIGITS: Final = 12
"""Digits of the fingerprint in a picture's address, so that a browser never shows one slide's picture for another's."""

_SIMPLIFY_PX: Final = 2.0  # level-0 px; less than a screen shows


def slide_facts(number: int, result: SlideResult, *, blinded: bool) -> dict[str, Any]:
    """Facts of one slide as the page wants them.

    Args:
        number: Of the slide under review.
        result: Its results.
        blinded: Whether thresholds, names of experts and the hotspots' order are left out.
    """
    frame = result.frame
    pyramid = Pyramid(frame.width, frame.height)
    outlines, status = region_outlines(result)
    facts = {
        "width": frame.width,
        "height": frame.height,
        "mpp": frame.mpp,
        "tile_px": TILE_PX,
        "first_level": pyramid.first_level,
        "last_level": pyramid.last_level,
        "tiles": f"/tiles/{number}/{mark_of(result)}",
        "crop_um": CROP_PX * VIEW_MPP,
        "hotspots": _hotspots(result, blinded=blinded),
        "outlines": outlines,
        "outlines_status": status,
        "experts": [],
        "thresholds": {"p_atypical": None, "p_hard": None, "experts": []},
    }
    if not blinded:
        facts |= _cut_offs(result)
    return facts


def mark_of(result: SlideResult) -> str:
    """What stands for the slide's content in addresses."""
    return result.fingerprint[:_MARK_DIGITS]


def region_outlines(result: SlideResult) -> tuple[list[list[list[float]]], str]:
    """Rings of the regions of interest in level-0 px, and ``ok`` or why there are none.

    The regions file is read again, and only if it still is the one that the slide was screened with.
    """
    recorded = result.record["host"]["paths"].get("regions")
    if recorded is None:
        return [], "the whole tissue was counted"
    path = Path(recorded)
    try:
        is_unchanged = path.is_file() and sha256_file(path) == result.record["regions"]["sha256"]
    except OSError as error:
        return [], f"{path.name} cannot be read: {error.strerror}"
    if not is_unchanged:
        return [], f"{path.name} was moved or changed since the slide was screened"
    options = result.record["options"]
    try:
        region = read_regions(
            path, result.frame, include=options["include_classes"], exclude=options["exclude_classes"]
        )
    except RegionError as error:
        return [], str(error)
    return list(_rings(region.geometry)), "ok"


def _rings(geometry: shapely.MultiPolygon) -> list[list[list[float]]]:
    rings: list[list[list[float]]] = []
    for polygon in multipolygon(geometry.simplify(_SIMPLIFY_PX)).geoms:
        for ring in (polygon.exterior, *polygon.interiors):
            rings.append([[round(x, 1), round(y, 1)] for x, y in ring.coords])
    return rings


def _hotspots(result: SlideResult, *, blinded: bool) -> list[dict[str, Any]]:
    """Places alone, since the counts in them are the model's; blinded, from the top down in place of by rank."""
    found = [
        {"rank": one["rank"]} | {name: one[f"{name}_px"] for name in ("x", "y", "width", "height")}
        for one in result.summary.get("hotspots") or []
    ]
    if not blinded:
        return found
    return [one | {"rank": None} for one in sorted(found, key=lambda one: (one["y"], one["x"]))]


def _cut_offs(result: SlideResult) -> dict[str, Any]:
    thresholds = result.summary["thresholds"]
    return {
        "experts": list(result.summary["experts"]),
        "thresholds": {
            "p_atypical": thresholds.get("p_atypical"),
            "p_hard": thresholds.get("p_hard"),
            "experts": list(thresholds.get("p_atypical_experts") or []),
        },
    }
