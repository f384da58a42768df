"""wsiamf: how many of a tumour's mitoses are atypical.

Classify candidate mitotic figures on a whole-slide image into atypical (AMF) and normal (NMF); research use only. The public
names are loaded when they are first used, so that ``import wsiamf`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsiamf._version import __version__

if TYPE_CHECKING:
    from wsiamf.candidates import read_candidates
    from wsiamf.inference import load_model
    from wsiamf.screen import screen_slide
    from wsiamf.slides import open_slide

__all__ = ["__version__", "load_model", "open_slide", "read_candidates", "screen_slide"]

_HOMES = {
    "load_model": "wsiamf.inference",
    "open_slide": "wsiamf.slides",
    "read_candidates": "wsiamf.candidates",
    "screen_slide": "wsiamf.screen",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wsiamf' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
