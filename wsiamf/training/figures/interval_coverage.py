"""The measured coverage of every interval that ``summary.json`` prints for a slide.

Each interval is computed by the very functions that print it and held against three truths:

- *the majority's, of these figures*: what the experts' majority counted on the same figures, which is what a reader takes an
  interval for. No figure is sampled here, so all that can go wrong is the classifier's doing.
- *the majority's, of the slide*: the slide's figures are taken for all there are; n of them are drawn with replacement (for a
  density: a Poisson number about n), the interval is computed from the draw, and the truth is the majority's share (count) in
  the whole. Sampling and the classifier's errors both count. Exact: a draw matters only by its number of AMF calls, which is
  binomial (Poisson), so coverage is a sum over that number and nothing is simulated. The slide's errors are taken as they are;
  on a slide of many more figures chance errors would even out further.
- *the model's, of the slide*: the same with the model's own share for truth. This is all that an interval for sampling alone
  claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from wsiamf.spec import ErrorRates
from wsiamf.summary.estimates import (
    density_fields,
    error_adjusted_fields,
    error_range_fields,
    expected_fields,
    fraction_fields,
)
from wsiamf.summary.intervals import Interval, wilson
from wsiamf.training.figures.labelled_rows import called, column, domains, parts
from wsiamf.training.figures.metrics import missing_class, weighted_figures
from wsiamf.training.figures.resampling import Floats, Resampling, whole_sample
from wsiamf.training.figures.slide_agreement import MIN_FIGURES, class_name, class_of_n, rows_of_slides

HERE: Final = "majority, these figures"
WHOLE: Final = "majority, whole slide"
MODEL: Final = "model, whole slide"
ALL: Final = "all"
ENOUGH: Final = 0.90
"""An interval of lower coverage is not called a 95 % interval."""
THRESHOLDS: Final = ("count", "balanced")

_CLASSES: Final = tuple(range(len(MIN_FIGURES)))
_DRAWN: Final = (3, 7, 15, 30)  # how many figures are drawn for each class of n
_MIN_WHOLE: Final = 20  # figures that a slide needs to be taken for all there are
_MIN_SLIDES: Final = 5
_SLIDES_TO_JUDGE: Final = 20  # of fewer, one slide more or less decides
_ROUNDING: Final = 1e-5  # limits are printed with six significant digits
_NEGLIGIBLE: Final = 1e-9


@dataclass(frozen=True)
class Printed:
    """One interval of ``summary.json``.

    Args:
        field: Its name there.
        claims: Which of the three truths it claims to cover.
        is_count: Whether it is of a count (in an area of 1), not of a share.
    """

    field: str
    claims: str
    is_count: bool = False

    def limits(self, n_amf: int, n: int, rates: tuple[ErrorRates, ...], own: ErrorRates | None) -> Interval | None:
        """What is printed for ``n_amf`` AMF among ``n`` figures; None for none."""
        of_range, of_adjusted = self.field == ERROR_RANGE.field, self.field == ADJUSTED.field
        return _limits(self.field, n_amf, n, rates if of_range else (), own if of_adjusted else None)


FRACTION: Final = Printed("amf_fraction_sampling_interval", MODEL)
DENSITY: Final = Printed("amf_per_mm2_sampling_interval", MODEL, is_count=True)
ERROR_RANGE: Final = Printed("amf_fraction_error_range", WHOLE)
ADJUSTED: Final = Printed("amf_fraction_error_adjusted", WHOLE)
EXPECTED: Final = Printed("n_amf_expected_interval95", HERE, is_count=True)
BY_CALLS: Final = (FRACTION, DENSITY, ERROR_RANGE, ADJUSTED)
UNMEASURED: Final = {
    "mf_per_mm2_sampling_interval": "labelled crops tell no area, and no one says how many figures a slide should have",
    "hotspots[].*_sampling_interval": "a hotspot is chosen by its count; labelled crops are not, and tell no area",
}


@lru_cache(maxsize=1 << 16)  # slides of a fold share their rates, and the adjusted interval takes thousands of draws
def _limits(field: str, n_amf: int, n: int, rates: tuple[ErrorRates, ...], own: ErrorRates | None) -> Interval | None:
    if field == FRACTION.field:
        return _pair(fraction_fields(n_amf, n)[field])
    if field == DENSITY.field:
        return _pair(density_fields("amf", n_amf, 1.0)[field])
    if field == ERROR_RANGE.field:
        return _pair(error_range_fields(n_amf, n, rates)[field])
    adjusted = error_adjusted_fields(n_amf, n, own, seed=0)[field]
    return None if adjusted is None else _pair(adjusted["clipped_interval"])


def _pair(fields: dict[str, Any] | None) -> Interval | None:
    return None if fields is None else (fields["low"], fields["high"])


@dataclass(frozen=True)
class _Slide:
    """One slide's figures, and the error rates that a user would have had for it: measured without it."""

    p_atypical: Floats
    n: int
    n_amf: int
    n_called: dict[str, int]
    rates: dict[str, tuple[ErrorRates, ...]]
    own: dict[str, ErrorRates | None]


def interval_coverage(table: pd.DataFrame, *, error_rates: Sequence[ErrorRates] = ()) -> pd.DataFrame:
    """Coverage of every printed interval, by truth and by number of figures.

    Args:
        table: Labelled predictions.
        error_rates: The model's own, for ``amf_fraction_error_range``; without them they are measured on the other parts of the
            table, one a domain. Those of ``amf_fraction_error_adjusted`` always are, over all domains.

    Returns:
        ``interval, threshold_name, truth, claimed`` (whether this truth is what the interval claims to cover), ``figures``
        (1-4 .. 20+, or all), ``n_slides``, ``coverage`` with limits (Wilson over slides; bootstrap where coverages are
        shares), ``mean_width``, ``status``.
    """
    slides = list(_slides(table, error_rates))
    if not slides:
        return pd.DataFrame()
    rows = [_row(EXPECTED, "", HERE, place, _expected_hits(slides, place)) for place in (*_CLASSES, None)]
    for threshold in THRESHOLDS:
        for printed in BY_CALLS:
            for truth in (HERE, WHOLE) if printed.claims == WHOLE else (HERE, WHOLE, MODEL):
                for place in (*_CLASSES, None) if truth == HERE else _CLASSES:
                    hits = _hits(printed, threshold, truth, slides, place)
                    rows.append(_row(printed, threshold, truth, place, hits))
    return pd.DataFrame(rows)


def _slides(table: pd.DataFrame, error_rates: Sequence[ErrorRates]) -> Iterator[_Slide]:
    part_N, amf, p = parts(table), column(table, "amf"), column(table, "p_atypical")
    is_amf = {name: called(table, name) for name in THRESHOLDS}
    measured = {
        part: {name: _measured_rates(table[part_N != part], name) for name in THRESHOLDS} for part in np.unique(part_N)
    }
    for rows in rows_of_slides(table):
        by_domain, own = zip(*(measured[part_N[rows[0]]][name] for name in THRESHOLDS), strict=True)
        yield _Slide(
            p_atypical=p[rows],
            n=len(rows),
            n_amf=int(amf[rows].sum()),
            n_called={name: int(calls[rows].sum()) for name, calls in is_amf.items()},
            rates={
                name: tuple(one for one in error_rates if one.threshold == name) if error_rates else rates
                for name, rates in zip(THRESHOLDS, by_domain, strict=True)
            },
            own=dict(zip(THRESHOLDS, own, strict=True)),
        )


def _measured_rates(table: pd.DataFrame, threshold: str) -> tuple[tuple[ErrorRates, ...], ErrorRates | None]:
    """Error rates of each domain that has both classes, and of all rows together."""
    named = [(str(name), rows) for name, rows in table.groupby(domains(table), sort=True)]
    by_domain = (_rates(name, rows, threshold) for name, rows in named)
    return tuple(one for one in by_domain if one is not None), _rates("other parts", table, threshold)


def _rates(domain: str, rows: pd.DataFrame, threshold: str) -> ErrorRates | None:
    amf = column(rows, "amf")
    if not len(rows) or missing_class(amf):
        return None
    cut_offs = column(rows, f"threshold_{threshold}")
    _, sensitivity, specificity, *_ = weighted_figures(
        column(rows, "p_atypical"), amf, cut_offs, whole_sample(len(rows))
    )[0]
    return ErrorRates(
        domain=domain,
        threshold="count" if threshold == "count" else "balanced",
        n_amf=int(amf.sum()),
        n_nmf=int((1 - amf).sum()),
        sensitivity=float(sensitivity),
        specificity=float(specificity),
    )


Hits = list[tuple[float, float]]
"""Of each slide: whether (or with which probability) its interval covers, and the interval's (mean) width."""


def _in_class(slides: Sequence[_Slide], place: int | None) -> list[_Slide]:
    return [one for one in slides if place is None or class_of_n([one.n])[0] == place]


def _expected_hits(slides: Sequence[_Slide], place: int | None) -> Hits:
    hits = []
    for slide in _in_class(slides, place):
        limits = _pair(expected_fields(slide.p_atypical)[EXPECTED.field])
        if limits is not None:
            hits.append((_covers(limits, slide.n_amf), limits[1] - limits[0]))
    return hits


def _hits(printed: Printed, threshold: str, truth: str, slides: Sequence[_Slide], place: int | None) -> Hits:
    if truth == HERE:
        found = [_hit_here(printed, threshold, slide) for slide in _in_class(slides, place)]
    else:
        assert place is not None
        whole = [slide for slide in slides if slide.n >= _MIN_WHOLE]
        found = [_hit_whole(printed, threshold, truth, slide, _DRAWN[place]) for slide in whole]
    return [one for one in found if one is not None]


def _hit_here(printed: Printed, threshold: str, slide: _Slide) -> tuple[float, float] | None:
    limits = printed.limits(slide.n_called[threshold], slide.n, slide.rates[threshold], slide.own[threshold])
    if limits is None:
        return None
    return _covers(limits, slide.n_amf if printed.is_count else slide.n_amf / slide.n), limits[1] - limits[0]


def _hit_whole(printed: Printed, threshold: str, truth: str, slide: _Slide, drawn: int) -> tuple[float, float] | None:
    share_called = slide.n_called[threshold] / slide.n
    true_share = share_called if truth == MODEL else slide.n_amf / slide.n
    calls = stats.poisson(drawn * share_called) if printed.is_count else stats.binom(drawn, share_called)
    most = int(calls.ppf(1 - _NEGLIGIBLE)) if printed.is_count else drawn
    covered = width = total = 0.0
    for n_called, probability in enumerate(calls.pmf(np.arange(most + 1)).tolist()):
        if probability < _NEGLIGIBLE:
            continue
        limits = printed.limits(n_called, drawn, slide.rates[threshold], slide.own[threshold])
        if limits is None:
            return None
        covered += probability * _covers(limits, drawn * true_share if printed.is_count else true_share)
        width += probability * (limits[1] - limits[0])
        total += probability
    return covered / total, width / total


def _covers(limits: Interval, truth: float) -> float:
    return float(limits[0] - _ROUNDING <= truth <= limits[1] + _ROUNDING)


def _row(printed: Printed, threshold: str, truth: str, place: int | None, hits: Hits) -> dict[str, Any]:
    figures = ALL if place is None else class_name(place)
    if place is not None and truth != HERE:
        figures = f"{figures} (drawn: {_DRAWN[place]})"
    row: dict[str, Any] = {"interval": printed.field, "threshold_name": threshold, "truth": truth}
    row |= {"claimed": truth == printed.claims, "figures": figures, "n_slides": len(hits)}
    if len(hits) < _MIN_SLIDES:
        return row | {"status": f"fewer than {_MIN_SLIDES} slides with such an interval"}
    covered, widths = np.array(hits).T
    low, high = _limits_of_mean(covered)
    row |= {"coverage": float(covered.mean()), "coverage_low": low, "coverage_high": high}
    return row | {"mean_width": float(widths.mean()), "status": "ok" if widths.any() else "ok, but a single point"}


def _limits_of_mean(covered: Floats) -> tuple[float, float]:
    if np.isin(covered, (0, 1)).all():
        return wilson(int(covered.sum()), len(covered)) or (np.nan, np.nan)
    draws = Resampling(np.arange(len(covered)))
    low, high = draws.interval(lambda weights: weights @ covered / len(covered))
    return float(low), float(high)


def verdicts(coverage: pd.DataFrame) -> pd.DataFrame:
    """For each printed interval whether it may be called a 95 % interval: of what it claims, and of the majority's answer.

    Judged where coverage is lowest: over all slides, and in each class of n that has enough slides to be judged by.

    Returns:
        ``interval, threshold_name, truth, claimed, lowest_coverage, at_figures, n_slides, may_be_called_95`` and ``status``.
    """
    rows: list[dict[str, Any]] = []
    if "coverage" in coverage:
        judged = coverage[coverage["coverage"].notna() & (coverage["n_slides"] >= _SLIDES_TO_JUDGE)]
        for (interval, threshold, truth), some in judged.groupby(["interval", "threshold_name", "truth"], sort=False):
            worst = some.sort_values("coverage", kind="stable").iloc[0]
            row = {"interval": interval, "threshold_name": threshold, "truth": truth, "claimed": bool(worst["claimed"])}
            row |= {"lowest_coverage": float(worst["coverage"]), "at_figures": worst["figures"]}
            row["n_slides"] = int(worst["n_slides"])
            rows.append(row | {"may_be_called_95": bool(worst["coverage"] >= ENOUGH), "status": "ok"})
    rows += [{"interval": name, "status": f"not measured: {reason}"} for name, reason in UNMEASURED.items()]
    return pd.DataFrame(rows)
