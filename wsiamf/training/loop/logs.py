"""What a run writes down of each epoch: ``log.csv``, and events for TensorBoard."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from wsiamf.errors import ConfigError
from wsiamf.files import atomic_file

Row = dict[str, float]
_FIELDS: Final = ("epoch", "loss", "validation_loss", "validation_balanced_accuracy", "validation_auc", "lr", "seconds")


def write_log(path: Path, rows: Sequence[Row]) -> None:
    """A line an epoch; the columns of the validation part are empty where there is none."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, _FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: round(value, 6) for key, value in row.items()} for row in rows)


def check_tensorboard() -> None:
    """Raise a ``ConfigError`` unless TensorBoard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("fit.tensorboard: TensorBoard is not installed; pip install 'wsiamf[train]', or turn it off.")


@contextmanager
def tensorboard_events(folder: Path, done: int) -> Iterator[Callable[[Row], None]]:
    """Give a function that writes an epoch's values to TensorBoard event files.

    Args:
        folder: Of the event files; made if missing.
        done: Epochs that are done; events of later ones, which a run left that was stopped before it saved them, are struck.
    """
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - of the train extra, and slow to load

    with SummaryWriter(str(folder), purge_step=done + 1) as writer:

        def add(row: Row) -> None:
            for name in _FIELDS[1:]:
                if name in row:
                    writer.add_scalar(name, row[name], int(row["epoch"]))
            writer.flush()

        yield add
