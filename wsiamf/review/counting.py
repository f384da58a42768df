"""Counts without and with review, the same wherever they are shown: one function for the live counts and for the files."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from wsiamf.classes import AMF, NMF, NON_MITOTIC
from wsiamf.review.answers import ADDED, FIGURE
from wsiamf.review.settling import Settled
from wsiamf.summary.json_fields import NO_FIGURES, Fields, nullable, significant

COVERS: Final = (
    "without_review: the model's labels; with_review: the readers' where they gave one, else the model's, unresolved ones "
    "left out; added: figures that the points missed, in none of the others but with_review_and_added; "
    "bounds: with_review, were all unresolved ones AMF or all NMF"
)


def count(settled: Settled) -> dict[str, Any]:
    """Figures, AMF and NMF, per slide and in all.

    Args:
        settled: Of ``settling.settle``.

    Returns:
        ``all`` and ``slides`` (by slide_id), each with ``n_candidates``, ``n_reviewed``, ``n_unresolved`` (no label: readers
        could not tell or did not agree), ``n_adjudicate``, ``n_non_mitotic``, and, each with ``n`` (figures), ``n_amf``,
        ``n_nmf`` and ``amf_fraction``: ``without_review``, ``with_review``, ``bounds.all_amf``, ``bounds.all_nmf``,
        ``added`` and ``with_review_and_added``; ``covers`` says what they are.
    """
    table = settled.table
    rows = table.groupby("slide_id").indices
    slides = {name: _count(table.iloc[rows.get(name, [])]) for name in settled.slide_ids}
    return {"covers": COVERS, "all": _count(table), "slides": slides}


def _count(table: pd.DataFrame) -> Fields:
    figures, added = table[table["kind"] == FIGURE], table[table["kind"] == ADDED]
    n_amf, n_nmf = _number(figures, AMF), _number(figures, NMF)
    added_amf, added_nmf = _number(added, AMF), _number(added, NMF)
    n_unresolved = int(figures["final_label"].isna().sum())
    model = figures["label"]
    return {
        "n_candidates": len(figures),
        "n_reviewed": int(figures["reviewed"].sum()),
        "n_unresolved": n_unresolved,
        "n_adjudicate": int(table["adjudicate"].sum()),
        "n_non_mitotic": _number(figures, NON_MITOTIC),
        "without_review": _counts(int((model == AMF).sum()), int((model == NMF).sum())),
        "with_review": _counts(n_amf, n_nmf),
        "bounds": {"all_amf": _counts(n_amf + n_unresolved, n_nmf), "all_nmf": _counts(n_amf, n_nmf + n_unresolved)},
        "added": _counts(added_amf, added_nmf),
        "with_review_and_added": _counts(n_amf + added_amf, n_nmf + added_nmf),
    }


def _number(table: pd.DataFrame, label: str) -> int:
    return int((table["final_label"] == label).sum())


def _counts(n_amf: int, n_nmf: int) -> Fields:
    n = n_amf + n_nmf
    fraction = significant(n_amf / n) if n else None
    return {"n": n, "n_amf": n_amf, "n_nmf": n_nmf, **nullable("amf_fraction", fraction, NO_FIGURES)}
