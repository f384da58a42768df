"""Decisions to figures: each to the nearest figure of its slide within 2 um, additions to figures of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from wsiamf.export.uuids import ADDED as ADDED_ROLE
from wsiamf.export.uuids import assign_uuids
from wsiamf.review.answers import ADDED, SAME_PLACE_UM, Decision

ONE_FIGURE_UM: Final = 7.5
"""Additions nearer than this are one figure, as detections are."""
_SLACK: Final = 1e-9
_NO_SLIDE: Final = "its slide is not among the results"
_EMPTY_SLIDE: Final = "its slide has no figure now"
_NO_FIGURE: Final = f"no figure within {SAME_PLACE_UM:g} um"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Unattached:
    """A decision that is about none of the figures.

    Args:
        decision: As it was given.
        reason: Why.
        nearest_um: Distance to the nearest figure of its slide; None where the slide has none.
    """

    decision: Decision
    reason: str
    nearest_um: float | None


@dataclass(frozen=True)
class Attached:
    """Decisions and what they are about.

    Args:
        of_figure: Of each figure that was answered (its place in the figures table, from 0) the decisions, in order, those
            given to this very figure after those that only lie near it: a reader's last one is what she says of it.
        added: The figures that readers added, one row each: ``slide_id``, ``fingerprint``, ``case_id``, ``uuid``, ``x_um``,
            ``y_um``, ``near_um`` (distance to the nearest figure of the table where that is less than 7.5 um, else NaN: the
            same figure, perhaps).
        of_added: Decisions of each row of ``added``, in order.
        unattached: Decisions about no figure of the table.
    """

    of_figure: dict[int, list[Decision]]
    added: pd.DataFrame
    of_added: list[list[Decision]]
    unattached: list[Unattached]


class _Slide:
    """The figures of one slide and where they are."""

    def __init__(self, figures: pd.DataFrame, rows: NDArray[np.intp]) -> None:
        self.rows = rows
        self.slide_ids = figures["slide_id"].to_numpy()[rows]
        self.cases = figures["case_id"].to_numpy()[rows]
        self._points = figures[["x_um", "y_um"]].to_numpy(dtype=np.float64)[rows]
        self._tree = cKDTree(self._points)
        self._place_of = {uuid: place for place, uuid in enumerate(figures["uuid"].to_numpy()[rows])}

    def nearest(self, x_um: float, y_um: float) -> tuple[int, float]:
        """Place of the nearest figure among the slide's, and its distance in um."""
        distance, place = self._tree.query([x_um, y_um])
        return int(place), float(distance)

    def figure_of(self, decision: Decision) -> tuple[int | None, float]:
        """Row of the figure that a decision is about, None where none is near enough; and the distance to the nearest.

        The very figure that was shown goes before one that lies nearer.
        """
        place, distance = self.nearest(decision.x_um, decision.y_um)
        if distance > SAME_PLACE_UM + _SLACK:
            return None, distance
        shown = self._place_of.get(decision.candidate_uuid)
        if shown is not None:
            apart = float(np.hypot(*(self._points[shown] - (decision.x_um, decision.y_um))))
            place = shown if apart <= SAME_PLACE_UM + _SLACK else place
        return int(self.rows[place]), distance


def attach(
    figures: pd.DataFrame, decisions: Sequence[Decision], *, empty_slides: Sequence[tuple[str, str]] = ()
) -> Attached:
    """Find the figure of every decision.

    An addition within 2 um of a figure is about that figure: a later points file has it. Any other addition is a figure of
    its own, one where readers' additions lie within 7.5 um of the first of them.

    Args:
        figures: Of ``figures.load_figures``.
        decisions: Those that stand (``standing.standing``).
        empty_slides: Of ``figures.empty_slides``.

    Returns:
        Every decision once: at a figure, at an added one, or unattached.
    """
    slides = _slides(figures)
    empty_marks = {mark for _, mark in empty_slides}
    of_figure: dict[int, list[Decision]] = {}
    unattached: list[Unattached] = []
    additions: list[tuple[Decision, str, str | None, float]] = []
    for decision in decisions:
        slide = slides.get((decision.slide_id, decision.fingerprint)) or slides.get(("", decision.fingerprint))
        row, distance = (None, np.inf) if slide is None else slide.figure_of(decision)
        if row is not None:
            of_figure.setdefault(row, []).append(decision)
        elif decision.kind == ADDED and slide is not None:
            additions.append((decision, str(slide.slide_ids[0]), slide.cases[0], distance))
        elif decision.kind == ADDED and (decision.slide_id, decision.fingerprint) in empty_slides:
            additions.append((decision, decision.slide_id, None, distance))
        else:
            reason = _NO_FIGURE if slide else _EMPTY_SLIDE if decision.fingerprint in empty_marks else _NO_SLIDE
            unattached.append(Unattached(decision, reason, None if slide is None else distance))
    uuids = figures["uuid"].to_numpy()
    for row, near in of_figure.items():
        # one that was given to a neighbour which a re-run dropped must not replace its own
        near.sort(key=lambda one: one.candidate_uuid == uuids[row])
    added, of_added = _added_figures(additions)
    return Attached(of_figure, added, of_added, unattached)


def _slides(figures: pd.DataFrame) -> dict[tuple[str, str], _Slide]:
    """The slides by folder and fingerprint, and by fingerprint alone for decisions given when the folder had another name."""
    places = figures.groupby(["slide_id", "fingerprint"], sort=False).indices
    keys = figures[["slide_id", "fingerprint"]].drop_duplicates().itertuples(index=False, name=None)
    found = {key: _Slide(figures, np.asarray(places[key])) for key in keys}
    for (_, mark), slide in list(found.items()):
        found.setdefault(("", mark), slide)
    return found


def _added_figures(
    additions: Sequence[tuple[Decision, str, str | None, float]],
) -> tuple[pd.DataFrame, list[list[Decision]]]:
    """One figure for each first addition, which later ones within 7.5 um join."""
    rows: list[dict[str, object]] = []
    of_added: list[list[Decision]] = []
    for decision, slide_id, case_id, distance in additions:
        near = [
            (apart, number)
            for number, row in enumerate(rows)
            if (row["slide_id"], row["fingerprint"]) == (slide_id, decision.fingerprint)
            and (apart := _apart(of_added[number][0], decision)) < ONE_FIGURE_UM
        ]
        if near:
            of_added[min(near)[1]].append(decision)
            continue
        near_um = distance if distance < ONE_FIGURE_UM else np.nan
        place = {"x_um": decision.x_um, "y_um": decision.y_um, "near_um": near_um}
        rows.append({"slide_id": slide_id, "fingerprint": decision.fingerprint, "case_id": case_id, **place})
        of_added.append([decision])
    added = pd.DataFrame(rows, columns=["slide_id", "fingerprint", "case_id", "x_um", "y_um", "near_um"])
    added.insert(3, "uuid", _uuids(added))
    return added, of_added


def _apart(one: Decision, other: Decision) -> float:
    return float(np.hypot(one.x_um - other.x_um, one.y_um - other.y_um))


def _uuids(added: pd.DataFrame) -> pd.Series:
    uuids = pd.Series(index=added.index, dtype=object)
    for fingerprint, rows in added.groupby("fingerprint").groups.items():
        own = added.loc[rows]
        uuids.loc[rows] = assign_uuids(str(fingerprint), ADDED_ROLE, own["x_um"], own["y_um"])
    return uuids
