"""From readers' answers to one label a figure: the majority, else the adjudicator, else nobody yet.

A figure's label is what more than half of the readers who answered it say; a single reader decides alone. Where there is no
such majority the figure waits for an adjudicator, whose own answers are kept out of the vote. ``non-mitotic`` leaves both
counts. What readers cannot tell, and what waits, has no label: it is left out of the counts, and bounds say what it could
change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from wsiamf.review.answers import ADDED, FIGURE, Answer, Decision
from wsiamf.review.attaching import Attached, Unattached, attach

MODEL: Final = "model"
REVIEW: Final = "review"

Ballot = dict[str, Decision]
"""The answer of each reader to one figure."""

SETTLED_COLUMNS: Final = ("kind", "final_label", "n_readers", "adjudicate", "reviewed", "source", "answers")


@dataclass(frozen=True)
class Settled:
    """Every figure with its label after review.

    Args:
        table: One row a figure, the candidates in the order of the figures table and then the added ones: the figures'
            columns and ``kind`` (``figure`` or ``added``), ``final_label`` (AMF, NMF, non-mitotic; None where readers could
            not tell or did not agree; the model's where nobody answered), ``n_readers`` (who answered it, the adjudicator
            too), ``adjudicate`` (whether it waits for an adjudicator), ``reviewed`` (whether anybody answered it),
            ``source`` (``model`` or ``review``: where the label, or the lack of it, comes from), ``answers`` (who said
            what, ``reader=answer`` with ``; `` between).
        votes: Of each row of ``table`` that was answered (its place, from 0) the answer of each reader.
        unattached: Decisions about none of the figures.
        slide_ids: Every slide under review, those without a figure too, sorted.
    """

    table: pd.DataFrame
    votes: dict[int, Ballot]
    unattached: list[Unattached]
    slide_ids: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What the answers to one figure come to.

    Args:
        label: AMF, NMF or non-mitotic; None where readers could not tell or did not agree.
        adjudicate: Whether there is no majority and nobody to decide.
    """

    label: str | None
    adjudicate: bool


def settle(
    figures: pd.DataFrame,
    decisions: Sequence[Decision],
    *,
    readers: Collection[str] | None = None,
    adjudicator: str | None = None,
    empty_slides: Sequence[tuple[str, str]] = (),
) -> Settled:
    """The label of every figure.

    Args:
        figures: Of ``figures.load_figures``.
        decisions: Those that stand (``DecisionStore.current``).
        readers: Whose answers count; None for everybody's. The adjudicator's do in any case.
        adjudicator: The reader who decides where the others have no majority.
        empty_slides: Of ``figures.empty_slides``.
    """
    counted = [one for one in decisions if readers is None or one.reader in readers or one.reader == adjudicator]
    attached = attach(figures, counted, empty_slides=empty_slides)
    votes = _votes(len(figures), attached)
    slide_ids = {str(name) for name in figures["slide_id"].unique()} | {name for name, _ in empty_slides}
    table = _labelled(figures, attached, votes, adjudicator)
    return Settled(table, votes, attached.unattached, tuple(sorted(slide_ids)))


def _labelled(
    figures: pd.DataFrame, attached: Attached, votes: Mapping[int, Ballot], adjudicator: str | None
) -> pd.DataFrame:
    """The table with its new columns: those of rows that nobody answered at once, the others one by one."""
    table = pd.concat([figures, attached.added], ignore_index=True) if len(attached.added) else figures.copy()
    table["near_um"] = table.get("near_um", np.nan)
    answered = list(votes)
    verdicts = [verdict(ballot, adjudicator) for ballot in votes.values()]
    columns: dict[str, tuple[object, Sequence[object]]] = {
        "n_readers": (0, [len(ballot) for ballot in votes.values()]),
        "adjudicate": (False, [one.adjudicate for one in verdicts]),
        "reviewed": (False, [True] * len(votes)),
        "source": (MODEL, [REVIEW] * len(votes)),
        "answers": ("", [_words(ballot) for ballot in votes.values()]),
    }
    labels = table["label"].to_numpy(dtype=object, copy=True)
    labels[answered] = [one.label for one in verdicts]
    table["kind"] = [FIGURE] * len(figures) + [ADDED] * len(attached.added)
    table["final_label"] = pd.Series(labels, index=table.index, dtype=object)
    for name, (unanswered, values) in columns.items():
        column = np.full(len(table), unanswered, dtype=object)
        column[answered] = values
        table[name] = pd.Series(column.tolist(), index=table.index)
    return table


def _words(ballot: Ballot) -> str:
    return "; ".join(f"{reader}={one.answer}" for reader, one in ballot.items())


def verdict(ballot: Ballot, adjudicator: str | None = None) -> Verdict:
    """What one figure's answers come to.

    Args:
        ballot: The answer of each reader who gave one.
        adjudicator: The reader who decides where the others have no majority.
    """
    answers = [one.answer for reader, one in ballot.items() if reader != adjudicator]
    decider = ballot.get(adjudicator) if adjudicator is not None else None
    majority = _majority(answers)
    if majority is None and decider is not None:
        majority = decider.answer
    if majority is None:
        return Verdict(None, adjudicate=bool(answers))
    return Verdict(None if majority is Answer.CANNOT_TELL else str(majority), adjudicate=False)


def _majority(answers: Sequence[Answer]) -> Answer | None:
    if not answers:
        return None
    answer, n = Counter(answers).most_common(1)[0]
    return answer if 2 * n > len(answers) else None


def _votes(n_figures: int, attached: Attached) -> dict[int, Ballot]:
    """Of each row that was answered the answer of each reader that counts, readers by name."""
    of_added = {n_figures + number: decisions for number, decisions in enumerate(attached.of_added)}
    return {row: _ballot(decisions) for row, decisions in {**attached.of_figure, **of_added}.items()}


def _ballot(decisions: Sequence[Decision]) -> Ballot:
    latest = {one.reader: one for one in decisions}  # in order, so that the last one stays, as of_figure has it
    return {reader: latest[reader] for reader in sorted(latest)}
