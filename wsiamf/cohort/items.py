"""A row of the manifest, checked; and what its results are computed with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

_PATHS = ("slide", "points", "roi", "regions")


@dataclass(frozen=True)
class Item:
    """One slide of a cohort.

    Args:
        row: Of the manifest, from 1.
        slide_id: Name of the slide's folder of results, unique in the cohort.
        slide, points: The files, absolute. ``points`` is None where the user allowed that a shared points file lists no row
            for the slide: it has no candidates.
        case_id: Patient or animal; None where the manifest has no such column.
        roi: QuPath GeoJSON of regions, absolute; None for a tissue mask.
        regions: QuPath GeoJSON of named fields, absolute, each counted on its own too; None for none.
        mpp: um per level-0 px in place of the slide's own.
        group, tumor, scanner: What the cohort's figures are split by; None for not stated.
    """

    row: int
    slide_id: str
    slide: Path
    points: Path | None
    case_id: str | None = None
    roi: Path | None = None
    regions: Path | None = None
    mpp: float | None = None
    group: str | None = None
    tumor: str | None = None
    scanner: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Values that JSON has."""
        values = asdict(self)
        return values | {name: str(values[name]) for name in _PATHS if values[name] is not None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Item:
        """The inverse of ``as_json``."""
        known: dict[str, Any] = {field.name: values.get(field.name) for field in fields(cls)}
        paths = {name: Path(known[name]) for name in _PATHS if known[name] is not None}
        return cls(**(known | paths))


@dataclass(frozen=True)
class Classes:
    """What a loaded model computes with; results of one cohort are comparable where these are equal.

    Args:
        backend: ``torch`` or ``openvino``.
        precision: ``f32``, ``bf16`` or ``int8``.
        device_class: ``cuda``, ``mps`` or ``cpu``.
        model_sha256: Of the bundle.
    """

    backend: str
    precision: str
    device_class: str
    model_sha256: str

    def as_json(self) -> dict[str, str]:
        """Values that JSON has."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, str]) -> Classes:
        """The inverse of ``as_json``."""
        return cls(**values)
