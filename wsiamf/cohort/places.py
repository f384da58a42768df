"""Where a cohort's files are: results in OUT, what the engine needs to know in one hidden folder of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsiamf.files import RUN_RECORD

STATE_FOLDER: Final = ".wsiamf-cohort"
RESULT_NAMES: Final = (
    "cohort.csv",
    "cohort.parquet",
    "cohort.json",
    "cases.csv",
    "regions.csv",
    "failures.csv",
    "summary.md",
    "methods.md",
    "predictions",
    "report.html",
)
"""What ``collect`` writes."""
RESERVED_NAMES: Final = frozenset({*RESULT_NAMES, STATE_FOLDER, "review"})
"""What no slide's folder may be called."""


@dataclass(frozen=True)
class Places:
    """The paths of one cohort.

    Args:
        out: The folder of results.
    """

    out: Path

    @property
    def state(self) -> Path:
        """The engine's own folder: plan, locks, failures, logs."""
        return self.out / STATE_FOLDER

    @property
    def plan(self) -> Path:
        """What is to be done with what: ``wsiamf.cohort-plan/1``."""
        return self.state / "plan.json"

    @property
    def collected(self) -> Path:
        """Hashes of the tables and pages that ``collect`` wrote: ``wsiamf.cohort-collected/1``."""
        return self.state / "collected.json"

    @property
    def locks(self) -> Path:
        """One file a slide that is being worked on, and one a run."""
        return self.state / "locks"

    @property
    def failures(self) -> Path:
        """``<slide_id>.json`` for each slide whose last try failed."""
        return self.state / "failures"

    @property
    def logs(self) -> Path:
        """A log file a run, and one a child process."""
        return self.state / "logs"

    def folder(self, slide_id: str) -> Path:
        """A slide's results."""
        return self.out / slide_id

    def record(self, slide_id: str) -> Path:
        """A slide's ``run.json``; its presence means that the folder is whole."""
        return self.folder(slide_id) / RUN_RECORD

    def failure(self, slide_id: str) -> Path:
        """Why a slide's last try failed."""
        return self.failures / f"{slide_id}.json"
