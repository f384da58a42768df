"""Identities that survive a re-run: UUIDv5 of role, slide and place, so that QuPath knows an object again.

The name that is hashed is ``role/fingerprint/x/y/n`` with x and y in whole um and ``n`` counting the repeats of one
place in the order given: another model or another points file gives the same figure the same UUID, and no two roles
ever share one.
"""

from __future__ import annotations

import math
import uuid
from hashlib import sha1
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Role = Literal["detection", "review", "hotspot", "added"]

DETECTION: Final = "detection"
REVIEW: Final = "review"
HOTSPOT_ROLE: Final = "hotspot"
ADDED: Final = "added"
"""A figure that the points missed and a reader added."""

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "wsiamf")
"""Never to be changed: every identity ever written hangs on it."""


class Identities:
    """The UUIDs of N positions, each made when it is asked for.

    Args:
        fingerprint: The slide's (``Slide.fingerprint``).
        role: What the objects are; objects of different roles never share a UUID.
        x_um: (N,) centres in um of level 0; NaN where a row has no usable position.
        y_um: Likewise.
    """

    def __init__(self, fingerprint: str, role: Role, x_um: ArrayLike, y_um: ArrayLike) -> None:
        self._column, self._row = _whole_um(x_um), _whole_um(y_um)
        if len(self._column) != len(self._row):
            raise ValueError(f"{len(self._column)} x and {len(self._row)} y: one is shorter")
        self._repeat = _repeats(self._column, self._row)
        self._start = sha1(NAMESPACE.bytes + f"{role}/{fingerprint}/".encode(), usedforsecurity=False)

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, position: int) -> str:
        """The UUID of a position, counted from 0."""
        place = f"{_word(self._column[position])}/{_word(self._row[position])}"
        digest = self._start.copy()
        digest.update(f"{place}/{self._repeat[position]}".encode())
        return str(uuid.UUID(bytes=digest.digest()[:16], version=5))


def assign_uuids(fingerprint: str, role: Role, x_um: ArrayLike, y_um: ArrayLike) -> list[str]:
    """The UUIDs of all positions of ``Identities``, in their order; all of them differ."""
    identities = Identities(fingerprint, role, x_um, y_um)
    return [identities[position] for position in range(len(identities))]


def _whole_um(values: ArrayLike) -> NDArray[np.float64]:
    """Nearest whole um, as float; NaN where there is no finite number."""
    whole = np.floor(np.asarray(values, dtype=np.float64) + 0.5)
    return np.where(np.isfinite(whole), whole, np.nan)


def _word(whole_um: float) -> str:
    return "-" if math.isnan(whole_um) else str(int(whole_um))


def _repeats(column: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of the positions before each one lie at its place; NaN is a place like others."""
    order = np.lexsort((row, column))  # stable: those of one place stay in their order
    same = _equal_to_last(column[order]) & _equal_to_last(row[order])
    number = np.arange(len(order))
    first = np.maximum.accumulate(np.where(same, 0, number))
    repeats = np.empty(len(order), dtype=np.int64)
    repeats[order] = number - first
    return repeats


def _equal_to_last(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    equal = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    return np.concatenate([np.zeros(min(1, len(values)), dtype=np.bool_), equal])
