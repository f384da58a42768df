"""Which of many answers stand: of each reader and place the latest, whoever kept them in which file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from wsiamf.review.answers import SAME_PLACE_UM, Decision

_SLACK: Final = 1e-9  # places are compared as they are, whatever the rounding of a distance


def standing(decisions: Sequence[Decision]) -> list[Decision]:
    """Of each reader and place the latest answer that is not withdrawn.

    A place is a slide (folder and fingerprint) and what lies within 2 um. An answer falls if the same reader gave a later
    one that stands there; one that only lies near another that fell stays. Answers to two candidates that were both shown are
    of two places, however near these lie: points that persons labelled are never merged. (If a re-run moved a candidate a
    little, the answers to its old and new place meet again where they are attached: the one to the new place counts, or the
    later one where neither was given to the figure that is there now.)

    Args:
        decisions: In the order in which they were given.

    Returns:
        Those that stand, in that order.
    """
    groups: dict[tuple[str, str, str], list[int]] = {}
    for number, decision in enumerate(decisions):
        if not decision.withdrawn:
            groups.setdefault((decision.reader, decision.slide_id, decision.fingerprint), []).append(number)
    kept = [number for numbers in groups.values() for number in _latest(decisions, numbers)]
    return [decisions[number] for number in sorted(kept)]


def _latest(decisions: Sequence[Decision], numbers: Sequence[int]) -> list[int]:
    points = np.array([[decisions[number].x_um, decisions[number].y_um] for number in numbers])
    near = cKDTree(points).query_ball_point(points, SAME_PLACE_UM + _SLACK)
    fallen: set[int] = set()
    kept = []
    for place in reversed(range(len(numbers))):  # the latest first
        if place not in fallen:
            kept.append(numbers[place])
            this = decisions[numbers[place]]
            fallen.update(other for other in near[place] if _may_be_one(this, decisions[numbers[other]]))
    return kept


def _may_be_one(one: Decision, other: Decision) -> bool:
    """Whether two answers that lie near each other are about one place: not if they name two candidates."""
    return one.candidate_uuid == other.candidate_uuid or None in (one.candidate_uuid, other.candidate_uuid)


class Said:
    """What one reader says already, to be looked up by place.

    Args:
        decisions: Her answers that stand.
    """

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._on: dict[tuple[str, str], list[Decision]] = {}
        for decision in decisions:
            self._on.setdefault((decision.slide_id, decision.fingerprint), []).append(decision)
        self._trees = {slide: cKDTree([(one.x_um, one.y_um) for one in own]) for slide, own in self._on.items()}

    def holds(self, decision: Decision) -> bool:
        """Whether she says the same of the same place, told as ``standing`` tells it, a figure and an addition apart."""
        slide = (decision.slide_id, decision.fingerprint)
        if slide not in self._trees:
            return False
        near = self._trees[slide].query_ball_point([decision.x_um, decision.y_um], SAME_PLACE_UM + _SLACK)
        return any(
            one.answer is decision.answer and one.kind == decision.kind and _may_be_one(one, decision)
            for one in (self._on[slide][place] for place in near)
        )


def merge(files: Iterable[Sequence[Decision]]) -> list[Decision]:
    """The answers of readers who worked in files of their own, as if they had worked in one.

    Numbers of decisions mean nothing across files, so answers are told apart by their content: one that stands in several
    files is one answer, and one that any of the files has as withdrawn is withdrawn.

    Args:
        files: The answers of each file.

    Returns:
        All of them by time, numbered anew from 1.
    """
    merged: dict[Decision, bool] = {}
    for decisions in files:
        for decision in decisions:
            content = replace(decision, decision_id=None, withdrawn=False)
            merged[content] = merged.get(content, False) or decision.withdrawn
    in_order = sorted(merged, key=_by_time)
    return [
        replace(content, decision_id=number, withdrawn=merged[content])
        for number, content in enumerate(in_order, start=1)
    ]


def _by_time(decision: Decision) -> tuple[str, str, str, float, float, str]:
    return decision.time, decision.reader, decision.fingerprint, decision.x_um, decision.y_um, decision.answer
