"""The parent's side of one child process: start it, ask it for a slide, end it.

A slide is screened in a process of its own, so that a crash or a hung C call costs that slide alone and names it. The parent
never forks itself: ``subprocess`` starts a fresh interpreter, which holds no locks and no threads of ours.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from wsiamf.cohort.items import Classes, Item
from wsiamf.cohort.places import Places
from wsiamf.files import output_errors
from wsiamf.machine import ARROW_MEMORY

OnProgress = Callable[[int, int], None]
"""Candidates classified, and in all."""

START_LIMIT_S: Final = 900.0
"""A first start converts the model, and a shared disk may be slow; a child that takes longer hangs."""

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_WORKERS_VARIABLES: Final = ("MALLOC_TRIM_THRESHOLD_",)  # Dask sets it for its workers; it slows whoever frees crops
_END_S: Final = 5.0
_LONGEST_REASON: Final = 300
_OUR_LINE: Final = re.compile(r"\d{4}-\d\d-\d\d ")  # of our own log; it has a time
_MEMORY_HINT: Final = "; memory may have run out"

# Linux binds "die with your parent" to the thread that started the child, so that one thread starts them all and stays.
_starter: Final = ThreadPoolExecutor(1, thread_name_prefix="wsiamf-start-children")


class ChildError(Exception):
    """A child did not do what it was asked; the message is the reason, on one line."""


class ChildCrashedError(ChildError):
    """Its process ended."""


class ChildTimedOutError(ChildError):
    """It took too long, and was killed."""


class ChildStoppedError(ChildError):
    """The run it worked for was stopped."""


class ModelFailedError(ChildError):
    """It could not load its model."""


class SlideFailedError(ChildError):
    """It could not screen a slide, and is ready for the next one."""


@dataclass(frozen=True)
class ChildSettings:
    """What a child is started with; children of equal settings are interchangeable.

    Args:
        out: The cohort's folder, absolute.
        model: A shipped name, a bundle's folder, or None for the default.
        backend, device, batch_size, precision: As ``load_model``.
        threads: Cores that it may use.
        cuda_visible: Its ``CUDA_VISIBLE_DEVICES``; None leaves the parent's.
        run: Which run it works for, so that one run can be stopped.
    """

    out: str
    model: str | None = None
    backend: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    precision: str = "auto"
    threads: int = 1
    cuda_visible: str | None = None
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    def request(self) -> dict[str, Any]:
        """The protocol's first line."""
        names = ("model", "backend", "device", "batch_size", "precision", "threads", "out")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Request:
    """One slide to screen.

    Args:
        item: The slide; it has points.
        options: Of ``ScreenOptions``, JSON values.
        error_rates: JSON file of the user's own error rates.
        overwrite: Replace an earlier result of this slide.
    """

    item: Item
    options: dict[str, Any]
    error_rates: str | None
    overwrite: bool

    def as_json(self) -> dict[str, Any]:
        """The protocol's line; an mpp of the manifest goes before the run's."""
        own = {} if self.item.mpp is None else {"mpp": self.item.mpp}
        return {
            "item": self.item.as_json(with_credentials=True),
            "options": self.options | own,
            "error_rates": self.error_rates,
            "overwrite": self.overwrite,
        }


class Child:
    """A process that holds a model; it starts at once, and ``classes`` waits until it is ready.

    Args:
        settings: What it is started with.

    Raises:
        OutputError: Its log cannot be written.
    """

    def __init__(self, settings: ChildSettings) -> None:
        self.settings = settings
        self.idle_since = 0.0
        self._stopped = False
        self._classes: Classes | None = None
        self._process, self._log = _starter.submit(_start, settings).result()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="wsiamf-child-answers", daemon=True).start()
        self._log_start = 0
        with suppress(ChildCrashedError):  # said again to who waits for it
            self._send(settings.request())

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def classes(self, limit_s: float = START_LIMIT_S) -> Classes:
        """What its model computes with, once it is loaded.

        Raises:
            ModelFailedError: It cannot be loaded.
            ChildCrashedError, ChildTimedOutError, ChildStoppedError: As they say.
        """
        if self._classes is None:
            kind, value = self._answer(_deadline(limit_s), f"its model was not loaded within {limit_s:g} s")
            if kind == "error":
                raise ModelFailedError(value)
            self._classes = Classes.from_json(value)
        return self._classes

    def screen(self, request: Request, *, limit_s: float | None, on_progress: OnProgress) -> float:
        """Have a slide screened.

        Args:
            request: The slide.
            limit_s: Seconds it may take once the model is loaded; None for no limit.
            on_progress: Called at most once a second.

        Returns:
            The seconds it took.

        Raises:
            SlideFailedError: The slide's own error.
            ChildCrashedError, ChildTimedOutError, ChildStoppedError: As they say; the child is of no more use.
        """
        self.classes()
        self._log_start = _size(self._log)
        deadline = _deadline(limit_s)
        self._send(request.as_json())
        while True:
            kind, value = self._answer(deadline, f"took longer than the time limit of {limit_s or 0:g} s")
            if kind == "done":
                return float(value["seconds"])
            if kind == "error":
                raise SlideFailedError(value)
            on_progress(*value)

    def stop(self) -> None:
        """Kill it; who waits for its answer gets a ``ChildStoppedError``. May be called from any thread."""
        self._stopped = True
        self._process.kill()

    def close(self) -> None:
        """End it, and wait until it is gone; what it was doing is dropped."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # a process in uninterruptible sleep goes when its disk answers
            self._process.wait(_END_S)
        with suppress(OSError):
            _pipe(self._process.stdin).close()

    def _send(self, value: dict[str, Any]) -> None:
        try:
            stream = _pipe(self._process.stdin)
            stream.write(json.dumps(value) + "\n")
            stream.flush()
        except OSError as error:
            raise self._ended() from error

    def _read(self) -> None:
        with _pipe(self._process.stdout) as stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def _answer(self, deadline: float | None, too_late: str) -> tuple[str, Any]:
        """The next line's kind and value."""
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            line = self._lines.get(timeout=remaining)
        except queue.Empty:
            self.close()
            raise ChildTimedOutError(f"{too_late}; its process was ended") from None
        if line is None:
            raise self._ended()
        kind, value = next(iter(json.loads(line).items()))
        return kind, value

    def _ended(self) -> ChildError:
        self.close()  # a process that closed its pipes and goes on is of no use either
        if self._stopped:
            return ChildStoppedError("the run was stopped")
        code = self._process.returncode
        said = _last_words(self._log, self._log_start)
        return ChildCrashedError(f"{_how(code)}{f': {said}' if said else ''}")


def _start(settings: ChildSettings) -> tuple[subprocess.Popen[str], Path]:
    logs = Places(Path(settings.out)).logs
    with output_errors(logs):
        logs.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".child-", suffix=".log", dir=logs)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "wsiamf.cohort.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=descriptor,
                env=_environment(settings),
                text=True,
                encoding="utf-8",
            )
        finally:
            os.close(descriptor)
        log = logs / f"child-{socket.gethostname()}-{process.pid}.log"
        os.replace(temporary, log)
    return process, log


def _environment(settings: ChildSettings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _WORKERS_VARIABLES}
    threads = dict.fromkeys(_THREAD_VARIABLES, str(settings.threads))
    gpu = {} if settings.cuda_visible is None else {"CUDA_VISIBLE_DEVICES": settings.cuda_visible}
    return ARROW_MEMORY | kept | threads | gpu


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _deadline(limit_s: float | None) -> float | None:
    return None if limit_s is None else time.monotonic() + limit_s


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _how(code: int | None) -> str:
    if code is None:
        return "its process closed its pipes"
    if code >= 0:
        return f"its process ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process was killed ({name}{_MEMORY_HINT if name == 'SIGKILL' else ''})"


def _last_words(log: Path, start: int) -> str:
    """The last line that something other than our own logging wrote to stderr; it often says why a C library gave up."""
    try:
        with log.open("rb") as stream:
            stream.seek(start)
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip() and not _OUR_LINE.match(line)]
    return said[-1][:_LONGEST_REASON] if said else ""
