"""One slide of a cohort: under its lock, in a child process, tried again where that is of use."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from wsiamf.cohort.child_process import (
    ChildCrashedError,
    ChildSettings,
    ChildTimedOutError,
    ModelFailedError,
    OnProgress,
    Request,
    SlideFailedError,
)
from wsiamf.cohort.children import POOL, ChildPool
from wsiamf.cohort.items import Classes, Item
from wsiamf.cohort.locks import SLIDE_SUFFIX, LockHeldError, slide_lock
from wsiamf.cohort.places import STATE_FOLDER, Places
from wsiamf.cohort.planning import Today
from wsiamf.errors import CohortError, ConfigError, OutputError, WsiamfError
from wsiamf.files import TEMPORARY_PREFIX, dump_json, leftover_pattern, output_errors, remove_leftovers, write_text
from wsiamf.screen.key import COMPUTED_BY

logger = logging.getLogger(__name__)

FAILURE_SCHEMA: Final = "wsiamf.cohort-failure/1"
LOCK_WAIT_S: Final = 120.0
"""Twice what it takes a lock of a lost host to go stale."""
_CRASHES: Final = 2
"""A slide that ended this many processes is set aside, however many tries are left."""

Kind = Literal["error", "crash", "timeout"]


@dataclass(frozen=True)
class Orders:
    """What a run does with each of its slides; goes to every worker.

    Args:
        child: What the children are started with.
        options: Of ``ScreenOptions``, JSON values.
        error_rates: JSON file of the user's own error rates.
        retries: How often a slide is tried again whose process crashed or took too long.
        time_limit_s: Seconds a slide may take; None for no limit.
        lock_wait_s: Seconds to wait for a slide that another run works on.
        classes: What every child must compute with; None for anything.
        mixed: Children may differ from ``classes`` in backend, precision and device class, but not in the model.
        since: Before the slides were judged, by the clock of OUT's file system: a result that is younger is another run's;
            None for no look at what other runs have done.
    """

    child: ChildSettings
    options: dict[str, Any]
    error_rates: str | None = None
    retries: int = 1
    time_limit_s: float | None = None
    lock_wait_s: float = LOCK_WAIT_S
    classes: Classes | None = None
    mixed: bool = False
    since: float | None = None

    @property
    def places(self) -> Places:
        """Of the cohort."""
        return Places(Path(self.child.out))


@dataclass(frozen=True)
class Outcome:
    """What became of one slide.

    Args:
        slide_id: The slide.
        status: ``done`` or ``failed``.
        reason: Why it failed, on one line.
        kind: ``error`` (its own, or of the disk), ``crash`` or ``timeout``.
        attempts: How often it was tried; 0 where another run did it meanwhile.
        seconds: Of all tries.
        n_crops: Candidates classified; 0 where it failed.
    """

    slide_id: str
    status: Literal["done", "failed"]
    reason: str | None = None
    kind: Kind | None = None
    attempts: int = 1
    seconds: float = 0.0
    n_crops: int = 0


@dataclass
class _Try:
    """How far the tries of one slide got."""

    failures: Counter[Kind]
    n_crops: int = 0

    def may_go_on(self, retries: int) -> bool:
        return self.failures["crash"] < _CRASHES and self.failures.total() <= retries


def screen_item(
    item: Item, orders: Orders, *, on_progress: OnProgress = lambda _done, _total: None, pool: ChildPool = POOL
) -> Outcome:
    """Screen one slide, and write down why where that fails.

    Args:
        item: The slide; it has points.
        orders: Of the run.
        on_progress: Candidates classified, and in all.
        pool: Where the children are.

    Raises:
        ChildStoppedError: The run was stopped.
        CohortError: The model cannot be loaded here, or computes otherwise than the cohort's.
    """
    started = time.monotonic()
    try:
        with slide_lock(orders.places.locks, item.slide_id, wait_s=orders.lock_wait_s):
            if _done_meanwhile(item, orders):
                return Outcome(item.slide_id, "done", attempts=0)
            outcome = _screen_locked(item, orders, on_progress, pool)
    except (LockHeldError, OutputError) as error:  # its failure file, if any, is the business of who holds the lock
        outcome = Outcome(item.slide_id, "failed", _one_line(error), "error")
    return replace(outcome, seconds=round(time.monotonic() - started, 3))


def _done_meanwhile(item: Item, orders: Orders) -> bool:
    """Whether another run has done the slide since this one was planned: shards of different N share slides."""
    if orders.classes is None or orders.since is None:
        return False
    try:
        if orders.places.record(item.slide_id).stat().st_mtime < orders.since:
            return False
    except OSError:
        return False
    try:
        judged = Today(orders.places, orders.classes, orders.options, orders.error_rates).judge(item)
    except ConfigError:  # the file of error rates went away: the child says so, of this slide
        return False
    return judged.kind == "done" or (orders.mixed and judged.kind == "mixed")


def _screen_locked(item: Item, orders: Orders, on_progress: OnProgress, pool: ChildPool) -> Outcome:
    with _no_leftovers(item, orders):
        outcome = _try_until_known(item, orders, on_progress, pool)
        if outcome.status == "failed":
            _write_if_possible(orders.places, outcome)
        return outcome


def write_failure(places: Places, outcome: Outcome) -> None:
    """Write ``failures/<slide_id>.json`` for a slide that failed.

    Raises:
        OutputError: It cannot be written.
    """
    path = places.failure(outcome.slide_id)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"kind": outcome.kind, "reason": outcome.reason, "attempts": outcome.attempts}
    write_text(path, dump_json({"schema": FAILURE_SCHEMA, "slide_id": outcome.slide_id, **facts}))


def sweep(places: Places, slide_ids: Iterable[str]) -> None:
    """Remove what killed runs left of slides that are done, which nobody works on again: old folders, locks of the dead.

    Args:
        places: Of the cohort.
        slide_ids: The slides of this run; those that a living process works on are left alone.

    Raises:
        OutputError: Something cannot be removed.
    """
    with output_errors(places.out):
        halves = [path.name for path in places.out.glob(f"{TEMPORARY_PREFIX}*") if path.name != STATE_FOLDER]
        locked = {path.stem for path in places.locks.glob(f"*{SLIDE_SUFFIX}")}
    for slide_id in slide_ids if halves or locked else ():
        folder = places.folder(slide_id)
        if slide_id in locked or any(map(leftover_pattern(folder).fullmatch, halves)):
            with suppress(LockHeldError), slide_lock(places.locks, slide_id, wait_s=0):
                remove_leftovers(folder)


def _write_if_possible(places: Places, outcome: Outcome) -> None:
    try:
        write_failure(places, outcome)
    except OutputError as error:  # a full disk, most likely the reason of the failure itself, which is reported anyhow
        logger.warning("%s", error)


@contextmanager
def _no_leftovers(item: Item, orders: Orders) -> Iterator[None]:
    """Remove what a killed process left of the slide, before and, where a child was ended, after; and what failed before."""
    folder, failure = orders.places.folder(item.slide_id), orders.places.failure(item.slide_id)
    remove_leftovers(folder)
    remove_leftovers(failure)
    with output_errors(failure):
        failure.unlink(missing_ok=True)  # first, so that a slide that is done never has one, whenever this is killed
    try:
        yield
    finally:
        remove_leftovers(folder)


def _try_until_known(item: Item, orders: Orders, on_progress: OnProgress, pool: ChildPool) -> Outcome:
    tries = _Try(Counter())

    def told(done: int, total: int) -> None:
        tries.n_crops = total
        on_progress(done, total)

    while True:
        attempts = tries.failures.total() + 1
        try:
            _try_once(item, orders, told, pool)
            return Outcome(item.slide_id, "done", attempts=attempts, n_crops=tries.n_crops)
        except SlideFailedError as error:
            return Outcome(item.slide_id, "failed", str(error), "error", attempts)
        except (ChildCrashedError, ChildTimedOutError) as error:
            kind: Kind = "crash" if isinstance(error, ChildCrashedError) else "timeout"
            logger.info("%s: %s", item.slide_id, error)
            tries.failures[kind] += 1
            if not tries.may_go_on(orders.retries):
                return Outcome(item.slide_id, "failed", str(error), kind, attempts)


def _try_once(item: Item, orders: Orders, on_progress: OnProgress, pool: ChildPool) -> None:
    places = orders.places
    remove_leftovers(places.folder(item.slide_id))
    request = Request(item, orders.options, orders.error_rates, places.record(item.slide_id).is_file())
    if not pool.has_idle(orders.child):
        check_classes(_loaded(orders, pool), orders)
    with pool.lend(orders.child) as child:
        check_classes(child.classes(), orders)
        child.screen(request, limit_s=orders.time_limit_s, on_progress=on_progress)


def _loaded(orders: Orders, pool: ChildPool) -> Classes:
    """Have a child load the model before it is given a slide: an end while it loads is not the slide's doing."""
    try:
        return warm_up(orders, pool=pool)
    except CohortError as error:
        logger.warning("%s; once more", error)
        return warm_up(orders, pool=pool)


def warm_up(orders: Orders, *, pool: ChildPool = POOL) -> Classes:
    """Start a child and load its model; it waits for its first slide.

    Raises:
        CohortError: The model cannot be loaded here.
        ChildStoppedError: The run was stopped.
        OutputError: The child's log cannot be written.
    """
    with pool.lend(orders.child) as child:
        try:
            return child.classes()
        except (ModelFailedError, ChildCrashedError, ChildTimedOutError) as error:
            raise CohortError(str(error)) from error


def check_classes(classes: Classes, orders: Orders) -> None:
    """Raise a ``CohortError`` where a child computes otherwise than the run does."""
    if orders.classes is None:
        return
    ours, theirs = orders.classes.as_json(), classes.as_json()
    names = [name for name in ours if ours[name] != theirs[name] and not (orders.mixed and name in COMPUTED_BY)]
    if not names:
        return
    differing = ", ".join(f"{name} {theirs[name]} in place of {ours[name]}" for name in names)
    remedy = (
        "give all of them the same bundle"
        if orders.mixed
        else "use workers of one kind, or name --backend and --device"
    )
    raise CohortError(f"a worker would compute with {differing}; {remedy}.")


def _one_line(error: WsiamfError) -> str:
    return " ".join(str(error).split())
