"""The AMF fraction of a slide in all its forms: each with its range, and with what that range claims and what not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wsiamf.report.reference import Reference
from wsiamf.report.wording import limits, limits_of, percent, percent_range

Summary = Mapping[str, Any]

INTERVAL95: Final = "interval95"
SAMPLING: Final = "sampling"
RANGE: Final = "range"
"""What a range is drawn as; only the first is called a 95 % interval."""
_STEP: Final = 0.1
_LEAST_END: Final = 0.2


@dataclass(frozen=True)
class FractionRow:
    """One way to have the fraction.

    Args:
        name: What it is.
        value: The number, or why there is none.
        between: The range in words; empty where there is none.
        meaning: What number and range say.
        at: Where its mark stands, 0 to 1; None for no mark.
        ends: Of the range's line.
        kind: How that is drawn.
        dots: Further marks.
    """

    name: str
    value: str
    between: str
    meaning: str
    at: float | None = None
    ends: tuple[float, float] | None = None
    kind: str = RANGE
    dots: tuple[float, ...] = ()


def fraction_rows(summary: Summary) -> list[FractionRow]:
    """Counted, expected, as each expert would have counted, after the classifier's errors; no row without figures.

    Args:
        summary: The content of ``summary.json``.
    """
    if summary["amf_fraction"] is None:
        return []
    rows = [_expected(summary), _counted(summary), _error_range(summary), _experts(summary), *_adjusted(summary)]
    return [row for row in rows if row is not None]


def axis_end(rows: Sequence[FractionRow], references: Sequence[Reference] = ()) -> float:
    """Where an axis from 0 ends that shows all of it: a tenth, at most 1."""
    places = [one.fraction for one in references]
    for row in rows:
        places += [*row.dots, *(row.ends or ()), *(() if row.at is None else (row.at,))]
    tenths = -(-max(places, default=0.0) * 1.02 // _STEP)
    return min(1.0, max(_LEAST_END, round(tenths * _STEP, 1)))


def ticks(end: float) -> list[tuple[str, str]]:
    """(place in per cent of the axis, label) of the axis' ticks."""
    step = 0.05 if end <= 0.25 else 0.1 if end <= 0.6 else 0.2
    n = int(end / step + 1e-9)
    return [(place(k * step, end), f"{100 * k * step:.0f}") for k in range(n + 1)]


def place(share: float, end: float) -> str:
    """A share as a place on an axis from 0 to ``end``, as SVG takes it."""
    return f"{round(100 * min(share, end) / end, 2):g}%"


def _counted(summary: Summary) -> FractionRow:
    low, high = limits_of(summary, "amf_fraction_sampling_interval")
    thresholds = summary["thresholds"]
    return FractionRow(
        "Counted at the threshold",
        percent(summary["amf_fraction"]),
        f"sampling interval {percent_range(low, high)}",
        f"{summary['n_amf']:,} AMF of {summary['n_ok']:,} figures, called at a probability of "
        f"{thresholds['p_atypical']:g} or more (threshold “{thresholds['name']}”). The sampling interval (Wilson, "
        "nominal level 95 %) covers the sampling of figures alone, not the classifier's errors: it holds what the "
        "experts' majority counts less often than 95 % of the time.",
        at=summary["amf_fraction"],
        ends=(low, high),
        kind=SAMPLING,
    )


def _expected(summary: Summary) -> FractionRow:
    low, high = limits_of(summary, "amf_fraction_expected_interval95")
    counts = limits_of(summary, "n_amf_expected_interval95")
    return FractionRow(
        "Expected from the probabilities",
        percent(summary["amf_fraction_expected"]),
        f"95 % interval {percent_range(low, high)}",
        f"{summary['n_amf_expected']:.1f} AMF of {summary['n_ok']:,} figures ({counts[0]:.0f} to {counts[1]:.0f}), "
        "from the calibrated probabilities (Poisson-binomial): where the count of the experts' majority on these same "
        "figures lies, as far as the model's calibration holds on this slide. Its card says what was measured.",
        at=summary["amf_fraction_expected"],
        ends=(low, high),
        kind=INTERVAL95,
    )


def _error_range(summary: Summary) -> FractionRow:
    name = "After the classifier's known errors"
    found = summary["amf_fraction_error_range"]
    if found is None:
        return FractionRow(name, "–", "", f"Not given: {summary['amf_fraction_error_range_status']}.")  # noqa: RUF001
    low, high = limits_of(summary, "amf_fraction_error_range")
    return FractionRow(
        name,
        "",
        f"range {percent_range(low, high)}",
        f"The counted fraction corrected by the error rates measured on {found['low_domain']} (low end) and on "
        f"{found['high_domain']} (high end). It has no level: where your slides differ from those sets, the truth may "
        "lie outside.",
        ends=(low, high),
        kind=RANGE,
    )


def _experts(summary: Summary) -> FractionRow | None:
    shares = [summary[f"amf_fraction_expert_{k}"] for k, _ in enumerate(summary["experts"], start=1)]
    known = tuple(share for share in shares if share is not None)
    if not known:
        return None
    return FractionRow(
        "As each training expert would have counted",
        "",
        f"{len(known)} experts: {percent_range(min(known), max(known))}",
        "One mark an expert whose votes the model learned. They saw the same kind of figure and differ by this much: "
        "often more than any interval says.",
        dots=known,
    )


def _adjusted(summary: Summary) -> Iterator[FractionRow]:
    found = summary["amf_fraction_error_adjusted"]
    if found is None:
        return
    ends = limits(found, "clipped_interval")
    own = found["error_rates"]
    yield FractionRow(
        "Corrected by your own error rates",
        percent(found["clipped"]),
        f"interval {percent_range(*ends)}" if ends else found["clipped_interval_status"],
        f"Rogan-Gladen, by the rates measured on {own['domain']} ({own['n_amf']:,} AMF, {own['n_nmf']:,} NMF). Its "
        "interval (nominal level 95 %) covers the sampling of figures and the uncertainty of those rates.",
        at=found["clipped"],
        ends=ends,
        kind=SAMPLING,
    )
