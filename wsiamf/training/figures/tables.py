"""Figures of a labelled predictions table, as tables.

Definitions are those of the MIDOG 2025 track 2 evaluation (``metrics``); intervals are 95 % bootstrap intervals over cases,
slides where no case is known, crops where no slide is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pandas as pd

from wsiamf.spec import ErrorRates
from wsiamf.summary.intervals import wilson
from wsiamf.training.figures.difficulty import hardness_by_votes, risk_coverage, risk_coverage_gain
from wsiamf.training.figures.interval_coverage import interval_coverage, verdicts
from wsiamf.training.figures.labelled_rows import (
    called,
    check_rows,
    column,
    domains,
    groups,
    has_folds,
    threshold_names,
)
from wsiamf.training.figures.metrics import (
    FIGURES,
    N_BINS,
    figures_with_intervals,
    missing_class,
    probability_bins,
    weighted_figures,
)
from wsiamf.training.figures.raters import by_rater, phase_agreement
from wsiamf.training.figures.resampling import Resampling, whole_sample
from wsiamf.training.figures.slide_agreement import held_out_slides, slide_agreement

SCHEMA: Final = "wsiamf.figures/1"
_DECIMALS: Final = 4


@dataclass(frozen=True)
class Figures:
    """Everything measured on one labelled predictions table; a table without rows could not be measured.

    A value that cannot be told is NaN, and its row's ``status`` says why; ``*_low`` and ``*_high`` are 95 % limits.

    Args:
        counts: ``n`` (crops), ``n_amf, n_predictions`` (more than n where several networks were asked), ``n_slides, n_groups,
            n_folds``.
        pooled: All rows, a row a threshold.
        by_fold: Each fold, their mean and standard deviation, at each threshold; without folds no rows.
        by_domain: Each domain at each threshold.
        by_votes: The hardness head by set and number of votes.
        by_rater: Heads and experts.
        phases: The phase head.
        reliability: Ten bins of ``p_atypical``.
        confusion: Counts at each threshold.
        risk_coverage: Balanced accuracy by the share that is kept.
        risk_coverage_gain: The same at four fifths, with intervals.
        slides: Held-out slides.
        slide_agreement: Slides' shares of AMF against the majority's.
        interval_coverage: Coverage of each printed interval.
        interval_verdicts: Which of them may be called 95 % intervals.
    """

    counts: Mapping[str, int]
    pooled: pd.DataFrame
    by_fold: pd.DataFrame
    by_domain: pd.DataFrame
    by_votes: pd.DataFrame
    by_rater: pd.DataFrame
    phases: pd.DataFrame
    reliability: pd.DataFrame
    confusion: pd.DataFrame
    risk_coverage: pd.DataFrame
    risk_coverage_gain: pd.DataFrame
    slides: pd.DataFrame
    slide_agreement: pd.DataFrame
    interval_coverage: pd.DataFrame
    interval_verdicts: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """Plain values, null for what cannot be told; the slides themselves stand in ``slides.csv`` alone."""
        tables = [one.name for one in fields(self) if one.name not in ("counts", "slides")]
        return {"schema": SCHEMA, **self.counts, **{name: _records(getattr(self, name)) for name in tables}}

    def at(self, threshold: str) -> dict[str, Any]:
        """The pooled figures at one threshold."""
        rows = self.pooled[self.pooled["threshold_name"] == threshold]
        return {str(name): value for name, value in rows.iloc[0].items()}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float):
        return round(float(value), _DECIMALS) + 0.0
    return value.item() if isinstance(value, np.generic) else value


def measure(table: pd.DataFrame, *, seed: int = 0, error_rates: Sequence[ErrorRates] = ()) -> Figures:
    """Measure a labelled predictions table.

    Args:
        table: One row a crop, as ``crossval`` and ``evaluate`` write it.
        seed: Of every bootstrap.
        error_rates: The model's own; left out: measured on the table, without each slide's fold.

    Raises:
        TrainingError: The table lacks a column or holds what is no label or no probability.
    """
    table = check_rows(table)
    slides = held_out_slides(table)
    coverage = interval_coverage(table, error_rates=error_rates)
    return Figures(
        counts=_counts(table),
        pooled=pd.DataFrame([_figures(table, name, seed) for name in threshold_names(table)]),
        by_fold=_by_fold(table),
        by_domain=_by_domain(table, seed),
        by_votes=hardness_by_votes(table, seed=seed),
        by_rater=by_rater(table, seed=seed),
        phases=phase_agreement(table, seed=seed),
        reliability=_reliability(table),
        confusion=pd.DataFrame([_confusion(table, name) for name in threshold_names(table)]),
        risk_coverage=risk_coverage(table),
        risk_coverage_gain=risk_coverage_gain(table, seed=seed),
        slides=slides,
        slide_agreement=slide_agreement(slides, seed=seed),
        interval_coverage=coverage,
        interval_verdicts=verdicts(coverage),
    )


def _counts(table: pd.DataFrame) -> dict[str, int]:
    crops = table.drop_duplicates(["set", "file"])
    return {
        "n": len(crops),
        "n_amf": int(crops["amf"].sum()),
        "n_predictions": len(table),
        "n_slides": len(table[["set", "slide"]].dropna().drop_duplicates()),
        "n_groups": len(table["group"].unique()),
        "n_folds": len(table["fold"].unique()) if has_folds(table) else 0,
    }


def _figures(table: pd.DataFrame, threshold: str, seed: int) -> dict[str, Any]:
    """Every figure of some rows at one threshold, with limits."""
    p, amf, cut_offs = (column(table, name) for name in ("p_atypical", "amf", f"threshold_{threshold}"))
    values, limits = figures_with_intervals(p, amf, cut_offs, Resampling(groups(table), seed=seed))
    row: dict[str, Any] = {"threshold_name": threshold, "threshold": float(cut_offs.mean()), "n": len(table)}
    row |= {"n_amf": int(amf.sum()), "n_groups": len(table["group"].unique())}
    for name, value, low, high in zip(FIGURES, values, *limits, strict=True):
        row |= {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
    return row | {"status": _status(table)}


def _status(table: pd.DataFrame) -> str:
    lacking = missing_class(column(table, "amf"))
    return f"{lacking}: balanced accuracy and AUC are not estimable" if lacking else "ok"


def _by_domain(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    parts = [(str(name), rows) for name, rows in table.groupby(domains(table), sort=True)]
    return pd.DataFrame(
        [
            {"domain": name} | _figures(rows, threshold, seed)
            for threshold in threshold_names(table)
            for name, rows in parts
        ]
    )


def _by_fold(table: pd.DataFrame) -> pd.DataFrame:
    """Folds, then their mean and standard deviation (n - 1), at each threshold; what a fold lacks a class for is left out."""
    if not has_folds(table):
        return pd.DataFrame()
    parts: list[pd.DataFrame] = []
    for threshold in threshold_names(table):
        folds = pd.DataFrame([_fold(str(fold), rows, threshold) for fold, rows in table.groupby("fold", sort=True)])
        figures = folds[list(FIGURES)]
        over = pd.DataFrame({"mean": figures.mean(), "sd": figures.std(ddof=1)}).T
        over = over.rename_axis("fold").reset_index().assign(threshold_name=threshold, status="ok")
        parts.append(pd.concat([folds, over], ignore_index=True))
    found = pd.concat(parts, ignore_index=True)
    return found.astype({"n": "Int64", "n_amf": "Int64"})


def _fold(fold: str, rows: pd.DataFrame, threshold: str) -> dict[str, Any]:
    p, amf, cut_offs = (column(rows, name) for name in ("p_atypical", "amf", f"threshold_{threshold}"))
    values = weighted_figures(p, amf, cut_offs, whole_sample(len(rows)))[0]
    row: dict[str, Any] = {"fold": fold, "threshold_name": threshold, "threshold": float(cut_offs.mean())}
    row |= {"n": len(rows), "n_amf": int(amf.sum())}
    return row | dict(zip(FIGURES, values.tolist(), strict=True)) | {"status": _status(rows)}


def _reliability(table: pd.DataFrame) -> pd.DataFrame:
    """Ten bins of equal width: n, mean probability and share of AMF with its Wilson interval; empty bins are left out."""
    p, amf = column(table, "p_atypical"), column(table, "amf")
    bins = probability_bins(p)
    rows = []
    for number in np.unique(bins):
        inside = bins == number
        low, high = wilson(int(amf[inside].sum()), int(inside.sum())) or (np.nan, np.nan)
        row = {"from": number / N_BINS, "to": (number + 1) / N_BINS, "n": int(inside.sum())}
        row |= {"mean_probability": p[inside].mean(), "amf_fraction": amf[inside].mean()}
        rows.append(row | {"amf_fraction_low": low, "amf_fraction_high": high})
    return pd.DataFrame(rows)


def _confusion(table: pd.DataFrame, threshold: str) -> dict[str, Any]:
    is_amf, amf = called(table, threshold), column(table, "amf") == 1
    return {
        "threshold_name": threshold,
        "amf_called_amf": int((amf & is_amf).sum()),
        "amf_called_nmf": int((amf & ~is_amf).sum()),
        "nmf_called_amf": int((~amf & is_amf).sum()),
        "nmf_called_nmf": int((~amf & ~is_amf).sum()),
    }
