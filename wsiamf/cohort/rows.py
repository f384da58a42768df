"""The rows of ``cohort.csv`` and ``failures.csv``: one a row of the manifest, whatever became of its slide.

Every column has one type, also where all of it is null; a null is an empty cell, never NaN. Only the last column, ``seconds``,
differs between two runs on the same input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from wsiamf.cohort.items import Item
from wsiamf.cohort.results import Failure, Result
from wsiamf.summary.slide_summary import FEW

Row = dict[str, Any]

DONE: Final = "done"
FEW_FIGURES: Final = "few"
NO_CANDIDATES: Final = "no_candidates"
FAILED: Final = "failed"
STATUSES: Final = (DONE, FEW_FIGURES, NO_CANDIDATES, FAILED)
"""Of a slide: ten figures or more count; fewer; none; its result does not stand."""
SEPARATOR: Final = "; "

_TEXT, _WHOLE, _REAL, _TRUTH = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_INTERVALS: Final = (
    "amf_fraction_sampling_interval",
    "amf_fraction_expected_interval95",
    "n_amf_expected_interval95",
    "mf_per_mm2_sampling_interval",
    "amf_per_mm2_sampling_interval",
)
_AS_IN_SUMMARY: Final = (
    *("n_candidates", "n_ok", "n_amf", "n_nmf", "n_hard", "amf_fraction", "amf_fraction_expected", "n_amf_expected"),
    *("amf_to_nmf_ratio", "area_mm2", "area_kind", "mf_per_mm2", "amf_per_mm2"),
)
_HOTSPOT_FIELDS: Final = ("n", "n_amf", "amf_fraction", "x_um", "y_um", "width_um", "height_um")

COLUMNS: Final = pa.schema(
    [
        ("row", _WHOLE),
        *((name, _TEXT) for name in ("slide_id", "case_id", "slide", "group", "tumor", "scanner", "status", "reason")),
        *((name, _WHOLE) for name in ("n_candidates", "n_ok", "n_amf", "n_nmf", "n_hard")),
        *((name, _REAL) for name in ("amf_fraction", f"{_INTERVALS[0]}_low", f"{_INTERVALS[0]}_high")),
        *((name, _REAL) for name in ("amf_fraction_expected", f"{_INTERVALS[1]}_low", f"{_INTERVALS[1]}_high")),
        *((name, _REAL) for name in ("n_amf_expected", f"{_INTERVALS[2]}_low", f"{_INTERVALS[2]}_high")),
        ("amf_to_nmf_ratio", _REAL),
        ("area_mm2", _REAL),
        ("area_kind", _TEXT),
        *((name, _REAL) for name in ("mf_per_mm2", f"{_INTERVALS[3]}_low", f"{_INTERVALS[3]}_high")),
        *((name, _REAL) for name in ("amf_per_mm2", f"{_INTERVALS[4]}_low", f"{_INTERVALS[4]}_high")),
        ("hotspot_n", _WHOLE),
        ("hotspot_n_amf", _WHOLE),
        *((f"hotspot_{name}", _REAL) for name in _HOTSPOT_FIELDS[2:]),
        ("mpp", _REAL),
        ("mpp_source", _TEXT),
        ("resampled", _TRUTH),
        ("upsampled", _TRUTH),
        ("n_warnings", _WHOLE),
        ("warnings", _TEXT),
        *((name, _TEXT) for name in ("flags", "backend", "precision", "device_class", "model")),
        ("seconds", _REAL),
    ]
)
"""Of ``cohort.csv`` and ``cohort.parquet``."""

FAILURE_COLUMNS: Final = pa.schema(
    [("slide_id", _TEXT), ("row", _WHOLE), ("kind", _TEXT), ("attempts", _WHOLE), ("reason", _TEXT)]
)


def result_row(item: Item, result: Result) -> Row:
    """The row of a slide whose result stands."""
    summary, record = result.summary, result.record
    row = _item_fields(item) | _status_fields(summary["n_ok"], summary["n_candidates"])
    row |= {name: summary[name] for name in _AS_IN_SUMMARY}
    for name in _INTERVALS:
        row |= {f"{name}_{end}": limit for end, limit in _limits(summary[name]).items()}
    hotspot = (summary["hotspots"] or [{}])[0]
    row |= {f"hotspot_{name}": hotspot.get(name) for name in _HOTSPOT_FIELDS}
    row |= {name: record["slide"][name] for name in ("mpp", "mpp_source")}
    row |= {name: record["reading"][name] for name in ("resampled", "upsampled")}
    row |= {"n_warnings": len(record["warnings"]), "warnings": SEPARATOR.join(record["warnings"]) or None}
    row |= {"flags": SEPARATOR.join(summary["flags"]) or None}
    row |= {name: record[name] for name in ("backend", "precision", "device_class")}
    return row | {"model": record["model"]["title"], "seconds": float(record["times"]["seconds"])}


def unlisted_row(item: Item) -> Row:
    """The row of a slide of which a shared points file lists nothing; its pixels were not read."""
    counts: Row = dict.fromkeys(("n_candidates", "n_ok", "n_amf", "n_nmf"), 0)
    return _item_fields(item) | {"status": NO_CANDIDATES, "reason": "the points file lists nothing on it"} | counts


def failed_row(item: Item, failure: Failure) -> Row:
    """The row of a slide without a result."""
    return _item_fields(item) | {"status": FAILED, "reason": failure.reason}


def failure_fields(item: Item, failure: Failure) -> Row:
    """The row of ``failures.csv``."""
    stated = {"kind": failure.kind, "attempts": failure.attempts, "reason": failure.reason}
    return {"slide_id": item.slide_id, "row": item.row, **stated}


def as_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Rows as a table of exactly these columns; what a row lacks is null."""
    return pa.Table.from_pylist(list(rows), schema=schema)


def _item_fields(item: Item) -> Row:
    named = {name: getattr(item, name) for name in ("row", "slide_id", "case_id", "group", "tumor", "scanner")}
    return named | {"slide": item.slide.name}


def _status_fields(n: int, n_candidates: int) -> Row:
    if n >= FEW:
        return {"status": DONE}
    if n:
        return {"status": FEW_FIGURES, "reason": f"{n} figures count, fewer than {FEW}"}
    reason = f"none of {n_candidates} candidates counts" if n_candidates else "the points file has no candidates"
    return {"status": NO_CANDIDATES, "reason": reason}


def _limits(interval: dict[str, Any] | None) -> Row:
    return {end: None if interval is None else float(interval[end]) for end in ("low", "high")}
