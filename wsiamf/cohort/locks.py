"""Locks that other hosts see: a file made exclusively, touched while its owner lives.

A lock is stale when its process is gone (same host) or its heartbeat is over a minute old (any host). Whoever finds a stale one
takes it over; of two who do so at once, one gets it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import psutil

from wsiamf.errors import CohortError
from wsiamf.files import output_errors

if sys.platform != "win32":
    import fcntl

HEARTBEAT_S: Final = 5.0
STALE_S: Final = 60.0
SLIDE_SUFFIX: Final = ".slide"
RUN_SUFFIX: Final = ".run"
_PLAIN: Final = "plain" + RUN_SUFFIX
_SHARDS: Final = "shard-*-of-*" + RUN_SUFFIX
_GUARD: Final = ".takeover"
_POLL_S: Final = 0.2
_HAS_PROC: Final = Path("/proc/self/stat").exists()
_STATE_AND_START: Final = (0, 19)  # fields of /proc/PID/stat behind the command's name


class LockHeldError(CohortError):
    """A living process holds the lock; the message names it."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Args:
        host, pid: The process.
        started: When it started, so that another process of its number is not taken for it; in ticks since boot on Linux.
        kind: ``slide`` or ``run``.
        token: Of this very lock.
        since: When the lock was taken, in seconds since 1970; for people to read.
    """

    host: str
    pid: int
    started: float
    kind: Literal["slide", "run"]
    token: str
    since: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lock:
    """A lock file of this process, with a heartbeat; ``release`` ends it.

    Args:
        path: The file; its folder is made.
        kind: What is locked.

    Raises:
        LockHeldError: Another living process (or this one) holds it.
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, kind: Literal["slide", "run"]) -> None:
        self._path = path
        process = _started(os.getpid()) or 0.0
        self._owner = Owner(socket.gethostname(), os.getpid(), process, kind, uuid.uuid4().hex, round(time.time(), 3))
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._take()
        self._released = threading.Event()
        threading.Thread(target=self._beat, name="wsiamf-heartbeat", daemon=True).start()

    def release(self) -> None:
        """Remove the file, unless another took it over meanwhile."""
        self._released.set()
        with suppress(OSError), _guarded(self._path.parent):
            if self._is_own():
                self._path.unlink()

    def _take(self) -> None:
        if self._create():
            return
        holder = None
        with _guarded(self._path.parent):  # files that stand are removed by one process at a time
            # One that was not there at this look may be a new one at the next: only what stood and was stale is removed.
            if self._path.exists():
                holder = living_holder(self._path)
                if holder is None:
                    self._path.unlink()
        if holder is not None or not self._create():
            raise LockHeldError(f"{self._path.name}: held by {holder or read_owner(self._path) or 'another process'}.")

    def _create(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, json.dumps(asdict(self._owner)).encode())
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return True

    def _is_own(self) -> bool:
        owner = read_owner(self._path)
        return owner is not None and owner.token == self._owner.token

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            with suppress(OSError):  # a disk that is away for a moment; longer, and others may take over
                if self._is_own():
                    os.utime(self._path)


@contextmanager
def slide_lock(locks: Path, slide_id: str, *, wait_s: float) -> Iterator[None]:
    """Hold a slide's lock; wait while another living process holds it.

    Args:
        locks: Folder of the locks.
        slide_id: The slide.
        wait_s: Seconds after which to give up.

    Raises:
        LockHeldError: It is still held.
        OutputError: The lock cannot be written.
    """
    path = locks / f"{slide_id}{SLIDE_SUFFIX}"
    deadline = time.monotonic() + wait_s
    while True:
        try:
            lock = Lock(path, "slide")
            break
        except LockHeldError as error:
            if time.monotonic() >= deadline:
                raise LockHeldError(f"{slide_id}: is being worked on by another run: {error}") from error
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def run_lock(locks: Path, *, shard: tuple[int, int] | None = None) -> Iterator[None]:
    """Hold the output folder for a run: a plain run excludes every other, a shard the plain run and its own like.

    Args:
        locks: Folder of the locks.
        shard: ``(I, N)`` for shard I of N, from 1; None for a plain run.

    Raises:
        CohortError: Another run is at work there; names its process.
        OutputError: The lock cannot be written.
    """
    name = _PLAIN if shard is None else f"shard-{shard[0]}-of-{shard[1]}{RUN_SUFFIX}"
    out = locks.parent.parent
    try:
        lock = Lock(locks / name, "run")
    except LockHeldError as error:
        raise _busy(out, error) from error
    try:
        # Own lock first, then the look at the others: of two that start at once, at least one sees the other.
        for other in sorted(locks.glob(_SHARDS)) if shard is None else [locks / _PLAIN]:
            if holder := living_holder(other):
                raise _busy(out, f"{other.name}: held by {holder}.")
        yield
    finally:
        lock.release()


def wait_for_silent(locks: Path, on_wait: Callable[[str], None]) -> None:
    """Wait until the locks of runs on other hosts have shown whether they live: until they beat, or are stale.

    A run that was killed there a moment ago looks alive for a minute; one that lives beats every few seconds.

    Args:
        locks: Folder of the locks.
        on_wait: Called with a line on each lock that is waited for.
    """
    for path in sorted(locks.glob(f"*{RUN_SUFFIX}")):
        holder, beat = living_holder(path), _beat_of(path)
        if holder is None or holder.host == socket.gethostname():
            continue
        on_wait(f"{path.name}: held by {holder}; waiting until it shows that it lives, {STALE_S:.0f} s at most")
        while _beat_of(path) == beat and living_holder(path):
            time.sleep(_POLL_S)


def _beat_of(path: Path) -> float | None:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return None


def other_shards(locks: Path, shard: tuple[int, int]) -> bool:
    """Whether a shard other than this one is at work."""
    own = locks / f"shard-{shard[0]}-of-{shard[1]}{RUN_SUFFIX}"
    return any(living_holder(path) for path in locks.glob(_SHARDS) if path != own)


def living_holder(path: Path) -> Owner | None:
    """Who holds a lock and lives; None for no lock or a stale one.

    Raises:
        OSError: The folder cannot be read or written.
    """
    try:
        beat = path.stat().st_mtime
    except FileNotFoundError:
        return None
    owner = read_owner(path)
    if clock_of(path.parent) - beat > STALE_S:
        return None
    if owner is None:  # being written just now, or its writer was killed at that: its age decides
        return Owner("unknown host", 0, 0.0, "slide", "", beat) if path.exists() else None
    gone = owner.host == socket.gethostname() and _started(owner.pid) != owner.started
    return None if gone else owner


def read_owner(path: Path) -> Owner | None:
    """Who a lock file names; None where there is none, or none that is whole."""
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return Owner(**values)
    except (OSError, ValueError, TypeError):
        return None


def _busy(out: Path, why: object) -> CohortError:
    return CohortError(
        f"{out}: another run works in this folder ({str(why).rstrip('.')}); wait for it, end it, or choose another --out."
    )


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """Let one process at a time look at locks of others and remove them; the kernel frees the guard of a process that dies.

    Where the file system has no such locks the files' own exclusive creation must do.
    """
    with (folder / _GUARD).open("a") as guard:
        if sys.platform != "win32":
            with suppress(OSError):
                fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def clock_of(folder: Path) -> float:
    """The time by the clock of the file system of locks, which need not be this host's."""
    guard = folder / _GUARD
    guard.touch()
    return guard.stat().st_mtime


def _started(pid: int) -> float | None:
    """When a process of this host started; None for one that is gone or a zombie."""
    if _HAS_PROC:  # exact, where psutil's seconds move with the clock
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            return None
        state, started = (fields[place] for place in _STATE_AND_START)
        return None if state in "ZX" else float(started)
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    return None
