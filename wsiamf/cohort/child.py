"""``python -m wsiamf.cohort.child``: the process that holds a model and screens the slides it is given.

JSON, an object a line. First comes ``{"model", "backend", "device", "batch_size", "precision", "threads", "out"}``, answered
by ``{"ready": {...}}`` or ``{"error": "one line"}``; then for each slide ``{"item", "options", "error_rates", "overwrite"}``,
answered by lines ``{"progress": [done, total]}`` and at last ``{"done": {"seconds": ...}}`` or ``{"error": "one line"}``.

It ends at once when its parent does, however that ended: stdin closes, and Linux kills it besides.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final, TextIO

from wsiamf.machine import limit_cores

LOG_FORMAT: Final = "%(asctime)s wsiamf %(levelname)s %(message)s"
_PR_SET_PDEATHSIG: Final = 1


class Answers:
    """Writes the protocol's lines; everything else that is printed goes to stderr.

    Args:
        stream: What stdout was.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, kind: str, value: Any) -> None:
        """Write ``{kind: value}``."""
        self._stream.write(json.dumps({kind: value}) + "\n")
        self._stream.flush()


def _keep_stdout() -> TextIO:
    """Take stdout for the protocol, and point file descriptor 1 to stderr, so that no library's print breaks it."""
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return protocol


def _die_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends; elsewhere stdin's end must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _read_requests(requests: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # the parent closed stdin or is gone: nothing of what is under way is wanted


def _requests() -> Iterator[dict[str, Any]]:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(lines,), name="wsiamf-stdin", daemon=True).start()
    while True:
        yield json.loads(lines.get())


def main() -> None:
    """Answer requests until stdin ends."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # terminals and batch systems send them to children too; the parent decides
        signal.signal(number, signal.SIG_IGN)
    answers = Answers(_keep_stdout())
    _die_with_parent()
    logging.basicConfig(stream=sys.stderr, format=LOG_FORMAT, level=logging.WARNING)
    logging.getLogger("wsiamf").setLevel(logging.INFO)
    requests = _requests()
    settings = next(requests)
    limit_cores(settings["threads"])
    # Only now, since loading them takes a second in which a parent may die.
    import_module("wsiamf.cohort.answering").answer_all(settings, requests, answers)


if __name__ == "__main__":
    main()
