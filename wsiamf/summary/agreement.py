"""How well the model's labels agree with those that people gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import AMF, NMF
from wsiamf.statuses import OK
from wsiamf.summary.json_fields import Fields, nullable, significant

_NO_LABELS: Final = "the points file has no AMF or NMF labels of persons"
_NO_KAPPA: Final = "not estimable: the model or the person uses one class alone"


def agreement_fields(
    table: pd.DataFrame, by_person: NDArray[np.bool_], votes: Mapping[str, Sequence[str | None]]
) -> Fields:
    """``label_agreement`` for ``summary.json``; null where the points file has no label to agree with.

    Compared are rows that count and that a person called AMF or NMF: with the file's own label where a person gave it, else
    with the majority of the votes; and with each rater's votes.

    Args:
        table: Predictions with ``label``, ``source_label`` and ``status``; N rows.
        by_person: (N,) Whether ``source_label`` is a person's.
        votes: AMF, NMF or None by rater, N each.
    """
    model = _classes_where(table["label"], table["status"] == OK)
    agreed = _filled(_classes_where(table["source_label"], by_person), votes)
    if not any(label is not None for label in agreed) and not votes:
        return nullable("label_agreement", None, _NO_LABELS)
    raters = {rater: _agreement(model, given) for rater, given in votes.items()}
    covers = "rows that count and that a person labelled AMF or NMF"
    return nullable("label_agreement", {**_agreement(model, agreed), "raters": raters, "covers": covers}, _NO_LABELS)


def _classes_where(labels: Iterable[Any], holds: Iterable[Any]) -> list[str | None]:
    return [label if held and label in (AMF, NMF) else None for label, held in zip(labels, holds, strict=True)]


def _filled(labels: Sequence[str | None], votes: Mapping[str, Sequence[str | None]]) -> list[str | None]:
    """Labels, and the majority of the votes where there is none."""
    ballots = zip(*votes.values(), strict=True) if votes else [()] * len(labels)
    return [label or _majority(ballot) for label, ballot in zip(labels, ballots, strict=True)]


def _majority(ballot: Sequence[str | None]) -> str | None:
    lead = ballot.count(AMF) - ballot.count(NMF)
    return None if lead == 0 else AMF if lead > 0 else NMF


def _agreement(model: Sequence[str | None], people: Sequence[str | None]) -> Fields:
    both = [(own, other) for own, other in zip(model, people, strict=True) if own and other]
    pairs = np.asarray([[own == AMF, other == AMF] for own, other in both], dtype=np.bool_).reshape(-1, 2)
    n = len(pairs)
    if n == 0:
        return {"n": 0, **nullable("agreement", None, _NO_LABELS), **nullable("kappa", None, _NO_LABELS)}
    agreement = float((pairs[:, 0] == pairs[:, 1]).mean())
    shares = pairs.mean(axis=0)
    kappa = chance_corrected(agreement, float(shares.prod() + (1 - shares).prod()))
    return {
        "n": n,
        **nullable("agreement", significant(agreement), _NO_LABELS),
        **nullable("kappa", None if kappa is None else significant(kappa), _NO_KAPPA),
    }


def chance_corrected(agreement: float, by_chance: float) -> float | None:
    """Agreement beyond what chance would bring, over the most there could be: Cohen's kappa, AC1 and their like.

    Args:
        agreement: Share on which two agree, in [0, 1].
        by_chance: That which chance alone would bring; coefficients differ in how they reckon it.

    Returns:
        At most 1, 0 where chance would bring as much; None where chance alone would always agree.
    """
    return None if np.isclose(by_chance, 1.0) else (agreement - by_chance) / (1 - by_chance)
