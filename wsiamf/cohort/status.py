"""Where a cohort stands, read from its folder while it is being worked on: nothing is written, nothing is waited for.

A file that vanishes or is half there while it is read belongs to a moment that has passed; the next look sees the next one.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil

from wsiamf.cohort.items import Item
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import Plan, read_plan
from wsiamf.screen.key import key_options

SCHEMA: Final = "wsiamf.cohort-status/1"
STALE_S: Final = 60.0
"""A lock whose heartbeat is older was left behind."""

_SLIDE: Final = ".slide"
_RUN: Final = ".run"
_UNREADABLE: Final = "its failure record cannot be read"


@dataclass(frozen=True)
class Worker:
    """Who holds a lock and lives.

    Args:
        what: The slide's id, or the run's name.
        host, pid: The process; None where the lock is being written just now.
        since: Seconds since 1970; None where neither lock nor process tells.
    """

    what: str
    host: str | None
    pid: int | None
    since: float | None


@dataclass(frozen=True)
class Status:
    """Where a cohort stands; every slide is in one of ``done`` to ``no_candidates``.

    Args:
        n_slides: Rows of the plan.
        done: Slides whose result stands and was made with the plan's options.
        running: Slides that a living process holds.
        failed: Slide id and reason of each whose last try failed; those that a run now at work will try again are waiting.
        waiting: Slides not begun, those done with other options included.
        outdated: Of the waiting, those done with other options.
        no_candidates: Slides that the points file does not list.
        runs: Runs at work.
        slides_per_hour: Of the runs at work; None where none is, or none has finished a slide.
        eta_seconds: Until the last slide is done at that speed.
    """

    n_slides: int
    done: int
    running: tuple[Worker, ...]
    failed: tuple[tuple[str, str], ...]
    waiting: int
    outdated: int
    no_candidates: int
    runs: tuple[Worker, ...]
    slides_per_hour: float | None
    eta_seconds: float | None

    @property
    def is_over(self) -> bool:
        """Whether no run is at work and no slide is held."""
        return not self.runs and not self.running

    def as_json(self) -> dict[str, Any]:
        """Values that JSON has."""
        values = {"schema": SCHEMA, **asdict(self)}
        return values | {"failed": [{"slide_id": name, "reason": reason} for name, reason in self.failed]}


def read_status(places: Places) -> Status:
    """Look at a cohort's folder.

    Raises:
        CohortError: It holds no plan.
    """
    plan = read_plan(places)
    now = time.time()
    runs, held = living_locks(places.locks, now)
    began = min((run.since if run.since is not None else _written(places.plan) for run in runs), default=None)
    look = _Look(places, plan, {worker.what: worker for worker in held}, began)
    for item in plan.items:
        look.at(item)
    return look.status(runs, now)


class _Look:
    """Goes through the slides once and counts."""

    def __init__(self, places: Places, plan: Plan, held: dict[str, Worker], began: float | None) -> None:
        self._places = places
        self._options = dict(plan.options)
        self._held = held
        self._began = began
        self._failures = _names(places.failures)
        self._counts = dict.fromkeys(("done", "waiting", "outdated", "no_candidates"), 0)
        self._running: list[Worker] = []
        self._failed: list[tuple[str, str]] = []
        self._n = self._finished_now = 0

    def at(self, item: Item) -> None:
        self._n += 1
        if item.points is None:
            self._counts["no_candidates"] += 1
        elif item.slide_id in self._held:
            self._running.append(self._held[item.slide_id])
        elif self._has_failed(item.slide_id):
            self._failed.append((item.slide_id, self._reason(item.slide_id)))
        else:
            self._take_record(item)

    def status(self, runs: tuple[Worker, ...], now: float) -> Status:
        per_hour = eta = None
        if self._began is not None and self._finished_now and now > self._began:
            per_hour = 3600 * self._finished_now / (now - self._began)
            eta = 3600 * (self._counts["waiting"] + len(self._running)) / per_hour
        return Status(
            n_slides=self._n,
            running=tuple(self._running),
            failed=tuple(self._failed),
            runs=runs,
            slides_per_hour=per_hour,
            eta_seconds=eta,
            **self._counts,
        )

    def _has_failed(self, slide_id: str) -> bool:
        path = self._places.failure(slide_id)
        if path.name not in self._failures:
            return False
        if self._began is None:
            return True
        tried_now = _written(path) >= self._began
        self._finished_now += tried_now
        return tried_now

    def _reason(self, slide_id: str) -> str:
        stated = read_object(self._places.failure(slide_id))
        return " ".join(str(stated["reason"]).split()) if stated and stated.get("reason") else _UNREADABLE

    def _take_record(self, item: Item) -> None:
        record = read_object(self._places.record(item.slide_id))
        own = {} if item.mpp is None else {"mpp": item.mpp}
        if record is None:
            self._counts["waiting"] += 1
        elif key_options(record.get("options")) != key_options(self._options | own):
            self._counts["waiting"] += 1
            self._counts["outdated"] += 1
        else:
            self._counts["done"] += 1
            self._finished_now += self._began is not None and _ended(record) >= int(self._began)


def read_object(path: Path) -> dict[str, Any] | None:
    """A file's JSON object; None where the file is not there, or no object."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def living_locks(locks: Path, now: float) -> tuple[tuple[Worker, ...], tuple[Worker, ...]]:
    """Holders of runs' locks and of slides' locks that live, by name."""
    runs: list[Worker] = []
    slides: list[Worker] = []
    for name in sorted(_names(locks)):
        path = locks / name
        if path.suffix not in (_RUN, _SLIDE) or now - _written(path) > STALE_S:
            continue
        holder = _holder(path)
        if holder is not None:
            (runs if path.suffix == _RUN else slides).append(holder)
    return tuple(runs), tuple(slides)


def _holder(path: Path) -> Worker | None:
    what = path.name.removesuffix(path.suffix)
    stated = read_object(path)
    if stated is None:  # being written just now, or gone already
        return Worker(what, None, None, None) if path.exists() else None
    host, pid, since = stated.get("host"), stated.get("pid"), stated.get("since")
    here = host == socket.gethostname()
    if here and not _lives(pid):
        return None
    if not isinstance(since, int | float):
        since = _process_began(pid) if here and path.suffix == _RUN else None
    return Worker(what, str(host), pid if isinstance(pid, int) else None, since)


def _lives(pid: object) -> bool:
    return _of_process(pid, lambda process: process.status() != psutil.STATUS_ZOMBIE) is True


def _process_began(pid: object) -> float | None:
    began: float | None = _of_process(pid, lambda process: float(process.create_time()))
    return began


def _of_process(pid: object, ask: Callable[[Any], Any]) -> Any:
    with suppress(psutil.Error, ValueError, TypeError):
        return ask(psutil.Process(pid))
    return None


def _names(folder: Path) -> frozenset[str]:
    return frozenset(_entries(folder))


def _entries(folder: Path) -> Iterator[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from (entry.name for entry in entries)


def _written(path: Path) -> float:
    """When a file was written last; 0 where it is gone."""
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _ended(record: dict[str, Any]) -> float:
    with suppress(KeyError, TypeError, ValueError):
        return datetime.fromisoformat(record["times"]["ended"]).timestamp()
    return 0.0
