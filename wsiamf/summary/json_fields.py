"""How a number, an interval and the lack of one stand in ``summary.json``."""

from __future__ import annotations

from typing import Any, Final

from wsiamf.summary.intervals import LEVEL, Interval

Fields = dict[str, Any]

STATUS_OK: Final = "ok"
NO_FIGURES: Final = "not estimable: no figure counts"

_DIGITS: Final = 6
_PX_DECIMALS: Final = 3


def nullable(name: str, value: Any, reason: str) -> Fields:
    """A field that may be null, and its ``_status``: ``ok``, or the reason why there is no value."""
    return {name: value, f"{name}_status": reason if value is None else STATUS_OK}


def significant(value: float) -> float:
    """A number rounded to six significant digits: the same bytes whatever the order of a sum."""
    return float(f"{value:.{_DIGITS}g}") + 0.0  # + 0.0: no minus before a nought


def position(value: float) -> float:
    """A coordinate or length in px or um, rounded to a thousandth."""
    return round(float(value), _PX_DECIMALS) + 0.0


def interval_fields(interval: Interval | None, method: str, covers: str, **more: Any) -> Fields | None:
    """An interval whose coverage of the experts' majority was measured; None stays None."""
    return _interval(interval, {"level": LEVEL, "method": method, "covers": covers, **more})


def nominal_fields(interval: Interval | None, method: str, covers: str, **more: Any) -> Fields | None:
    """An interval that holds its level for part of the doubt alone, so that it covers the experts' majority less often."""
    return _interval(interval, {"nominal_level": LEVEL, "method": method, "covers": covers, **more})


def _interval(interval: Interval | None, stated: Fields) -> Fields | None:
    if interval is None:
        return None
    low, high = interval
    return {"low": significant(low), "high": significant(high), **stated}
