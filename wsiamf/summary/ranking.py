"""The order in which a person should look at a slide's figures, and why each one.

``score = sum of weight x term`` over the rows that count; the highest is looked at first, ties go by the order of the
points file. Every term lies in [0, 1], 0 where its input is missing, and the weights sum to 1, so the score does too:

===================== ====== =====================================================================================
term                  weight value
===================== ====== =====================================================================================
hardness                0.30 ``p_hard``, the probability that experts disagreed about such a figure
disagreement            0.25 probability that two experts drawn at random vote differently: the mean over pairs of
                             expert heads of ``p_i (1 - p_j) + p_j (1 - p_i)``
nearness to threshold   0.25 ``exp(-|logit(p_atypical) - logit(threshold)|)``: 1 on the threshold, 0.37 one logit away
pair                    0.08 1 if another counted figure lies 7.5 to 15 um away: the two plates of one
                             anaphase-telophase figure, perhaps, detected as two
quality                 0.07 the larger of the crop's share outside the slide and its blur, ``1 - sharpness / (0.4 x
                             the slide's median)`` where that is positive
hotspot                 0.05 1 inside the first hotspot, where a changed answer changes the count that is reported
===================== ====== =====================================================================================

The reason names the terms that stand out, the weightiest first, each with its number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from wsiamf.statuses import OK
from wsiamf.summary.neighbours import nearest_beyond

HARDNESS_WEIGHT: Final = 0.30
DISAGREEMENT_WEIGHT: Final = 0.25
THRESHOLD_WEIGHT: Final = 0.25
PAIR_WEIGHT: Final = 0.08
QUALITY_WEIGHT: Final = 0.07
HOTSPOT_WEIGHT: Final = 0.05

PAIR_MIN_UM: Final = 7.5
"""Nearer detections are one figure already (the default of ``--merge-um``)."""
PAIR_MAX_UM: Final = 15.0
BLUR_SHARE: Final = 0.4
"""Of the slide's median sharpness; fewer than 1 in 1000 of AMi-Br's crops, which are in focus, fall below it."""
BLUR_MIN_ROWS: Final = 20
"""With fewer figures on the slide the median says too little to call one of them blurred."""

DISAGREEMENT_FROM: Final = 0.35
"""Named as a reason from here on: two heads at 0.23 and 0.23 reach it, two at 0.5 give 0.5, two at 0 and 1 give 1."""
NEARNESS_FROM: Final = 0.5
"""Named as a reason from here on: about 0.7 logits from the threshold."""
COVERAGE_BELOW: Final = 0.99
HARD_FROM: Final = 0.5
"""Cut-off on ``p_hard`` for a table without the column ``hard``."""

EXPERT_PREFIX: Final = "p_atypical_expert_"
_USED_COLUMNS: Final = frozenset(
    {"x_um", "y_um", "p_atypical", "p_hard", "crop_coverage", "in_hotspot", "hard", "sharpness"}
)
_P_EPSILON: Final = 1e-6  # keeps a logit finite
_ROWS_AT_A_TIME: Final = 8192  # reasons as text of Python, which takes more memory than a column

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class _Term:
    """One term of the score over the rows that count, and its words for a row (by its place among them)."""

    weight: float
    value: Floats
    stands_out: Flags
    words: Callable[[int], str]


def expert_columns_in(table: pd.DataFrame) -> list[str]:
    """Names of a predictions table's per-expert columns, in the order of ``ModelSpec.experts``."""
    names = [str(name) for name in table.columns if str(name).startswith(EXPERT_PREFIX)]
    return sorted(names, key=lambda name: int(name.removeprefix(EXPERT_PREFIX)))


def rank_for_review(table: pd.DataFrame, *, threshold: float) -> pd.DataFrame:
    """Fill ``review_rank`` and ``review_reason`` of a predictions table.

    Args:
        table: One row a candidate, in the order of the points file: ``status``, ``x_um``, ``y_um``, ``p_atypical``,
            ``p_hard``, ``p_atypical_expert_*``, ``crop_coverage``, ``in_hotspot``, and where they are known ``hard``
            (which rows the model's own cut-off calls hard) and ``sharpness`` (variance of the crop's Laplacian).
        threshold: The cut-off on ``p_atypical`` in use.

    Returns:
        A copy of the table: every row that counts (``status`` ok) has a rank from 1 and a reason, all others have null.
    """
    ranked = _counted(table)
    terms = _terms(ranked, threshold)
    order = np.argsort(-_score(terms, len(ranked)), kind="stable")
    rank = np.empty(len(ranked), dtype=np.int64)
    rank[order] = np.arange(1, len(ranked) + 1)
    return table.assign(
        review_rank=pd.Series(rank, index=ranked.index, dtype="Int64").reindex(table.index),
        review_reason=_reasons(ranked, terms).reindex(table.index),
    )


def review_score(table: pd.DataFrame, *, threshold: float) -> Floats:
    """The score that rows are ranked by; from a table read back the blur is left out, which is not kept.

    Args:
        table: As ``rank_for_review`` has it.
        threshold: The cut-off on ``p_atypical`` in use.

    Returns:
        (rows that count,) in [0, 1], in the order of the table.
    """
    ranked = _counted(table)
    return _score(_terms(ranked, threshold), len(ranked))


def pair_disagreement(probabilities: Floats) -> Floats:
    """Probability that two of K raters vote differently.

    Args:
        probabilities: (rows, K) probability of each rater calling the figure atypical.

    Returns:
        (rows,) mean over the pairs of raters, in [0, 1]; 0 where K is less than 2.
    """
    n_raters = probabilities.shape[1]
    total: Floats = np.zeros(len(probabilities))
    for i, j in combinations(range(n_raters), 2):
        total += probabilities[:, i] * (1 - probabilities[:, j]) + probabilities[:, j] * (1 - probabilities[:, i])
    n_pairs = max(1, n_raters * (n_raters - 1) // 2)
    return np.asarray(total / n_pairs)


def _counted(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that count, with the columns that terms look at."""
    counted = (table["status"] == OK).to_numpy(dtype=bool)
    used = [name for name in table.columns if name in _USED_COLUMNS or str(name).startswith(EXPERT_PREFIX)]
    return table.loc[counted, used]


def _score(terms: list[_Term], n_rows: int) -> Floats:
    score = sum((term.weight * term.value for term in terms), start=np.zeros(n_rows))
    return np.asarray(score.round(12))  # rounding: equal rows tie whatever the order of addition


def _terms(ranked: pd.DataFrame, threshold: float) -> list[_Term]:
    return [
        _hardness(ranked),
        _disagreement(ranked),
        _nearness(ranked, threshold),
        _pair(ranked),
        *_quality(ranked),
        _hotspot(ranked),
    ]


def _hardness(ranked: pd.DataFrame) -> _Term:
    p_hard = _floats(ranked, "p_hard")
    hard = _flags(ranked, "hard") if "hard" in ranked else p_hard >= HARD_FROM
    return _Term(HARDNESS_WEIGHT, np.nan_to_num(p_hard), hard, lambda row: f"likely a hard case ({p_hard[row]:.2f})")


def _disagreement(ranked: pd.DataFrame) -> _Term:
    experts = [_floats(ranked, name) for name in expert_columns_in(ranked)]
    value = np.nan_to_num(pair_disagreement(np.column_stack(experts))) if experts else np.zeros(len(ranked))
    return _Term(
        DISAGREEMENT_WEIGHT,
        value,
        value >= DISAGREEMENT_FROM,
        lambda row: f"experts likely to disagree ({value[row]:.2f})",
    )


def _nearness(ranked: pd.DataFrame, threshold: float) -> _Term:
    p_atypical = _floats(ranked, "p_atypical")
    assert not np.isnan(p_atypical).any(), "a row that counts has a probability"
    value = np.exp(-np.abs(_logit(p_atypical) - _logit(np.float64(threshold))))
    return _Term(
        THRESHOLD_WEIGHT,
        value,
        value >= NEARNESS_FROM,
        lambda row: f"near the threshold ({p_atypical[row]:.2f} against {threshold:.2f})",
    )


def _pair(ranked: pd.DataFrame) -> _Term:
    distance = nearest_beyond(_floats(ranked, "x_um"), _floats(ranked, "y_um"), PAIR_MIN_UM, PAIR_MAX_UM)
    paired = ~np.isnan(distance)
    return _Term(
        PAIR_WEIGHT,
        paired.astype(np.float64),
        paired,
        lambda row: f"possible anaphase-telophase pair (next figure at {distance[row]:.1f} µm)",
    )


def _quality(ranked: pd.DataFrame) -> tuple[_Term, _Term]:
    """Edge and blur as two reasons; the larger of them alone weighs."""
    coverage = np.nan_to_num(_floats(ranked, "crop_coverage"), nan=1.0)
    sharpness = _relative_sharpness(ranked)
    outside = np.clip(1 - coverage, 0, 1)
    blur = np.clip(1 - sharpness / BLUR_SHARE, 0, 1)
    is_edge = outside >= blur
    return (
        _Term(
            QUALITY_WEIGHT,
            np.where(is_edge, outside, 0.0),
            coverage < COVERAGE_BELOW,
            lambda row: f"crop cut by the slide's edge ({outside[row]:.0%} outside)",
        ),
        _Term(
            QUALITY_WEIGHT,
            np.where(is_edge, 0.0, blur),
            blur > 0,
            lambda row: f"blurred (sharpness {sharpness[row]:.2f} of the slide's median)",
        ),
    )


def _relative_sharpness(ranked: pd.DataFrame) -> Floats:
    """Sharpness over the slide's median; 1 where it is unknown or the figures are too few."""
    unknown = np.ones(len(ranked))
    if "sharpness" not in ranked:
        return unknown
    sharpness = _floats(ranked, "sharpness")
    known = ~np.isnan(sharpness)
    if known.sum() < BLUR_MIN_ROWS:
        return unknown
    median = float(np.median(sharpness[known]))
    return np.where(known, sharpness / median, 1.0) if median > 0 else unknown


def _hotspot(ranked: pd.DataFrame) -> _Term:
    inside = _flags(ranked, "in_hotspot")
    return _Term(HOTSPOT_WEIGHT, inside.astype(np.float64), inside, lambda _row: "inside the first hotspot")


def _reasons(ranked: pd.DataFrame, terms: list[_Term]) -> pd.Series:
    """The terms that stand out in words, the weightiest first, the hotspot last; a row without difficulty says so."""
    *difficulties, hotspot = terms
    p_atypical = _floats(ranked, "p_atypical")
    weighed = np.column_stack([term.weight * term.value for term in difficulties])
    weightiest_first = np.argsort(-weighed, axis=1, kind="stable").astype(np.int8)

    def reason(row: int) -> str:
        named = [difficulties[k] for k in weightiest_first[row].tolist() if difficulties[k].stands_out[row]]
        words = [term.words(row) for term in named] or [f"no difficulty seen (P(atypical) {p_atypical[row]:.2f})"]
        return "; ".join([*words, hotspot.words(row)] if hotspot.stands_out[row] else words)

    starts = range(0, max(1, len(ranked)), _ROWS_AT_A_TIME)
    rows = (range(start, min(start + _ROWS_AT_A_TIME, len(ranked))) for start in starts)
    parts = [pa.array(list(map(reason, some)), pa.large_string()) for some in rows]
    # one chunk: of a column in many, Arrow copies the whole whenever rows are taken from it
    return pd.Series(pa.concat_arrays(parts), index=ranked.index, dtype="str")


def _logit(p: Floats | np.float64) -> Floats:
    clipped = np.clip(p, _P_EPSILON, 1 - _P_EPSILON)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)


def _floats(table: pd.DataFrame, name: str) -> Floats:
    return pd.to_numeric(table[name]).to_numpy(dtype=np.float64, na_value=np.nan)


def _flags(table: pd.DataFrame, name: str) -> Flags:
    return (table[name].astype("boolean").fillna(value=False)).to_numpy(dtype=bool)
