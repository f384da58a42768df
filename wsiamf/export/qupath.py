"""QuPath GeoJSON, written so that the strictest reading of QuPath 0.4 to 0.7 accepts it.

``detections.geojson`` holds every figure that counts as a detection (QuPath's light, immutable kind); ``review.geojson``
the hard cases and the hotspots as annotations, which QuPath lists, sorts and shows in its grid view. Coordinates are
QuPath px: level-0 px minus the corner of ``openslide.bounds-*``, to which QuPath crops. Features are written as they are
made, so memory does not grow with the file; equal tables give equal bytes. A name that ends in ``.gz`` is compressed,
with neither time nor name inside.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, cast

import pandas as pd

from wsiamf.classes import CLASS_COLORS, HARD_CASE, HARD_CASE_COLOR, HOTSPOT, HOTSPOT_COLOR
from wsiamf.export.rows import Figure, counted_positions, figures_at, hard_positions
from wsiamf.export.uuids import HOTSPOT_ROLE, REVIEW, Identities, assign_uuids
from wsiamf.files import atomic_file
from wsiamf.geometry import FIGURE_BOX_UM, SlideFrame

REVIEW_BOX_UM: Final = 25.0
"""Side of a hard case's box: twice the detection's, so that both are seen when both files are loaded."""
_GZIP_LEVEL: Final = 6

Feature = dict[str, Any]
Hotspot = Mapping[str, Any]


@dataclass(frozen=True)
class _Origin:
    """Who says so: the model, and the raters behind its expert heads."""

    model: str
    experts: Sequence[str]


def write_detections(path: Path, table: pd.DataFrame, *, frame: SlideFrame, model: str, experts: Sequence[str]) -> None:
    """Write every figure that counts as a QuPath detection, a 12.5 um square round its centre.

    Args:
        path: ``*.geojson``, or ``*.geojson.gz`` to compress.
        table: The predictions table.
        frame: The slide's, for its mpp.
        model: Name and hash of the model, put into every object's metadata.
        experts: Rater ids in the order of the table's expert columns.

    Raises:
        OutputError: The file cannot be written.
    """
    side_px = FIGURE_BOX_UM / frame.mpp
    origin = _Origin(model, experts)
    figures = figures_at(table, counted_positions(table), len(experts))
    write_features(path, (_detection(figure, side_px, origin) for figure in figures))


def write_review(
    path: Path,
    table: pd.DataFrame,
    hotspots: Sequence[Hotspot] | None,
    *,
    frame: SlideFrame,
    fingerprint: str,
    model: str,
    experts: Sequence[str],
) -> None:
    """Write the hotspots and then every hard case that counts, by review rank, as QuPath annotations.

    A hotspot is locked, so that a click does not drag it; a hard case is not, so that its class can be changed.

    Args:
        path: ``*.geojson``, or ``*.geojson.gz`` to compress.
        table: The predictions table, ranked.
        hotspots: ``summary["hotspots"]``: ``rank``, ``x_qupath`` and ``y_qupath`` of the upper left corner,
            ``width_px``, ``height_px``, ``n``, ``n_amf``, ``n_nmf`` and ``area_mm2`` each; None where the area is too
            small for one.
        frame: The slide's.
        fingerprint: The slide's, for the UUIDs.
        model: Name and hash of the model, put into every object's metadata.
        experts: Rater ids in the order of the table's expert columns.

    Raises:
        OutputError: The file cannot be written.
    """
    origin = _Origin(model, experts)
    found = hotspots or ()
    areas = (
        _hotspot(hotspot, identity, model)
        for hotspot, identity in zip(found, _hotspot_uuids(found, frame, fingerprint), strict=True)
    )
    # numbered over all rows, so that which of them are hard does not renumber the repeats of one place
    identities = Identities(fingerprint, REVIEW, table["x_um"], table["y_um"])
    write_features(path, chain(areas, _hard_cases(table, identities, frame, origin)))


def _hard_cases(table: pd.DataFrame, identities: Identities, frame: SlideFrame, origin: _Origin) -> Iterator[Feature]:
    side_px = REVIEW_BOX_UM / frame.mpp
    for figure in figures_at(table, hard_positions(table), len(origin.experts)):
        yield _hard_case(figure, identities[figure.position], side_px, origin)


def _hotspot_uuids(hotspots: Sequence[Hotspot], frame: SlideFrame, fingerprint: str) -> list[str]:
    x_qupath = [hotspot["x_qupath"] + hotspot["width_px"] / 2 for hotspot in hotspots]
    y_qupath = [hotspot["y_qupath"] + hotspot["height_px"] / 2 for hotspot in hotspots]
    x, y = frame.level0_from_qupath(x_qupath, y_qupath)
    return assign_uuids(fingerprint, HOTSPOT_ROLE, frame.um_from_px(x), frame.um_from_px(y))


def _detection(figure: Figure, side_px: float, origin: _Origin) -> Feature:
    properties = {
        "objectType": "detection",
        "name": figure.candidate_id,
        "classification": {"name": figure.label, "color": list(CLASS_COLORS[figure.label])},
        "measurements": measurements(figure),
        "metadata": _metadata(figure, origin),
    }
    return feature(figure.uuid, square_ring((figure.x_qupath, figure.y_qupath), side_px), properties)


def _hard_case(figure: Figure, identity: str, side_px: float, origin: _Origin) -> Feature:
    properties = {
        "objectType": "annotation",
        "name": figure.short_reason or figure.candidate_id,
        "classification": {"name": HARD_CASE, "color": list(HARD_CASE_COLOR)},
        "isLocked": False,
        "measurements": measurements(figure),
        "metadata": {**_metadata(figure, origin), "label": figure.label, "reason": figure.reason or ""},
    }
    return feature(identity, square_ring((figure.x_qupath, figure.y_qupath), side_px), properties)


def _hotspot(hotspot: Hotspot, identity: str, model: str) -> Feature:
    area_mm2 = float(hotspot["area_mm2"])
    counts = f"{hotspot['n']} MF, {hotspot['n_amf']} AMF in {area_mm2:.2f} mm²"
    properties = {
        "objectType": "annotation",
        "name": f"Hotspot {hotspot['rank']}: {counts}",
        "classification": {"name": HOTSPOT, "color": list(HOTSPOT_COLOR)},
        "isLocked": True,
        "measurements": {
            "Hotspot rank": int(hotspot["rank"]),
            "Review rank": int(hotspot["rank"]),
            "MF": int(hotspot["n"]),
            "AMF": int(hotspot["n_amf"]),
            "NMF": int(hotspot["n_nmf"]),
            "Area mm^2": round(area_mm2, 4),
            "MF per mm^2": round(int(hotspot["n"]) / area_mm2, 4),
        },
        "metadata": {"model": model, "selection": "densest in counted figures; counts are after selection"},
    }
    corner = (float(hotspot["x_qupath"]), float(hotspot["y_qupath"]))
    ring = _rectangle(corner, float(hotspot["width_px"]), float(hotspot["height_px"]))
    return feature(identity, ring, properties)


def measurements(figure: Figure) -> dict[str, float]:
    """Finite numbers only; what is null is left out, which QuPath shows as an empty cell."""
    values = {
        "P(atypical)": figure.p_atypical,
        "P(hard)": figure.p_hard,
        "Expert spread": figure.expert_spread,
        "Detector score": figure.score,
    }
    measured = {name: round(value, 4) for name, value in values.items() if value is not None}
    return measured if figure.rank is None else {**measured, "Review rank": figure.rank}


def _metadata(figure: Figure, origin: _Origin) -> dict[str, str]:
    votes = zip(origin.experts, figure.experts, strict=True)
    return {
        "candidate_id": figure.candidate_id,
        "model": origin.model,
        "source_row": str(figure.source_row),
        "experts": ", ".join(f"{rater} {p:.2f}" for rater, p in votes if p is not None),
    }


def square_ring(centre: tuple[float, float], side_px: float) -> list[list[float]]:
    """Closed ring of a square, in the px of its centre."""
    return _rectangle((centre[0] - side_px / 2, centre[1] - side_px / 2), side_px, side_px)


def _rectangle(corner: tuple[float, float], width_px: float, height_px: float) -> list[list[float]]:
    """Closed ring in QuPath px, rounded to the 0.01 px to which QuPath reduces it; never clipped to the slide."""
    left, top = _coordinate(corner[0]), _coordinate(corner[1])
    right, bottom = _coordinate(corner[0] + width_px), _coordinate(corner[1] + height_px)
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def _coordinate(value: float) -> float:
    rounded = round(value, 2)
    return int(rounded) if rounded.is_integer() else rounded


def feature(identity: str, ring: list[list[float]], properties: Mapping[str, Any]) -> Feature:
    """A GeoJSON feature whose geometry is one ring."""
    return {
        "type": "Feature",
        "id": identity,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


def write_features(path: Path, features: Iterable[Feature]) -> None:
    """Write a FeatureCollection as its features are made; gzipped where the name ends in ``.gz``."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    before = "\n"
    with atomic_file(path) as temporary, _byte_stream(temporary, compress=path.suffix == ".gz") as stream:
        stream.write(b'{"type":"FeatureCollection","features":[')
        for one in features:
            stream.write((before + encode(one)).encode("utf-8"))
            before = ",\n"
        stream.write(b"\n]}\n")


@contextmanager
def _byte_stream(path: Path, *, compress: bool) -> Iterator[IO[bytes]]:
    with path.open("wb") as plain:
        if not compress:
            yield plain
            return
        # neither time nor name in the header: equal content, equal bytes
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=plain, mtime=0) as packed:
            yield cast(IO[bytes], packed)
