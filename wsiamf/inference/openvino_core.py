"""OpenVINO's entry, one for the whole process."""

from __future__ import annotations

from functools import cache

import wsiamf.inference.no_telemetry  # noqa: F401  # isort: skip
import openvino as ov


@cache
def openvino_core() -> ov.Core:
    """The core that every network is read and compiled with; it lives as long as the process.

    Each core's CPU plugin gives the main thread a signal stack of its own and, when it is freed, puts back the one it found.
    Of two cores freed in the order in which they were made, the second puts back the first one's stack, which is gone: the
    next signal, a Ctrl-C for one, kills the process. A core that is never freed leaves no such stack behind.
    """
    return ov.Core()
