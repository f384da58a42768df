"""A check's outcome, and how a check that breaks becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Level = Literal["PASS", "WARN", "FAIL"]
PASS: Final = "PASS"  # noqa: S105 - no password
WARN: Final = "WARN"
FAIL: Final = "FAIL"

_BROKEN_REMEDY: Final = "repair what the message names, or install wsiamf anew"


@dataclass(frozen=True)
class Verdict:
    """What a check says.

    Args:
        level: ``PASS``, ``WARN`` (works, but slowly or not for everything) or ``FAIL``.
        found: What was found, one line.
        remedy: What to do about it; None where nothing is wrong.
    """

    level: Level
    found: str
    remedy: str | None = None


@dataclass(frozen=True)
class Finding:
    """A check by name and its verdict."""

    check: str
    level: Level
    found: str
    remedy: str | None

    def as_json(self) -> dict[str, Any]:
        """Values that JSON has."""
        return asdict(self)


def carry_out(name: str, check: Callable[[], Verdict]) -> Finding:
    """Run a check; one that raises is a FAIL with its one line."""
    try:
        verdict = check()
    except Exception as error:  # noqa: BLE001 - whatever breaks a check is what the user must hear of
        verdict = Verdict(FAIL, _one_line(error), _BROKEN_REMEDY)
    return Finding(name, verdict.level, verdict.found, verdict.remedy)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
