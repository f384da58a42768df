"""Which of the slide names in a points file is this slide: by base name, then by stem."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from wsiamf.candidates.wording import shown
from wsiamf.errors import CandidateError
from wsiamf.slide_names import base_name, slide_stem


def matching_name(names: Iterable[str], slide_name: str, path: Path) -> str:
    """Find the spelling under which a points file lists a slide.

    Args:
        names: The names in the file, repeats allowed.
        slide_name: The slide's file name.
        path: The points file, for messages.

    Returns:
        The one of ``names`` that means the slide.

    Raises:
        CandidateError: None does (the nearest is named), or two different ones do.
    """
    known = sorted({name for name in names if name})
    matches = [name for name in known if base_name(name) == slide_name]
    matches = matches or [name for name in known if slide_stem(name) == slide_stem(slide_name)]
    if len(matches) > 1:
        raise CandidateError(
            f"{path}: {shown(matches[0])} and {shown(matches[1])} could both be slide {slide_name!r}; "
            "keep one of them in the file, or write the name in one way."
        )
    if not matches:
        raise CandidateError(_no_match(known, slide_name, path))
    return matches[0]


def _no_match(known: list[str], slide_name: str, path: Path) -> str:
    by_base = {base_name(name).lower(): name for name in known}
    near = difflib.get_close_matches(slide_name.lower(), by_base, n=1, cutoff=0.0)
    nearest = f"the nearest of its {len(known)} names is {shown(by_base[near[0]])}" if near else "it names none"
    return f"{path}: no row is for slide {slide_name!r}; {nearest}. Rename the slide in the file, or the file's rows."
