"""Progress on a terminal, silence in a pipe; and a line on stderr for each epoch of a training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from wsiamf.training.loop.fit import Progress


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr with rate and remaining time; nothing where stderr is no terminal or ``-q`` was given."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True)
    hidden = not console.is_terminal or logging.getLogger("wsiamf").level >= logging.ERROR
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def report_epoch(name: str, epochs: int, progress: Progress) -> None:
    """Say how an epoch went and how long the rest may take; nothing with ``-q``."""
    if logging.getLogger("wsiamf").level >= logging.ERROR:
        return
    row = progress.log[-1]
    validation = ""
    if "validation_auc" in row:
        validation = (
            f", validation balanced accuracy {row['validation_balanced_accuracy']:.3f}, AUC {row['validation_auc']:.3f}"
        )
    remaining = progress.remaining_seconds(epochs) / 60
    click.echo(
        f"wsiamf: {name}: epoch {progress.epoch}/{epochs}, loss {row['loss']:.4f}{validation}, {remaining:.0f} min to go",
        err=True,
    )
