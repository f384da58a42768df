"""What the reviewed worklist says of all figures: mitotic figures, AMF, their fraction and the detector's precision.

*Population.* The figures of these slides (the rows that count), as readers would label all of them by the same rules; figures
that the points missed are no part of it, and are counted apart. ``*_interval95`` is about that finite population: if all its
figures were answered, would the number lie within? ``*_interval95_of_cases``, given for the two shares, is about cases like
these: it adds how cases differ, and needs ten of them.

*Method.* Figures of the stratum ``certain`` are known and add no variance; for the others the answers of the random sample
are weighted, with the model's probability and the detector's score as helpers (``review.sampling`` has the formulas). Variances
are linearised, the wider of the design's own and one that sums residuals by case; intervals are Wilson's with the effective
sample size and Student's t, so that shares stay in [0, 1]. ``benchmarks/review_coverage.py`` measures what they cover.

*Which answers.* The rows of the worklist up to the first that nobody answered: these are a valid worklist of their own, with
inclusion probabilities of their own (``review.worklist``). Answers to other figures change the recount and never the
estimates, since what a reader picks out is no random sample.

*Unresolved.* What readers could not tell or did not agree on is neither AMF nor NMF nor non-mitotic: it leaves the counts, and
the denominator of the precision. Bounds give each estimate were all of them AMF, all NMF, all non-mitotic, those of the
sample standing for their like among the figures that nobody looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from wsiamf.classes import AMF, NMF, NON_MITOTIC
from wsiamf.review.answers import FIGURE
from wsiamf.review.sampling import Flags, Floats, Sample, Spread, share_interval
from wsiamf.review.settling import Settled
from wsiamf.review.worklist import Worklist, figures_hash, first_rows
from wsiamf.summary.intervals import Interval, clip_share
from wsiamf.summary.json_fields import Fields, interval_fields, nullable, significant

MIN_RANDOM: Final = 20
"""Fewer answers to randomly drawn figures estimate nothing."""
_METHOD: Final = "GREG, linearised variance, Wilson with effective sample size and Student's t"
_METHOD_CASES: Final = "the same, variance between cases of what is known and estimated of each"
_COVERS: Final = "the figures of these slides, were all of them answered"
_COVERS_CASES: Final = "cases like these, drawn anew with their figures"
_FEW_CASES: Final = "not estimable: fewer than 10 cases, or too few bear on it"
_NO_FIGURES: Final = "not estimable: no answer says that a figure is mitotic"
_NONE_LEFT: Final = "not estimable: every answer is unresolved"
_REASONS: Final = {"amf_fraction": _NO_FIGURES, "precision": _NONE_LEFT}
_AUXILIARY: Final = ("p_atypical", "score")
_NAMES: Final = ("n_mf", "n_amf", "n_nmf", "amf_fraction", "precision")
_SHARES: Final = ("amf_fraction", "precision")


@dataclass(frozen=True)
class Design:
    """Which figures the estimates use, over the N candidates of the settled table.

    Args:
        certain: (N,) Whether a figure's inclusion probability is 1.
        sampled: (N,) Whether it is in the random sample.
        probability: (N,) Inclusion probability of each candidate.
        n_used: Rows of the worklist in use.
        first_unanswered: The worklist's row (from 1) at which they end; None where all were answered.
        n_beyond: Answered rows after that, which are not used.
        reason: Why nothing can be estimated; None where something can.
    """

    certain: Flags
    sampled: Flags
    probability: Floats
    n_used: int
    first_unanswered: int | None
    n_beyond: int
    reason: str | None = None

    def drawn(self, row: int) -> tuple[str | None, float | None]:
        """Stratum (``certain`` or ``random``) and inclusion probability of a row of the settled table; None for others."""
        if row >= len(self.certain) or not (self.certain[row] or self.sampled[row]):
            return None, None
        return "certain" if self.certain[row] else "random", float(self.probability[row])


def answered_design(settled: Settled, worklist: Worklist | None) -> Design:
    """The sample that was answered.

    Args:
        settled: Of ``settling.settle``.
        worklist: The one that was worked through; None for none.
    """
    figures = settled.table[settled.table["kind"] == FIGURE]
    nothing = np.zeros(len(figures), dtype=bool)
    if worklist is None:
        return Design(nothing, nothing, nothing.astype(float), 0, None, 0, "not estimable: there is no worklist")
    if figures_hash(figures) != worklist.figures_sha256:
        reason = "not estimable: the figures are not those that the worklist was drawn from; make the worklist anew"
        return Design(nothing, nothing, nothing.astype(float), 0, None, 0, reason)
    row_of = {key: row for row, key in enumerate(zip(figures["slide_id"], figures["uuid"], strict=True))}
    keys = zip(worklist.table["slide_id"], worklist.table["uuid"], strict=True)
    rows = np.array([row_of[key] for key in keys], dtype=np.int64)
    answered = figures["reviewed"].to_numpy(dtype=bool)[rows]
    n_used = len(rows) if answered.all() else int(np.argmin(answered))
    part = first_rows(worklist.table, n_used, len(figures))
    certain, sampled = nothing.copy(), nothing.copy()
    certain[rows[:n_used][part.certain]] = True
    sampled[rows[:n_used][~part.certain]] = True
    probability = np.where(certain, 1.0, part.probability)
    gap = None if answered.all() else n_used + 1
    return Design(certain, sampled, probability, n_used, gap, int(answered[n_used:].sum()))


def estimate(settled: Settled, design: Design, *, by_slide: bool = True) -> dict[str, Any]:
    """Estimates for all slides together and for each slide that has enough random answers.

    Args:
        settled: Of ``settling.settle``.
        design: Which figures were drawn how (``answered_design``).
        by_slide: Whether to look at each slide by itself, too.

    Returns:
        ``covers``, ``method``, ``n_rows_used``, ``first_unanswered_row``, ``n_answers_beyond``, ``all`` and ``slides`` (by
        slide_id). Each scope has ``n_candidates``, ``n_certain``, ``n_random``, ``n_unresolved`` and ``n_cases`` of the answers
        in use, and ``n_mf``, ``n_amf``, ``n_nmf``, ``amf_fraction``, ``precision``, each with its ``_status``, ``_interval95``
        and ``_bounds``, the shares of all slides with ``_interval95_of_cases``, too. What cannot be estimated is null.
    """
    figures = settled.table[settled.table["kind"] == FIGURE].reset_index(drop=True)
    rows = figures.groupby("slide_id").indices
    names = settled.slide_ids if by_slide else ()
    scopes = {name: np.asarray(rows.get(name, []), dtype=np.int64) for name in names}
    return {
        "covers": _COVERS,
        "method": _METHOD,
        "n_rows_used": design.n_used,
        **nullable("first_unanswered_row", design.first_unanswered, "every row of the worklist is answered"),
        "n_answers_beyond": design.n_beyond,
        "all": _scope(figures, design, np.arange(len(figures)), of_cases=True),
        "slides": {name: _scope(figures, design, own, of_cases=False) for name, own in scopes.items()},
    }


def _scope(figures: pd.DataFrame, design: Design, rows: np.ndarray, *, of_cases: bool) -> Fields:
    own = figures.iloc[rows]
    certain, sampled = design.certain[rows], design.sampled[rows]
    used = certain | sampled
    cases = own["case_id"].astype(object).where(own["case_id"].notna(), own["slide_id"])
    fields = {
        "n_candidates": len(own),
        "n_certain": int(certain.sum()),
        "n_random": int(sampled.sum()),
        "n_unresolved": int(own["final_label"].isna().to_numpy()[used].sum()),
        "n_cases": int(cases.nunique()),
    }
    reason = design.reason or _too_few(int(sampled.sum()), len(own), int(used.sum()))
    if reason is not None:
        return fields | _nothing(reason, of_cases=of_cases)
    auxiliary = own[[name for name in _AUXILIARY if name in own]].to_numpy(dtype=np.float64)
    sample = Sample(auxiliary, certain, sampled, cases.factorize()[0])
    return fields | _estimates(sample, own["final_label"], used, of_cases=of_cases)


def _too_few(n_random: int, n_figures: int, n_used: int) -> str | None:
    if n_figures == 0:
        return "not estimable: no figure counts"
    if n_used < n_figures and n_random < MIN_RANDOM:
        return f"not estimable: {n_random} answers to randomly drawn figures, {MIN_RANDOM} are needed"
    return None


def _nothing(reason: str, *, of_cases: bool) -> Fields:
    fields: Fields = {}
    for name in _NAMES:
        fields |= nullable(name, None, reason) | nullable(f"{name}_interval95", None, reason)
        fields |= nullable(f"{name}_bounds", None, reason)
        if of_cases and name in _SHARES:
            fields |= nullable(f"{name}_interval95_of_cases", None, reason)
    return fields


def _estimates(sample: Sample, labels: pd.Series, used: Flags, *, of_cases: bool) -> Fields:
    known = _Variables.of(labels)
    points = known.points(sample)
    bounds = {
        f"all_{label.lower().replace('-', '_')}": _Variables.of(labels.where(labels.notna(), label)).points(sample)
        for label in (AMF, NMF, NON_MITOTIC)
    }
    fields: Fields = {}
    for name in _NAMES:
        numerator, denominator = known.parts(name)
        reason = _REASONS.get(name, "")
        of_name = _Interval(sample, numerator, denominator, points[name], used)
        fields |= nullable(name, points[name], reason)
        fields |= nullable(f"{name}_interval95", interval_fields(of_name.of_these(), _METHOD, _COVERS), reason)
        fields |= nullable(f"{name}_bounds", {scenario: values[name] for scenario, values in bounds.items()}, reason)
        if of_cases and name in _SHARES:
            interval = interval_fields(of_name.of_cases(), _METHOD_CASES, _COVERS_CASES)
            fields |= nullable(f"{name}_interval95_of_cases", interval, reason if points[name] is None else _FEW_CASES)
    return fields


@dataclass(frozen=True)
class _Variables:
    """What is summed, (N,) each of 0 and 1; of figures that nobody looked at whatever stands there, which is not used."""

    amf: Floats
    nmf: Floats
    resolved: Floats

    @classmethod
    def of(cls, labels: pd.Series) -> _Variables:
        amf, nmf = ((labels == name).to_numpy(dtype=bool).astype(np.float64) for name in (AMF, NMF))
        return cls(amf, nmf, labels.notna().to_numpy(dtype=bool).astype(np.float64))

    def parts(self, name: str) -> tuple[Floats, Floats | None]:
        """Numerator and denominator of an estimate; None where it is a number of figures."""
        figures = self.amf + self.nmf
        return {
            "n_mf": (figures, None),
            "n_amf": (self.amf, None),
            "n_nmf": (self.nmf, None),
            "amf_fraction": (self.amf, figures),
            "precision": (figures, self.resolved),
        }[name]

    def points(self, sample: Sample) -> dict[str, float | None]:
        """Every estimate; None where its denominator is."""
        return {name: _point(sample, *self.parts(name)) for name in _NAMES}


def _point(sample: Sample, numerator: Floats, denominator: Floats | None) -> float | None:
    total = sample.total(numerator)
    if denominator is None:
        return significant(_clipped(total, sample.possible(numerator)))
    below = sample.total(denominator)
    return significant(clip_share(total / below)) if below > 0 else None


def _clipped(total: float, possible: tuple[float, float]) -> float:
    least, most = possible
    return min(max(total, least), most)


@dataclass(frozen=True)
class _Interval:
    """The intervals of one estimate."""

    sample: Sample
    numerator: Floats
    denominator: Floats | None
    point: float | None
    used: Flags

    def of_these(self) -> Interval | None:
        """Of these slides' figures."""
        if self.point is None:
            return None
        if self.denominator is None:
            return self._of_number()
        residual, unit = self._linearised(self.denominator)
        return share_interval(self.point, self.sample.spread(residual, unit=unit), self._n_answers(self.denominator))

    def of_cases(self) -> Interval | None:
        """Of a share in cases like these."""
        if self.point is None or self.denominator is None:
            return None
        residual, unit = self._linearised(self.denominator)
        spread = self.sample.spread_of_cases(residual, unit=unit)
        return None if spread is None else share_interval(self.point, spread, self._n_answers(self.denominator))

    def _of_number(self) -> Interval:
        """The certain figures, and the interval of the share of the others times their number; never what is impossible."""
        sample, known = self.sample, float(self.numerator[self.sample.certain].sum())
        assert self.point is not None, "a number is always estimated"
        if not sample.n_others:
            return known, known
        spread = sample.spread(self.numerator)
        of_share = Spread(spread.variance / sample.n_others**2, spread.freedom)
        low, high = share_interval((self.point - known) / sample.n_others, of_share, sample.n)
        possible = sample.possible(self.numerator)
        return _clipped(known + sample.n_others * low, possible), _clipped(known + sample.n_others * high, possible)

    def _linearised(self, denominator: Floats) -> tuple[Floats, float]:
        below = self.sample.total(denominator)
        assert self.point is not None, "a share without a point has no interval"
        return (self.numerator - self.point * denominator) / below, 1 / below

    def _n_answers(self, denominator: Floats) -> int:
        return int(denominator[self.used].sum())
