"""Numbers as a reader sees them; what cannot be told is a word, never NaN, None or an empty cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

NOT_ESTIMABLE: Final = "not estimable"
NOTHING: Final = "–"  # noqa: RUF001 - an en dash, where nothing can be told
_LEAST: Final = 1e-6  # smaller numbers are called less than this
_GAP: Final = "\N{NO-BREAK SPACE}"


def percent(share: float) -> str:
    """A share from 0 to 1 as per cent with one decimal."""
    return f"{100 * share:.1f}{_GAP}%"


def percent_range(low: float, high: float) -> str:
    """Two shares as a range in per cent."""
    return f"{100 * low:.1f} to {percent(high)}"


def number(value: float) -> str:
    """A number with about three digits, thousands parted by commas; whole numbers stay whole."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    if abs(value) < _LEAST:
        return f"less than {_LEAST:f}"
    rounded = round(value, max(0, 2 - math.floor(math.log10(abs(value)))))
    size = abs(rounded)
    if size < 1:
        return f"{rounded:.6f}".rstrip("0")
    return f"{rounded:,.{0 if size >= 100 else 1 if size >= 10 else 2}f}"


def number_range(low: float, high: float) -> str:
    """Two numbers as a range."""
    return f"{number(low)} to {number(high)}"


def counted(n: int, noun: str) -> str:
    """A number with its noun: ``1 slide``, ``2,000 slides``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def decimals_or_nothing(value: float | None, decimals: int) -> str:
    """A probability or score with fixed decimals, or a dash."""
    return NOTHING if value is None else f"{value:.{decimals}f}"


def limits(fields: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """Both ends of an interval of a summary; None where it is null."""
    interval = fields.get(name)
    return None if interval is None else (float(interval["low"]), float(interval["high"]))


def limits_of(fields: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Both ends of an interval that stands wherever its figure does.

    Raises:
        KeyError: It is missing or null.
    """
    found = limits(fields, name)
    if found is None:
        raise KeyError(name)
    return found
