"""The figures of many cases: ``cohort.json`` (schema ``wsiamf.cohort/1``).

Two figures that answer two questions, overall and by group, tumour and scanner: the *pooled* share, sum of AMF over sum of
figures, in which a case weighs as much as it has figures; and the *mean of the cases' shares*, in which every case with a
figure weighs the same. Their intervals come from drawing whole cases (``bootstrap``). Wilson's interval over pooled figures
takes figures of one case for independent, holds the truth far less often than it says, and is never given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from wsiamf.cohort.bootstrap import (
    COVERAGE,
    DRAWS,
    METHOD,
    Floats,
    drawn_totals,
    effective_cases,
    ratio_interval,
    why_no_interval,
)
from wsiamf.cohort.cases import INCOMPLETE, PROPERTIES, Case
from wsiamf.cohort.rows import FAILED, Row
from wsiamf.summary.intervals import LEVEL, MIN_CASES, MIN_EFFECTIVE_CASES
from wsiamf.summary.json_fields import NO_FIGURES, Fields, interval_fields, nullable, significant
from wsiamf.summary.slide_summary import FEW

COVERS: Final = "sampling of cases, not errors of the classifier"
POOLED: Final = "pooled_amf_fraction"
MEAN: Final = "mean_of_case_amf_fractions"
EXPECTED: Final = "pooled_amf_fraction_expected"

RULES: Final = {
    POOLED: "sum of AMF / sum of (AMF + NMF) over all cases",
    MEAN: "mean of amf_fraction over the cases with at least one figure, each of the same weight",
    EXPECTED: "sum of the calibrated probabilities / sum of (AMF + NMF) over all cases",
    "cases with a failed slide": "their other slides count; overall_complete_cases leaves these cases out",
    "by_group, by_tumor": "by what the case's slides state; `mixed` where they state several values",
    "by_scanner": "by slide: a case of several scanners counts under each with the slides of that scanner",
}


def interval_method(seed: int) -> Fields:
    """What is said once of all intervals."""
    return {
        "level": LEVEL,
        "method": METHOD,
        "resampled": "cases",
        "draws": DRAWS,
        "seed": seed,
        "min_cases": MIN_CASES,
        "min_effective_cases": MIN_EFFECTIVE_CASES,
        "covers": COVERS,
        "measured_coverage": COVERAGE,
    }


def flow_fields(rows: Sequence[Row], cases: Sequence[Case]) -> Fields:
    """How many slides and cases are left after each step."""
    read = [row for row in rows if row.get("backend") is not None]
    return {
        "slides_listed": len(rows),
        "slides_failed": sum(row["status"] == FAILED for row in rows),
        "slides_read": len(read),
        "slides_with_candidates": sum(row["n_candidates"] > 0 for row in read),
        "slides_with_figures": sum(row["n_ok"] > 0 for row in read),
        f"slides_with_{FEW}_figures_or_more": sum(row["n_ok"] >= FEW for row in read),
        "cases": len(cases),
        "cases_incomplete": sum(case.status == INCOMPLETE for case in cases),
        "cases_with_figures": sum(case.total("n_ok") > 0 for case in cases),
    }


def figure_fields(cases: Sequence[Case], *, seed: int) -> Fields:
    """Overall, of complete cases alone, and by group, tumour and scanner."""
    complete = [case for case in cases if case.status != INCOMPLETE]
    fields: Fields = {
        "overall": stratum_fields(cases, seed=seed),
        "overall_complete_cases": stratum_fields(complete, seed=seed),
    }
    for name in PROPERTIES:
        strata = _by_slide(cases, name) if name == "scanner" else _by_case(cases, name)
        found = [{name: value, **stratum_fields(some, seed=seed)} for value, some in strata] or None
        fields |= nullable(f"by_{name}", found, f"the manifest states no {name}")
    return fields


def stratum_fields(cases: Sequence[Case], *, seed: int) -> Fields:
    """Counts and shares of some cases, each share with its interval."""
    counted = sorted((case for case in cases if case.total("n_ok")), key=lambda case: (case.name, case.is_slide))
    n_amf, n = _totals(counted, "n_amf"), _totals(counted, "n_ok")
    fields: Fields = {
        "n_slides": sum(len(case.rows) for case in cases),
        "n_cases": len(cases),
        "n_cases_incomplete": sum(case.status == INCOMPLETE for case in cases),
        "n_cases_with_figures": len(counted),
        "n_ok": int(n.sum()),
        "n_amf": int(n_amf.sum()),
        "n_nmf": int(n.sum() - n_amf.sum()),
    }
    if not counted:
        return fields | _without_figures()
    ones = np.ones(len(counted))
    ratios = {POOLED: (n_amf, n), MEAN: (n_amf / n, ones), EXPECTED: (_totals(counted, "n_amf_expected"), n)}
    drawn = _drawn_ratios(list(ratios.values()), seed) if len(counted) >= MIN_CASES else {}
    for k, (name, (numerators, denominators)) in enumerate(ratios.items()):
        fields |= _ratio_fields(name, numerators, denominators, drawn.get(k))
    return fields


def _without_figures() -> Fields:
    fields: Fields = {}
    for name in (POOLED, MEAN, EXPECTED):
        fields |= nullable(name, None, NO_FIGURES) | nullable(f"{name}_interval95", None, NO_FIGURES)
    return fields


def _ratio_fields(name: str, numerators: Floats, denominators: Floats, drawn: Floats | None) -> Fields:
    value = significant(float(numerators.sum() / denominators.sum()))
    effective = effective_cases(numerators, denominators)
    reason = why_no_interval(len(numerators), effective)
    found = None
    if reason is None and drawn is not None:
        more = {"n_cases": len(numerators), "effective_n_cases": significant(effective)}
        found = interval_fields(ratio_interval(drawn, effective), METHOD, COVERS, **more)
    return nullable(name, value, NO_FIGURES) | nullable(f"{name}_interval95", found, reason or "")


def _drawn_ratios(ratios: Sequence[tuple[Floats, Floats]], seed: int) -> dict[int, Floats]:
    """Every ratio in every draw; all of them from the same draws."""
    columns = [column for pair in ratios for column in pair]
    totals_BK = drawn_totals(np.column_stack(columns), seed=seed)
    return {k: totals_BK[:, 2 * k] / totals_BK[:, 2 * k + 1] for k in range(len(ratios))}


def _totals(cases: Sequence[Case], column: str) -> Floats:
    return np.array([case.total(column) for case in cases], dtype=np.float64)


def _by_case(cases: Sequence[Case], name: str) -> list[tuple[str | None, list[Case]]]:
    """Cases by a property of theirs; empty where none has it."""
    return _strata((case.value(name), case) for case in cases)


def _by_slide(cases: Sequence[Case], name: str) -> list[tuple[str | None, list[Case]]]:
    """Cases by a property of their slides, each with the slides of one value."""
    parts: list[tuple[str | None, Case]] = []
    for case in cases:
        values = dict.fromkeys(row[name] for row in case.rows)
        parts += [(value, case.of([row for row in case.rows if row[name] == value])) for value in values]
    return _strata(parts)


def _strata(parts: Iterable[tuple[str | None, Case]]) -> list[tuple[str | None, list[Case]]]:
    """By value, sorted, what is not stated last."""
    gathered: dict[str | None, list[Case]] = {}
    for value, case in parts:
        gathered.setdefault(value, []).append(case)
    if set(gathered) <= {None}:
        return []
    return sorted(gathered.items(), key=lambda pair: (pair[0] is None, pair[0] or ""))
