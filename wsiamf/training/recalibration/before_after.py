"""What a new calibration changed on the same figures: before, after, and the difference, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.bundle import Bundle
from wsiamf.spec import ModelSpec
from wsiamf.training.conformal import coverage, coverage_lines, cross_fitted_sets
from wsiamf.training.figures.metrics import FIGURES, weighted_figures
from wsiamf.training.figures.resampling import Resampling, Statistic, whole_sample

Floats = NDArray[np.float64]

BRIER: Final = "Brier score"
_BY_THRESHOLD: Final = ("balanced_accuracy", "sensitivity", "specificity")
_THRESHOLDS: Final = ("balanced", "count")
_NAMES: Final = (
    BRIER,
    "expected calibration error",
    "mean p",
    "mean p - observed AMF share",
    *(f"{name.replace('_', ' ')} at `{threshold}`" for threshold in _THRESHOLDS for name in _BY_THRESHOLD),
)
_DECIMALS: Final = 4
_CONFORMAL_ERROR: Final = 0.1
_CARD_HEAD: Final = """\
## Recalibrated: {spec.name}

The weights are those of `{parent.title}` (sha256 {parent.sha256}).
Calibration and thresholds were refitted on {n} figures ({n_amf} AMF) of {n_groups} slides or cases of {domain}. They take the
place of those above, and so do the error rates: p = sigmoid({spec.calibration.a:.4f} z {spec.calibration.b:+.4f}), balanced
{spec.thresholds.balanced}, count {spec.thresholds.count}, hard {spec.thresholds.hard}.

Before: the parent's calibration and thresholds. After: refitted on other slides or cases than the figure's own. Intervals: 95 %
bootstrap over slides or cases. In a word: {verdict}.

{table}

Conformal sets (column `conformal`).
"""


@dataclass(frozen=True)
class Value:
    """A figure with its 95 % bootstrap interval over groups."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Three decimals, the interval in brackets."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Change:
    """One figure under the old and the new calibration, and the difference of the same draws."""

    name: str
    before: Value
    after: Value
    difference: Value

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to four decimals."""
        values = {key: getattr(self, key) for key in ("before", "after", "difference")}
        rounded = {key: {k: round(v, _DECIMALS) for k, v in asdict(one).items()} for key, one in values.items()}
        return {"name": self.name, **rounded}


def compare(before: pd.DataFrame, after: pd.DataFrame, *, seed: int = 0) -> tuple[Change, ...]:
    """Compare two decided tables of labelled predictions with the same rows.

    Args:
        before: With ``amf, group, p_atypical, threshold_balanced, threshold_count``.
        after: The same figures under another calibration.
        seed: Of the bootstrap.
    """
    resampling = Resampling(before["group"].to_numpy(dtype=str), seed=seed)
    old, new = _statistic(before), _statistic(after)
    columns = [_values(one, resampling, len(before)) for one in (old, new, lambda weights: new(weights) - old(weights))]
    return tuple(Change(name, *values) for name, *values in zip(_NAMES, *columns, strict=True))


def change_lines(changes: Sequence[Change]) -> Iterator[str]:
    """A Markdown table."""
    yield "| | before | after | change |\n| --- | --- | --- | --- |"
    for one in changes:
        yield f"| {one.name} | {one.before} | {one.after} | {one.difference} |"


def verdict(changes: Sequence[Change]) -> str:
    """What became of the Brier score, in a sentence."""
    brier = next(one for one in changes if one.name == BRIER)
    found = (
        f"on slides or cases that it was not fitted on, the Brier score went from {brier.before} to {brier.after}, "
        f"a change of {brier.difference}"
    )
    if brier.difference.value >= 0:
        return f"the refit does not improve on the parent: {found}; keep the parent, or label more figures"
    if brier.difference.high >= 0:
        return f"the refit is better, but by less than chance allows for: {found}"
    return f"the refit is better: {found}"


def card_section(parent: Bundle, spec: ModelSpec, after: pd.DataFrame, changes: Sequence[Change]) -> str:
    """What a recalibrated model's card says below its parent's.

    Args:
        parent: The model that was recalibrated.
        spec: The new one.
        after: The figures under the cross-fitted decision.
        changes: What ``compare`` found.
    """
    domain, amf, groups = str(after["set"].iloc[0]), _floats(after, "amf"), after["group"].to_numpy(dtype=str)
    said = cross_fitted_sets(_floats(after, "p_atypical"), amf, after["fold"].to_numpy(dtype=int), _CONFORMAL_ERROR)
    head = _CARD_HEAD.format(
        spec=spec,
        parent=parent,
        n=len(after),
        n_amf=int(amf.sum()),
        n_groups=len(np.unique(groups)),
        domain=domain,
        verdict=verdict(changes),
        table="\n".join(change_lines(changes)),
    )
    return "\n".join([head.rstrip(), *coverage_lines(_CONFORMAL_ERROR, [(domain, coverage(said, amf, groups))]), ""])


def _statistic(table: pd.DataFrame) -> Statistic:
    """Row weights to the figures named in ``_NAMES``, a row a draw."""
    p, amf = _floats(table, "p_atypical"), _floats(table, "amf")
    cut_offs = [_floats(table, f"threshold_{threshold}") for threshold in _THRESHOLDS]

    def statistic(weights_BN: Floats) -> Floats:
        found = [dict(zip(FIGURES, weighted_figures(p, amf, cut, weights_BN).T, strict=True)) for cut in cut_offs]
        first = found[0]
        bias = first["mean_probability"] - first["amf_fraction"]
        called = [one[name] for one in found for name in _BY_THRESHOLD]
        return np.stack([first["brier"], first["ece"], first["mean_probability"], bias, *called], axis=1)

    return statistic


def _values(statistic: Statistic, resampling: Resampling, n: int) -> list[Value]:
    limits = resampling.interval(statistic)
    return [Value(*map(float, one)) for one in zip(statistic(whole_sample(n))[0], *limits, strict=True)]


def _floats(table: pd.DataFrame, column: str) -> Floats:
    return table[column].to_numpy(dtype=np.float64)
