"""Put on the PYTHONPATH of child processes: slides that misbehave as real ones do, by the beginning of their names.

``hang`` hangs in a C call that holds the interpreter's lock; ``abort`` ends its process by SIGABRT, ``flaky`` does so once;
``exit`` calls ``exit(3)``; ``noisy`` prints to stdout from Python and from C; ``bug`` raises what nobody foresaw; ``slow``
takes half a second longer.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any


def _misbehave(slide: Path) -> None:
    name = slide.name
    first = slide.with_suffix(".flaked")
    if name.startswith("hang"):
        ctypes.PyDLL(None).sleep(600)
    if name.startswith("abort") or (name.startswith("flaky") and not first.exists()):
        first.touch()
        os.write(2, b"pixman: the sky fell\n")
        os.abort()
    if name.startswith("exit"):
        os._exit(3)
    if name.startswith("noisy"):
        sys.stdout.write("stray\n")
        sys.stdout.flush()
        os.write(1, b"stray\n")
    if name.startswith("bug"):
        raise KeyError("nobody\nforesaw")
    if name.startswith("slow"):
        time.sleep(0.5)


def _patch() -> None:
    import wsiamf.screen

    screen = wsiamf.screen.screen_slide

    def patched(slide: Path, *arguments: Any, **options: Any) -> Any:
        _misbehave(Path(slide))
        return screen(slide, *arguments, **options)

    setattr(wsiamf.screen, "screen_slide", patched)  # noqa: B010 - the type checker knows the original


if "wsiamf.cohort.child" in sys.orig_argv:
    _patch()
