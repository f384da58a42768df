"""Where a page's numbers come from: what ``run.json`` says that may be published; no path, user, host or time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Record = Mapping[str, Any]

PUBLISHED: Final = (
    *("wsiamf", "algorithm_version", "versions", "slide", "reading", "points", "regions", "named_regions", "model"),
    *("options", "error_rates", "backend", "precision", "device_class", "warnings"),
)
"""Parts of the record that the page may know at all."""


def published(record: Record) -> dict[str, Any]:
    """The parts of a record that may be shown; the others (times, host, paths) do not reach a template."""
    return {name: record[name] for name in PUBLISHED if name in record}


def provenance_rows(record: Record, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, value) of a slide's provenance.

    Args:
        record: ``published`` of its run record.
        summary: The content of ``summary.json``.
    """
    return [(name, value) for name, value in _rows(record, summary) if value]


def _rows(record: Record, summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    slide, points, reading = record["slide"], record["points"], record["reading"]
    facts = summary["slide"]
    yield "Slide", f"{slide['name']}, {facts['width']:,} × {facts['height']:,} px"  # noqa: RUF001 - a sign of multiplication
    yield "Slide fingerprint", str(slide["fingerprint"])
    yield "Resolution", f"{slide['mpp']:.4g} µm/px, from {slide['mpp_source']}; {_reading(reading)}"
    yield "Points", f"{points['name']} ({points['format']}, {points['frame']} pixels)"
    yield "Points sha256", str(points["sha256"])
    yield from _file("Regions", record.get("regions"))
    yield from _file("Named fields", record.get("named_regions"))
    yield "Model", str(record["model"]["title"])
    yield "Model sha256", str(record["model"]["sha256"])
    yield "What is atypical", str(summary["definition"])
    thresholds = summary["thresholds"]
    yield (
        "Thresholds",
        f"P(atypical) {thresholds['p_atypical']:g} ({thresholds['name']}), P(hard) {thresholds['p_hard']:g}",
    )
    if record.get("error_rates"):
        yield "Own error rates", str(record["error_rates"]["domain"])
    yield "Computed with", f"{record['backend']}, {record['precision']}, {record['device_class']}"
    yield "wsiamf", f"{record['wsiamf']}, algorithm version {record['algorithm_version']}"
    yield "Options", options_text(record["options"])
    yield "Libraries", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())


def options_text(options: Mapping[str, Any]) -> str:
    """Options that are set, as ``name = value``."""
    return "; ".join(f"{name} = {_value(value)}" for name, value in options.items() if value is not None)


def _reading(reading: Mapping[str, Any]) -> str:
    how = "upsampled" if reading["upsampled"] else "resampled" if reading["resampled"] else "as it is"
    return f"crops from level {reading['level']}, {how}"


def _file(name: str, stated: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if stated:
        yield name, str(stated["name"])
        yield f"{name} sha256", str(stated["sha256"])


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
