"""What ``wsiamf verify`` finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

PROBLEM: Final = "problem"
WARNING: Final = "warning"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, or that could not be checked.

    Args:
        level: ``problem`` (the results are not what was written, or do not agree) or ``warning``.
        where: The slide's id, the file of the cohort, or empty for the whole.
        text: What it is, one line.
    """

    level: Literal["problem", "warning"]
    where: str
    text: str

    def as_json(self) -> dict[str, Any]:
        """Values that JSON has."""
        return asdict(self)


Faults = Iterator[Fault]


def problem(where: str, text: str) -> Fault:
    """Something that is wrong."""
    return Fault("problem", where, " ".join(text.split()))


def warning(where: str, text: str) -> Fault:
    """Something that could not be checked, or that is missing without being wrong."""
    return Fault("warning", where, " ".join(text.split()))
