"""What ``wsiamf cohort`` shows: one bar for the whole run, failures as they come, and what it all came to."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from wsiamf.cohort.collecting import Collected
    from wsiamf.cohort.engine import Progress as SlideProgress
    from wsiamf.cohort.running import Outcome
    from wsiamf.cohort.screening import ShardDone, Started


class CohortTerminal:
    """One bar on stderr with slides/s, crops/s, time left and failures; in a pipe, a line for each failure alone."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._quiet = logging.getLogger("wsiamf").level >= logging.ERROR
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(
            *columns,
            TextColumn("{task.fields[rates]}"),
            console=console,
            transient=True,
            disable=self._quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("slides", total=None, rates="")
        self._started = time.monotonic()
        self._n_crops = self._n_slides = self._n_failed = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, event: Started | SlideProgress | Outcome) -> None:
        """Take in what a run says."""
        from wsiamf.cohort.running import Outcome
        from wsiamf.cohort.screening import Started

        if isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Outcome):
            self._count(event)

    def _begin(self, event: Started) -> None:
        due = event.due
        self._started = time.monotonic()
        self._bar.update(self._task, total=len(due.todo), completed=0)
        self._say(f"{len(due.todo)} slides to screen, {len(due.done) + len(due.mixed)} done already; log: {event.log}")
        for part, n in due.invalidated.most_common():
            self._say(f"{n} results are done again: {part}")
        if event.dashboard:
            self._say(f"dashboard: {event.dashboard}")

    def _count(self, outcome: Outcome) -> None:
        self._n_slides += 1
        self._n_crops += outcome.n_crops
        if outcome.status == "failed":
            self._n_failed += 1
            self._say(f"{outcome.slide_id}: failed: {outcome.reason}")
        seconds = max(time.monotonic() - self._started, 1e-9)
        rates = (
            f"{self._n_slides / seconds:.2f} slides/s, {self._n_crops / seconds:.0f} crops/s, {self._n_failed} failed"
        )
        self._bar.update(self._task, completed=self._n_slides, rates=rates)

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._bar.console.print(f"wsiamf: {text}", markup=False, highlight=False, soft_wrap=True)


def report_collected(collected: Collected) -> int:
    """Say what a cohort came to, print the page's path, and give the exit code."""
    for warning in collected.warnings:
        logging.getLogger("wsiamf").warning("%s", warning)
    counts = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in collected.n_by_status.items() if n)
    _say(f"{collected.n_cases} cases; slides: {counts or 'none'}")
    if collected.n_failed:
        click.echo(f"wsiamf: error: {collected.n_failed} slides have no result; see failures.csv.", err=True)
    click.echo(str(collected.out / "summary.md"))
    return 1 if collected.n_failed else 0


def report_shard(done: ShardDone) -> int:
    """Say what a shard came to, and give the exit code."""
    counts = done.n_by_status
    _say(
        f"shard: {counts['done']} slides done, {counts['failed']} failed; after the last shard: wsiamf cohort collect OUT"
    )
    return 1 if counts["failed"] else 0


def _say(text: str) -> None:
    if logging.getLogger("wsiamf").level < logging.ERROR:
        click.echo(f"wsiamf: {text}", err=True)
