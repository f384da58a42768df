"""Timing several sides of a comparison in turn, so that what else the machine does meets them all alike."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Timed:
    """What one side took.

    Args:
        rounds_s: Wall time of each round, in seconds.
        cpu_s: Processor time of each round over all threads and processes; it tells of a machine that was busy with else.
        results: What each round returned.
    """

    rounds_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.rounds_s)


def in_turn(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Timed]:
    """Run every side once a round.

    Args:
        sides: What is timed, by name; each one starts afresh.
        rounds: How often each one runs.
    """
    taken = {name: Timed() for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            started, spent = time.perf_counter(), _cpu_seconds()
            taken[name].results.append(side())
            taken[name].rounds_s.append(time.perf_counter() - started)
            taken[name].cpu_s.append(_cpu_seconds() - spent)
            note = f"  round {number + 1} of {rounds}, {name}: {taken[name].rounds_s[-1]:.2f} s"
            print(note, file=sys.stderr, flush=True)
    return taken


def _cpu_seconds() -> float:
    """Processor time of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
