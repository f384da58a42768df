"""Each head against its expert, each expert against the others, and what each head adds to the mean of all.

An expert's colleagues are the other raters who voted on the same figure; where they split evenly there is no majority and the
figure is left out. Heads and experts are thus judged on the same figures by the same people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import PHASES
from wsiamf.training.calibration import count_threshold
from wsiamf.training.figures.labelled_rows import column, groups, parts, raters
from wsiamf.training.figures.metrics import missing_class, weighted_auc, weighted_balanced_accuracy
from wsiamf.training.figures.resampling import Floats, Resampling, estimates

OWN: Final = "its own expert"
OTHERS: Final = "majority of the other experts"
MAJORITY: Final = "majority"
_COLUMNS: Final = ("rater", "judge", "against", "set", "n", "n_amf", "cut_off", "balanced_accuracy", "auc", "auc_gain")


def by_rater(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Balanced accuracy (at cut-offs that call as many AMF as the truth has) and AUC of heads, experts and the heads' mean.

    Cut-offs are the model's own (columns ``threshold_<rater>``), else fitted without the row's fold.

    Returns:
        ``rater``, ``judge`` (head, expert, all heads, all heads but this), ``against``, ``set``, ``n``, ``n_amf``,
        ``cut_off``, ``balanced_accuracy``, ``auc``, ``auc_gain`` (how much the mean of all heads is above the mean without this
        one), the last three with limits; ``status``.
    """
    rows = [_judged(*one, table, seed) for one in _single_judges(table)] + list(_head_subsets(table, seed))
    found = pd.DataFrame(rows).reindex(columns=_with_limits(_COLUMNS))
    return found.assign(status=[row["status"] for row in rows]) if rows else found.assign(status=[])


def _with_limits(names: tuple[str, ...]) -> list[str]:
    limited = names[names.index("balanced_accuracy") :]
    return [out for name in names for out in ((name, f"{name}_low", f"{name}_high") if name in limited else (name,))]


Judge = tuple[dict[str, str], Floats, Floats, Floats | None]
"""What it is called, its score, the truth (1, 0, NaN unknown), its cut-offs (None: fitted)."""


def _single_judges(table: pd.DataFrame) -> Iterator[Judge]:
    people, heads = raters(table, "vote_"), raters(table, "p_")
    votes = {rater: column(table, f"vote_{rater}") for rater in people}
    for rater in dict.fromkeys([*people, *heads]):
        own = votes.get(rater, np.full(len(table), np.nan))
        others = _majority([vote for name, vote in votes.items() if name != rater], len(table))
        if rater in heads:
            yield from _head_judges(table, rater, own, others)
        if rater in people and not np.isnan(own).all():
            said = {"rater": rater, "judge": "expert", "against": OTHERS}
            yield said, own, np.where(np.isnan(own), np.nan, others), np.full(len(table), 0.5)


def _head_judges(table: pd.DataFrame, rater: str, own: Floats, others: Floats) -> Iterator[Judge]:
    p = column(table, f"p_{rater}")
    fixed = column(table, f"threshold_{rater}") if f"threshold_{rater}" in table else None
    said = {"rater": rater, "judge": "head"}
    if np.isnan(own).all():  # an expert of another set: his colleagues here are all who voted
        yield said | {"against": MAJORITY}, p, column(table, "amf"), fixed
        return
    cut_offs = cross_fitted_cut_offs(p, own, parts(table)) if fixed is None else fixed
    yield said | {"against": OWN}, p, own, cut_offs
    yield said | {"against": OTHERS}, p, np.where(np.isnan(own), np.nan, others), cut_offs


def _majority(votes: list[Floats], n: int) -> Floats:
    """1, 0, or NaN where nobody voted or the votes split evenly, (n,)."""
    if not votes:
        return np.full(n, np.nan)
    stacked = np.stack(votes)
    surplus = np.nansum(np.where(stacked == 1, 1.0, np.where(stacked == 0, -1.0, 0.0)), axis=0)
    return np.where(surplus == 0, np.nan, (surplus > 0).astype(np.float64))


def cross_fitted_cut_offs(score: Floats, truth: Floats, part_N: NDArray[np.int_]) -> Floats:
    """For each row the cut-off at which as many rows of the *other* parts are called AMF as are AMF; NaN if they cannot say."""
    known = ~np.isnan(truth)
    cut_offs = np.full(len(score), np.nan)
    for part in np.unique(part_N):
        fitting = known & (part_N != part)
        if not missing_class(truth[fitting]):
            cut_offs[part_N == part] = count_threshold(score[fitting], truth[fitting])
    return cut_offs


def _judged(
    said: dict[str, str], score: Floats, truth: Floats, cut_offs: Floats | None, table: pd.DataFrame, seed: int
) -> dict[str, Any]:
    if cut_offs is None:
        cut_offs = cross_fitted_cut_offs(score, truth, parts(table))
    rows = ~(np.isnan(truth) | np.isnan(score) | np.isnan(cut_offs))
    score, truth, cut_offs = score[rows], truth[rows], cut_offs[rows]
    sets = ", ".join(sorted(table["set"][rows].unique()))
    found: dict[str, Any] = {**said, "set": sets, "n": len(score), "n_amf": int(truth.sum())}
    if not len(score) or (lacking := missing_class(truth)):
        return found | {"status": f"not estimable: {lacking if len(score) else 'no figure with a majority of others'}"}
    draws, is_amf = Resampling(groups(table)[rows], seed=seed), score >= cut_offs
    found["cut_off"] = float(cut_offs.mean())

    def accuracy_and_auc(weights: Floats) -> Floats:
        accuracy = weighted_balanced_accuracy(is_amf, truth, weights)
        return np.stack([accuracy, weighted_auc(score, truth, weights)], axis=1)

    found |= estimates(["balanced_accuracy", "auc"], accuracy_and_auc, draws, len(truth))
    if said["judge"] == "expert":  # a yes or no has no ranking
        found |= dict.fromkeys(("auc", "auc_low", "auc_high"), np.nan)
    return found | {"status": "ok"}


def _head_subsets(table: pd.DataFrame, seed: int) -> Iterator[dict[str, Any]]:
    """By set: the mean of all heads, and the mean without each of them, against the majority."""
    heads = raters(table, "p_")
    for _, rows in table.groupby("set", sort=True):
        p_NK = rows[[f"p_{rater}" for rater in heads]].to_numpy(dtype=np.float64)
        amf, own = column(rows, "amf"), rows.reset_index(drop=True)
        if len(heads) < 2 or missing_class(amf) or np.isnan(p_NK).any():
            continue
        means = [p_NK.mean(axis=1), *(np.delete(p_NK, k, axis=1).mean(axis=1) for k in range(len(heads)))]
        gains = _auc_gains(means, amf, Resampling(groups(rows), seed=seed))
        names = [("", "all heads"), *((rater, "all heads but this") for rater in heads)]
        for (rater, judge), mean, gain in zip(names, means, [{}, *gains], strict=True):
            said = {"rater": rater, "judge": judge, "against": MAJORITY}
            yield _judged(said, mean, amf, None, own, seed) | gain


def _auc_gains(means: list[Floats], amf: Floats, draws: Resampling) -> list[dict[str, float]]:
    """How much the AUC of the first score is above that of each other one."""

    def gains(weights: Floats) -> Floats:
        aucs = [weighted_auc(mean, amf, weights) for mean in means]
        return np.stack([aucs[0] - other for other in aucs[1:]], axis=1)

    names = [str(k) for k in range(1, len(means))]
    found = estimates(names, gains, draws, len(amf))
    return [{f"auc_gain{end}": found[f"{name}{end}"] for end in ("", "_low", "_high")} for name in names]


def phase_agreement(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Share of figures of which the phase head, and two raters, say the same of the eight phases.

    The head is held against each rater on the figures that both raters named, so that it and the raters are comparable.

    Returns:
        ``one, other, n, agreement`` (with limits), ``reaches_raters``; no rows without a phase head or without labels.
    """
    names = [name for name in table if str(name).startswith("phase_label_")]
    head = [f"phase_{k}" for k in range(1, len(PHASES) + 1)]
    if not names or not set(head) <= set(table):
        return pd.DataFrame()
    said = {f"rater {str(name).removeprefix('phase_label_')}": column(table, str(name)) for name in names}
    rows = ~np.isnan(np.stack(list(said.values()))).any(axis=0) & table[head].notna().all(axis=1).to_numpy()
    if not rows.any():
        return pd.DataFrame()
    said["head"] = table[head].fillna(0).to_numpy(dtype=np.float64).argmax(axis=1).astype(np.float64)
    draws = Resampling(groups(table)[rows], seed=seed)
    people = [name for name in said if name != "head"]
    pairs = [*((one, other) for k, one in enumerate(people) for other in people[k + 1 :])]
    found = [_agreement(one, other, said, rows, draws) for one, other in [*pairs, *(("head", one) for one in people)]]
    best = max((row["agreement"] for row in found[: len(pairs)]), default=np.nan)
    for row in found[len(pairs) :]:
        row["reaches_raters"] = bool(row["agreement"] >= best) if pairs else None
    return pd.DataFrame(found)


def _agreement(
    one: str, other: str, said: dict[str, Floats], rows: NDArray[np.bool_], draws: Resampling
) -> dict[str, Any]:
    same = (said[one] == said[other])[rows].astype(np.float64)
    share = estimates(["agreement"], lambda weights: weights @ same / weights.sum(axis=1), draws, len(same))
    return {"one": one, "other": other, "n": len(same), **share}
