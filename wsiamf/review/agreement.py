"""How far readers agree with one another and with the model: Cohen's kappa and Gwet's AC1, the random sample apart.

Hard cases are where readers differ, so that agreement over all answers says as much of the list as of the readers. It is given
for the random sample, for the certain cases, for other answers, and, weighted by the inverse of the inclusion probabilities
(Horvitz and Thompson), for all figures of the slides: only the last is a claim about them. Where the categories' shares are
uneven kappa falls far below the agreement that is seen (Feinstein and Cicchetti 1990); AC1 does not (Gwet, Br J Math Stat
Psychol 2008;61:29-48).

Intervals are Wilson's of the share of figures on which two agree, with Student's t and Kish's effective number of figures, the
agreement by chance taken as it is. So they have a width where two agree on all that they answered, which a jackknife's has
not. ``benchmarks/agreement_coverage.py`` measures what they cover.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from wsiamf.classes import AMF, NMF, NON_MITOTIC
from wsiamf.review.estimates import Design
from wsiamf.review.settling import MODEL, Settled
from wsiamf.summary.agreement import chance_corrected
from wsiamf.summary.intervals import LEVEL, Interval, evenness, score_interval
from wsiamf.summary.json_fields import Fields, nominal_fields, nullable, significant

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_FIGURES: Final = 10
"""Answered by both, of all figures their effective number; fewer say nothing."""
_TAIL: Final = (1 - LEVEL) / 2
_READERS: Final = (AMF, NMF, NON_MITOTIC)
_CLASSES: Final = (AMF, NMF)
_FEW: Final = (
    f"not estimable: fewer than {MIN_FIGURES} figures (where weighted: effective ones) that both gave a category"
)
_ONE_CATEGORY: Final = "not estimable: both use one category alone"
_PARTLY: Final = "not estimable: one of the two has not answered every row of the worklist in use"
_ALL: Final = "all_figures"
_METHOD: Final = "Wilson, effective number of figures and Student's t, agreement by chance as it is"
_COVERS: Final = "figures like these, as if these had been drawn from them at random; the readers as they are"
RULES: Final = {
    "readers": "AMF, NMF, non-mitotic; figures that one of the two could not tell are left out and counted",
    "adjudicator": "in no pair: what she answers is mostly what the others dispute",
    "with the model": "AMF and NMF, over figures that the reader calls mitotic",
    "random_sample": "worklist rows drawn at random, unweighted: figures that are not certain cases",
    "certain_cases": "worklist rows taken by impact: hard cases, no claim about other figures",
    "other_answers": "figures outside the worklist's rows in use: picked by the reader, no claim about other figures",
    "all_figures": "certain cases and random sample weighted by 1 / inclusion probability: figures of these slides",
}


def agreement(settled: Settled, design: Design, *, adjudicator: str | None = None) -> dict[str, Any]:
    """Agreement of every two readers, and of every reader with the model.

    Args:
        settled: Of ``settling.settle``.
        design: Which figures were drawn how (``estimates.answered_design``).
        adjudicator: Who decides where the others have no majority: in no pair, since she answers what they dispute.

    Returns:
        ``rules`` and ``pairs``: one entry a pair, ``one`` and ``other`` (the model is ``model``), and for each of
        ``random_sample``, ``certain_cases``, ``other_answers``, ``all_figures`` their ``n``, ``n_left_out``, ``agreement``,
        ``kappa`` and ``ac1`` with intervals.
    """
    n = len(design.certain)
    answers = _answers(settled, n)
    answers.pop(adjudicator or "", None)
    model = np.array([_code(label, _CLASSES) for label in settled.table["label"].iloc[:n]], dtype=np.int64)
    pairs = [
        {"one": one, "other": other, **_strata(answers[one], answers[other], design, len(_READERS))}
        for one, other in combinations(sorted(answers), 2)
    ]
    for reader in sorted(answers):
        called = np.where(answers[reader] == _READERS.index(NON_MITOTIC), _LEFT_OUT, answers[reader])
        pairs.append({"one": reader, "other": MODEL, **_strata(called, model, design, len(_CLASSES))})
    return {"rules": RULES, "pairs": pairs}


_UNSEEN: Final = -1
_LEFT_OUT: Final = -2


def _answers(settled: Settled, n: int) -> dict[str, Ints]:
    """Of each reader the category of each of the n candidates."""
    answers: dict[str, Ints] = {}
    for row, ballot in settled.votes.items():
        if row < n:
            for reader, decision in ballot.items():
                of_reader = answers.setdefault(reader, np.full(n, _UNSEEN, dtype=np.int64))
                of_reader[row] = _code(str(decision.answer), _READERS)
    return answers


def _code(label: object, categories: Sequence[str]) -> int:
    return categories.index(label) if isinstance(label, str) and label in categories else _LEFT_OUT


def _strata(one: Ints, other: Ints, design: Design, n_categories: int) -> Fields:
    drawn = design.certain | design.sampled
    weights = np.divide(1.0, design.probability, out=np.zeros(len(drawn)), where=design.probability > 0)
    strata: Mapping[str, tuple[NDArray[np.bool_], Floats]] = {
        "random_sample": (design.sampled, np.ones(len(drawn))),
        "certain_cases": (design.certain, np.ones(len(drawn))),
        "other_answers": (~drawn, np.ones(len(drawn))),
        _ALL: (drawn, weights),
    }
    fields: Fields = {}
    for name, (rows, weight) in strata.items():
        partly = name == _ALL and bool(((one == _UNSEEN) | (other == _UNSEEN))[rows].any())
        fields[name] = measured(one[rows], other[rows], weight[rows], n_categories, _PARTLY if partly else None)
    return fields


def measured(one: Ints, other: Ints, weights: Floats, n_categories: int, refused: str | None = None) -> Fields:
    """``n``, ``n_left_out``, ``agreement``, ``kappa`` and ``ac1`` with intervals.

    Args:
        one, other: (N,) Category that either gave each figure, from 0; less where there is none.
        weights: (N,) What each figure stands for.
        n_categories: Number of categories.
        refused: Why nothing can be told; None where something can.
    """
    seen = (one != _UNSEEN) & (other != _UNSEEN)
    both = seen & (one >= 0) & (other >= 0)
    n = int(both.sum())
    fields: Fields = {"n": n, "n_left_out": int(seen.sum()) - n}
    n_effective = evenness(weights[both])
    refused = refused or (_FEW if round(n_effective, 9) < MIN_FIGURES else None)
    table = np.zeros((n_categories, n_categories))
    np.add.at(table, (one[both], other[both]), weights[both])
    for name, chance in (("agreement", None), ("kappa", kappa_chance), ("ac1", ac1_chance)):
        by_chance = 0.0 if refused or chance is None else chance(table)
        value = None if refused else chance_corrected(observed(table), by_chance)
        interval = None if value is None else _interval(observed(table), by_chance, n_effective)
        reason = refused or _ONE_CATEGORY
        fields |= nullable(name, None if value is None else significant(value), reason)
        fields |= nullable(f"{name}_sampling_interval", nominal_fields(interval, _METHOD, _COVERS), reason)
    return fields


def observed(table: Floats) -> float:
    """Share of figures in the same category.

    Args:
        table: (m, m) sum of weights in category i by the one and j by the other.
    """
    return float(np.trace(table) / table.sum())


def kappa_chance(table: Floats) -> float:
    """Agreement by chance as Cohen's kappa has it: of two who keep their own shares. ``table`` as ``observed`` has it."""
    p = table / table.sum()
    return float(p.sum(axis=1) @ p.sum(axis=0))


def ac1_chance(table: Floats) -> float:
    """That of Gwet's first-order coefficient, from the mean of both's shares. ``table`` as ``observed`` has it."""
    p = table / table.sum()
    share = (p.sum(axis=1) + p.sum(axis=0)) / 2
    return float((share * (1 - share)).sum() / (len(table) - 1))


def _interval(agreement: float, by_chance: float, n_effective: float) -> Interval:
    """Both ends of the interval of the agreement that was seen, each corrected for chance, within [-1, 1]."""
    t = float(special.stdtrit(n_effective - 1, 1 - _TAIL))
    low, high = (chance_corrected(end, by_chance) for end in score_interval(agreement, t**2 / n_effective))
    assert low is not None, "there is no value where chance alone always agrees"
    assert high is not None
    return max(-1.0, low), high
