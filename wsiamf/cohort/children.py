"""Warm child processes, lent to one slide at a time."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from wsiamf.cohort.child_process import Child, ChildSettings, ChildStoppedError, SlideFailedError

IDLE_LIMIT_S: Final = 300.0
"""A warm child whose run was killed elsewhere gives its memory back after this long."""


class ChildPool:
    """Warm children, by what they were started with; a child is lent to one slide at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[ChildSettings, list[Child]] = {}
        self._busy: set[Child] = set()
        self._stopped_runs: set[str] = set()

    @contextmanager
    def lend(self, settings: ChildSettings) -> Iterator[Child]:
        """Give an idle child of these settings, or start one; one that failed otherwise than by a slide's error is ended.

        Raises:
            ChildStoppedError: The run was stopped.
            OutputError: A child's log cannot be written.
        """
        child = self._take(settings)
        useful = False
        try:
            yield child
            useful = True
        except SlideFailedError:
            useful = True
            raise
        finally:
            self._give_back(child, useful=useful)

    def stop(self, run: str) -> None:
        """End all children of a run, and start none for it any more."""
        with self._lock:
            self._stopped_runs.add(run)
            idle = [child for settings in list(self._idle) if settings.run == run for child in self._idle.pop(settings)]
            busy = [child for child in self._busy if child.settings.run == run]
        for child in busy:
            child.stop()
        for child in idle:
            child.close()

    def stop_others(self, settings: ChildSettings) -> None:
        """End the children of earlier runs on the same folder, whose client was killed: they would hold their slides' locks."""
        others = {one.settings.run for one in self.children() if one.settings.out == settings.out}
        for run in others - {settings.run}:
            self.stop(run)

    def has_idle(self, settings: ChildSettings) -> bool:
        """Whether a child of these settings waits with its model loaded."""
        with self._lock:
            return any(child.alive for child in self._idle.get(settings, []))

    def close(self) -> None:
        """End all children."""
        for run in {child.settings.run for child in self.children()}:
            self.stop(run)

    def children(self) -> list[Child]:
        """All of them."""
        with self._lock:
            return [*self._busy, *(child for idle in self._idle.values() for child in idle)]

    def _take(self, settings: ChildSettings) -> Child:
        with self._lock:
            self._refuse_stopped(settings)
            idle = self._idle.get(settings, [])
            dead = [child for child in idle if not child.alive]
            idle[:] = [child for child in idle if child not in dead]
            child = idle.pop() if idle else None
            if child is not None:
                self._busy.add(child)
        for one in dead:
            one.close()
        return child or self._start(settings)

    def _start(self, settings: ChildSettings) -> Child:
        child = Child(settings)
        try:
            with self._lock:
                self._refuse_stopped(settings)  # it may have been while the child was started
                self._busy.add(child)
        except ChildStoppedError:
            child.close()
            raise
        return child

    def _refuse_stopped(self, settings: ChildSettings) -> None:
        if settings.run in self._stopped_runs:
            raise ChildStoppedError("the run was stopped")

    def _give_back(self, child: Child, *, useful: bool) -> None:
        with self._lock:
            self._busy.discard(child)
            kept = useful and child.alive and child.settings.run not in self._stopped_runs
            since = child.idle_since = time.monotonic()
            if kept:
                self._idle.setdefault(child.settings, []).append(child)
        if not kept:
            child.close()
            return
        timer = threading.Timer(IDLE_LIMIT_S, self._retire, [child, since])
        timer.daemon = True
        timer.start()

    def _retire(self, child: Child, since: float) -> None:
        with self._lock:
            idle = self._idle.get(child.settings, [])
            if child not in idle or child.idle_since != since:
                return
            idle.remove(child)
        child.close()


POOL: Final = ChildPool()
"""This process's children."""
atexit.register(POOL.close)
