"""Cases: what the slides of one patient or animal say together, as ``cases.csv`` has it.

Counts and areas are sums over a case's slides, a share is the sum of AMF over the sum of figures, the hotspot is the densest
single one of any slide. None of them has an interval of its own: figures of several slides of one case are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from wsiamf.cohort.rows import FAILED, FEW_FIGURES, NO_CANDIDATES, Row
from wsiamf.summary.json_fields import significant
from wsiamf.summary.slide_summary import FEW

COMPLETE: Final = "complete"
INCOMPLETE: Final = "incomplete"
MIXED: Final = "mixed"
"""Stands for a property of which a case's slides state several values."""
PROPERTIES: Final = ("group", "tumor", "scanner")

RULES: Final = {
    "case": "slides of one case_id; a slide without one is a case of its own",
    "status": f"incomplete: a slide failed; else {NO_CANDIDATES}: no figure counts; {FEW_FIGURES}: fewer than {FEW} count; "
    f"else {COMPLETE}",
    "n_slides_done": "slides that did not fail",
    "counts": "sums over the slides that did not fail",
    "amf_fraction": "sum of AMF / sum of (AMF + NMF)",
    "amf_fraction_expected": "sum of the calibrated probabilities / sum of (AMF + NMF)",
    "area_mm2": "sum over the slides that were read; densities are sums of figures over it",
    "hotspot": "the single hotspot of any slide that holds most figures; of equal ones the first in the manifest",
    "group, tumor, scanner": f"what the case's slides state; {MIXED} where they state several",
}
"""Named in ``cohort.json``."""

_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()
_SUMS: Final = ("n_candidates", "n_ok", "n_amf", "n_nmf", "n_hard")

COLUMNS: Final = pa.schema(
    [
        ("case_id", _TEXT),
        ("case_is_slide", pa.bool_()),
        *((name, _TEXT) for name in PROPERTIES),
        ("status", _TEXT),
        *((name, _WHOLE) for name in ("n_slides", "n_slides_done", *_SUMS)),
        *((name, _REAL) for name in ("amf_fraction", "n_amf_expected", "amf_fraction_expected", "amf_to_nmf_ratio")),
        *((name, _REAL) for name in ("area_mm2", "mf_per_mm2", "amf_per_mm2")),
        ("hotspot_slide_id", _TEXT),
        ("hotspot_n", _WHOLE),
        ("hotspot_n_amf", _WHOLE),
        ("hotspot_amf_fraction", _REAL),
    ]
)
"""Of ``cases.csv``."""


@dataclass(frozen=True)
class Case:
    """The slides of one patient or animal.

    Args:
        name: Its ``case_id``, or the slide's where the manifest names none.
        is_slide: Whether the manifest names none.
        rows: Of ``cohort.csv``, one a slide, in the manifest's order.
    """

    name: str
    is_slide: bool
    rows: tuple[Row, ...]

    @property
    def read(self) -> tuple[Row, ...]:
        """The rows of slides that did not fail."""
        return tuple(row for row in self.rows if row["status"] != FAILED)

    @property
    def status(self) -> str:
        """One word for the case; ``RULES`` has them."""
        if len(self.read) < len(self.rows):
            return INCOMPLETE
        n = self.total("n_ok")
        return COMPLETE if n >= FEW else FEW_FIGURES if n else NO_CANDIDATES

    def total(self, column: str) -> Any:
        """Sum of a column over the slides that did not fail, nulls left out."""
        return sum(row[column] for row in self.read if row.get(column) is not None)

    def stated(self, name: str) -> list[str]:
        """The values of a property that its slides state, sorted."""
        return sorted({row[name] for row in self.rows if row[name] is not None})

    def value(self, name: str) -> str | None:
        """A property of the case: null where no slide states it, ``mixed`` where they differ."""
        values = self.stated(name)
        return MIXED if len(values) > 1 else values[0] if values else None

    def of(self, rows: Sequence[Row]) -> Case:
        """The same case with some of its slides."""
        return Case(self.name, self.is_slide, tuple(rows))


def gather_cases(rows: Sequence[Row]) -> list[Case]:
    """The cases of the rows of ``cohort.csv``, in the order in which the manifest first names them."""
    gathered: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        is_slide = row["case_id"] is None
        gathered.setdefault((row["slide_id"] if is_slide else row["case_id"], is_slide), []).append(row)
    return [Case(name, is_slide, tuple(own)) for (name, is_slide), own in gathered.items()]


def case_row(case: Case) -> Row:
    """The row of ``cases.csv``."""
    row: Row = {"case_id": case.name, "case_is_slide": case.is_slide, "status": case.status}
    row |= {name: case.value(name) for name in PROPERTIES}
    row |= {"n_slides": len(case.rows), "n_slides_done": len(case.read)}
    if not case.read:
        return row
    row |= {name: case.total(name) for name in _SUMS if name != "n_hard" or _known(case, name)}
    return row | _shares(case) | _densities(case) | _hotspot(case)


def case_warnings(cases: Sequence[Case]) -> list[str]:
    """What a reader of the cases should know, one line each."""
    alone = sum(case.is_slide for case in cases)
    found = []
    if alone:
        found.append(
            f"{alone} of {sum(len(case.rows) for case in cases)} slides have no case_id and are taken for a case each; "
            "where slides share a patient, intervals are too narrow."
        )
    return found + [text for case in cases for text in _conflicts(case)]


def _conflicts(case: Case) -> Iterator[str]:
    for name in PROPERTIES:
        values = case.stated(name)
        if len(values) < 2:
            continue
        said = f"case {case.name}: its slides state several values of {name} ({', '.join(values)})"
        if name == "scanner":
            yield f"{said}; if they are scans of the same tissue, its figures count more than once."
        else:
            yield f"{said}; it stands under {MIXED}."


def _known(case: Case, column: str) -> bool:
    return any(row.get(column) is not None for row in case.read)


def _shares(case: Case) -> Row:
    n, n_amf = case.total("n_ok"), case.total("n_amf")
    expected = case.total("n_amf_expected")
    return {
        "amf_fraction": significant(n_amf / n) if n else None,
        "n_amf_expected": significant(expected) if _known(case, "n_amf_expected") else None,
        "amf_fraction_expected": significant(expected / n) if n else None,
        "amf_to_nmf_ratio": significant(n_amf / (n - n_amf)) if n > n_amf else None,
    }


def _densities(case: Case) -> Row:
    area = case.total("area_mm2")
    densities = {
        f"{name}_per_mm2": significant(case.total(f"n_{of}") / area) if area else None for name, of in _COUNTED
    }
    return {"area_mm2": significant(area) if _known(case, "area_mm2") else None} | densities


_COUNTED: Final = (("mf", "ok"), ("amf", "amf"))


def _hotspot(case: Case) -> Row:
    having = [row for row in case.read if row.get("hotspot_n") is not None]
    if not having:
        return {}
    densest = max(having, key=lambda row: row["hotspot_n"])  # the first of equal ones
    names = ("hotspot_n", "hotspot_n_amf", "hotspot_amf_fraction")
    return {"hotspot_slide_id": densest["slide_id"], **{name: densest[name] for name in names}}
