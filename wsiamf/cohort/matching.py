"""Figures of two runs on one slide, put side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import KDTree

from wsiamf.statuses import OK

NEAR_UM: Final = 2.0
ABSENT: Final = "absent"

MatchedBy = Literal["uuid", "position", "none"]


@dataclass(frozen=True)
class Pair:
    """A figure of two runs.

    Args:
        before, after: Its row's place in either table, from 0; None where that run has no such figure.
        matched_by: What said that both are one.
    """

    before: int | None
    after: int | None
    matched_by: MatchedBy


def pair_figures(before: pd.DataFrame, after: pd.DataFrame) -> list[Pair]:
    """Every row of either table once: pairs by uuid, then by position within 2 um (nearest first), then single rows.

    Args:
        before, after: Tables of predictions.
    """
    places = {identity: place for place, identity in enumerate(after["uuid"])}
    pairs = [
        Pair(place, places[identity], "uuid") for place, identity in enumerate(before["uuid"]) if identity in places
    ]
    left = _others(len(before), [pair.before for pair in pairs])
    right = _others(len(after), [pair.after for pair in pairs])
    near = _nearest_pairs(_positions(before, left), _positions(after, right))
    pairs += [Pair(int(left[one]), int(right[other]), "position") for one, other in near]
    lone = _others(len(before), [pair.before for pair in pairs])
    pairs += [Pair(int(place), None, "none") for place in lone]
    lone = _others(len(after), [pair.after for pair in pairs])
    return pairs + [Pair(None, int(place), "none") for place in lone]


def states(table: pd.DataFrame) -> list[str]:
    """Of each row its class where it counts, else its status."""
    return [label if status == OK else status for label, status in zip(table["label"], table["status"], strict=True)]


def _others(n: int, taken: list[Any]) -> NDArray[np.intp]:
    free = np.ones(n, dtype=bool)
    free[[place for place in taken if place is not None]] = False
    return np.flatnonzero(free)


def _positions(table: pd.DataFrame, places: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N, 2) in um."""
    return table[["x_um", "y_um"]].iloc[places].to_numpy(dtype=np.float64, na_value=np.nan)


def _nearest_pairs(first_N2: NDArray[np.float64], second_N2: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Places of rows closer than ``NEAR_UM``, the nearest pair first, none used twice; rows without a position have none."""
    usable = [np.flatnonzero(np.isfinite(points).all(axis=1)) for points in (first_N2, second_N2)]
    if not len(usable[0]) or not len(usable[1]):
        return []
    first, second = KDTree(first_N2[usable[0]]), KDTree(second_N2[usable[1]])
    found = first.sparse_distance_matrix(second, NEAR_UM, output_type="ndarray")
    order = np.lexsort((found["j"], found["i"], found["v"]))
    pairs, used_first, used_second = [], set(), set()
    for one, other in zip(found["i"][order].tolist(), found["j"][order].tolist(), strict=True):
        if one not in used_first and other not in used_second:
            used_first.add(one)
            used_second.add(other)
            pairs.append((int(usable[0][one]), int(usable[1][other])))
    return pairs
