"""How well difficulty is told: the hardness head against the experts' disagreement, and what leaving hard figures out gains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.inference.classifier import safe_logit
from wsiamf.summary.ranking import DISAGREEMENT_WEIGHT, HARDNESS_WEIGHT, THRESHOLD_WEIGHT, pair_disagreement
from wsiamf.training.figures.labelled_rows import called, column, groups, raters
from wsiamf.training.figures.metrics import weighted_auc, weighted_balanced_accuracy
from wsiamf.training.figures.resampling import Floats, Resampling, estimates, whole_sample

ALL: Final = "all"
COVERAGE: Final = 0.8
"""Share of the figures that is kept where one figure is stated for the whole curve."""
_CURVE: Final = tuple(np.round(np.arange(0.50, 1.001, 0.02), 2).tolist())
_ORDERS: Final = {
    "p_hard": "lowest p_hard",
    "doubt": "p_atypical farthest from the threshold",
    "review": "last in the worklist (p_hard, the heads' disagreement, nearness to the threshold)",
}
_THRESHOLD: Final = "balanced"


def hardness_by_votes(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """AUC of ``p_hard`` against the experts' disagreement: of all figures, by set, and by set and number of votes.

    Returns:
        ``set, n_votes, n, n_hard, hard_fraction, mean_p_hard, hardness_auc`` (with limits), ``auc`` and ``balanced_accuracy``
        of p_atypical, ``status`` (ok, or why the hardness AUC is empty).
    """
    return pd.DataFrame([_hardness_row(name, votes, rows, seed) for name, votes, rows in _strata(table)])


def _strata(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    yield ALL, ALL, table
    for name, rows in table.groupby("set", sort=True):
        yield str(name), ALL, rows
        for votes, some in rows.groupby("n_votes", sort=True):
            yield str(name), str(int(float(str(votes)))), some


def _hardness_row(name: str, votes: str, rows: pd.DataFrame, seed: int) -> dict[str, Any]:
    hard, p_hard, amf = column(rows, "hard"), column(rows, "p_hard"), column(rows, "amf")
    known = ~np.isnan(hard)
    told = known & ~np.isnan(p_hard)
    everything = whole_sample(len(rows))
    row: dict[str, Any] = {"set": name, "n_votes": votes, "n": len(rows), "n_hard": int(np.nansum(hard))}
    row["hard_fraction"] = hard[known].mean() if known.any() else np.nan
    row["mean_p_hard"] = p_hard[told].mean() if told.any() else np.nan
    row |= _hardness_auc(p_hard[told], hard[told], groups(rows)[told], seed)
    row["auc"] = float(weighted_auc(column(rows, "p_atypical"), amf, everything)[0])
    row["balanced_accuracy"] = float(weighted_balanced_accuracy(called(rows, _THRESHOLD), amf, everything)[0])
    return row | {"status": _hardness_status(p_hard, hard[told])}


def _hardness_auc(p_hard: Floats, hard: Floats, group: NDArray[np.str_], seed: int) -> dict[str, float]:
    if len(np.unique(hard)) < 2:
        return dict.fromkeys(("hardness_auc", "hardness_auc_low", "hardness_auc_high"), np.nan)
    draws = Resampling(group, seed=seed)
    return estimates(["hardness_auc"], lambda weights: weighted_auc(p_hard, hard, weights), draws, len(hard))


def _hardness_status(p_hard: Floats, hard: Floats) -> str:
    if np.isnan(p_hard).all():
        return "the model has no hardness head"
    if not len(hard):
        return "fewer than two votes a figure"
    return "ok" if len(np.unique(hard)) == 2 else f"the experts {'split' if hard.all() else 'agreed'} on every figure"


def risk_coverage(table: pd.DataFrame) -> pd.DataFrame:
    """Balanced accuracy (threshold ``balanced``) of the figures that are kept when the hardest are left out.

    Returns:
        ``left_out_by`` (p_hard, doubt, review), ``coverage``, ``balanced_accuracy``; an order that is not known has no rows.
    """
    is_amf, amf = called(table, _THRESHOLD), column(table, "amf")
    everything = whole_sample(len(table))
    rows = [
        {"left_out_by": name, "coverage": share}
        | {"balanced_accuracy": float(_kept_accuracy(is_amf, amf, order, everything, share)[0])}
        for name, order in _orders(table).items()
        for share in _CURVE
    ]
    return pd.DataFrame(rows, columns=["left_out_by", "coverage", "balanced_accuracy"])


def risk_coverage_gain(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Balanced accuracy of the easiest four fifths, and how much that is above that of all, with bootstrap intervals.

    Returns:
        ``left_out_by, keeps, coverage, balanced_accuracy_of_all, balanced_accuracy, gain`` (the last two with limits),
        ``status``.
    """
    is_amf, amf = called(table, _THRESHOLD), column(table, "amf")
    draws, orders = Resampling(groups(table), seed=seed), _orders(table)
    rows: list[dict[str, Any]] = []
    for name, keeps in _ORDERS.items():
        row: dict[str, Any] = {"left_out_by": name, "keeps": keeps, "coverage": COVERAGE}
        row["balanced_accuracy_of_all"] = float(weighted_balanced_accuracy(is_amf, amf, whole_sample(len(table)))[0])
        row["status"] = "ok" if name in orders else "the model has no hardness head"
        if name in orders:
            row |= _gain(is_amf, amf, orders[name], draws)
        rows.append(row)
    return pd.DataFrame(rows)


def _gain(is_amf: NDArray[np.bool_], amf: Floats, order: NDArray[np.intp], draws: Resampling) -> dict[str, float]:
    def kept_and_gain(weights: Floats) -> Floats:
        kept = _kept_accuracy(is_amf, amf, order, weights, COVERAGE)
        return np.stack([kept, kept - weighted_balanced_accuracy(is_amf, amf, weights)], axis=1)

    return estimates(["balanced_accuracy", "gain"], kept_and_gain, draws, len(amf))


def _orders(table: pd.DataFrame) -> dict[str, NDArray[np.intp]]:
    """Rows from the easiest to the hardest, by each way of telling; ties in an order that says nothing."""
    distance = np.abs(safe_logit(column(table, "p_atypical")) - safe_logit(column(table, f"threshold_{_THRESHOLD}")))
    hardness = {"p_hard": column(table, "p_hard"), "doubt": -distance, "review": _review_score(table, distance)}
    ties = np.random.default_rng(0).permutation(len(table))
    return {name: np.lexsort((ties, value)) for name, value in hardness.items() if not np.isnan(value).any()}


def _review_score(table: pd.DataFrame, distance: Floats) -> Floats:
    """The score of ``summary.ranking``, as far as single figures have its terms."""
    heads = table[[f"p_{rater}" for rater in raters(table, "p_")]].to_numpy(dtype=np.float64)
    disagreement = pair_disagreement(heads)
    terms = (HARDNESS_WEIGHT, np.nan_to_num(column(table, "p_hard"))), (DISAGREEMENT_WEIGHT, disagreement)
    return sum((weight * term for weight, term in terms), start=THRESHOLD_WEIGHT * np.exp(-distance))


def _kept_accuracy(
    is_amf: NDArray[np.bool_], amf: Floats, order: NDArray[np.intp], weights_BN: Floats, coverage: float
) -> Floats:
    """Balanced accuracy of the share of the weighted rows that comes first, (B,)."""
    weights = weights_BN[:, order]
    before = np.cumsum(weights, axis=1) - weights
    kept = np.clip(coverage * weights.sum(axis=1, keepdims=True) - before, 0, weights)
    return weighted_balanced_accuracy(is_amf[order], amf[order], kept)
