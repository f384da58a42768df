"""Identities that survive a re-run: UUIDv5 of role, slide and place, so that QuPath knows an object again.

The name that is hashed is ``role/fingerprint/x/y/n`` with x and y in whole um and ``n`` counting the repeats of one
place in the order given: another model or another points file gives the same figure the same UUID, and no two roles
ever share one.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

Role = Literal["detection", "review", "hotspot"]

DETECTION: Final = "detection"
REVIEW: Final = "review"
HOTSPOT_ROLE: Final = "hotspot"

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "wsiamf")
"""Never to be changed: every identity ever written hangs on it."""


def assign_uuids(fingerprint: str, role: Role, x_um: ArrayLike, y_um: ArrayLike) -> list[str]:
    """Give each position its UUID.

    Args:
        fingerprint: The slide's (``Slide.fingerprint``).
        role: What the object is; objects of different roles never share a UUID.
        x_um: Centres in um of level 0; NaN where a row has no usable position.
        y_um: Likewise.

    Returns:
        One UUID a position, in the same order, all of them different.
    """
    columns = np.asarray(x_um, dtype=np.float64).tolist()
    rows = np.asarray(y_um, dtype=np.float64).tolist()
    seen: Counter[str] = Counter()
    identities = []
    for x, y in zip(columns, rows, strict=True):
        place = f"{_whole_um(x)}/{_whole_um(y)}"
        identities.append(str(uuid.uuid5(NAMESPACE, f"{role}/{fingerprint}/{place}/{seen[place]}")))
        seen[place] += 1
    return identities


def _whole_um(value: float) -> str:
    return str(math.floor(value + 0.5)) if math.isfinite(value) else "-"
