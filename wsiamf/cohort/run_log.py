"""The log file of a run: what wsiamf says, and what becomes of each slide."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wsiamf.cohort.places import Places
from wsiamf.files import output_errors

_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"


@dataclass(frozen=True)
class RunLog:
    """An open log.

    Args:
        path: The file.
    """

    path: Path
    _handler: logging.Handler

    def say(self, text: str, level: int = logging.INFO) -> None:
        """Write a line, whatever the level of what the terminal shows."""
        self._handler.handle(logging.LogRecord(__name__, level, "", 0, text, None, None))


class _Handler(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's signature
        """Say nothing: a full disk is reported by what needs it, and its lines in the log are lost anyhow."""


@contextmanager
def run_log(places: Places) -> Iterator[RunLog]:
    """Open a log of its own for a run, which also gets what wsiamf says meanwhile.

    Raises:
        OutputError: It cannot be written.
    """
    with output_errors(places.logs):
        places.logs.mkdir(parents=True, exist_ok=True)
        path = places.logs / f"run-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.log"
        handler = _Handler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(_FORMAT))
    log, package = RunLog(path, handler), logging.getLogger("wsiamf")
    package.addHandler(handler)
    try:
        yield log
    except BaseException as error:
        log.say(f"ended: {type(error).__name__}: {error}", logging.ERROR)
        raise
    finally:
        package.removeHandler(handler)
        handler.close()
