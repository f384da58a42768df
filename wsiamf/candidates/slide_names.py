"""Which of the slide names in a points file is this slide: by base name, then by stem."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from wsiamf.errors import CandidateError
from wsiamf.slide_names import base_name, slide_stem
from wsiamf.wording import shown

_COMPARED: Final = 1000
_COMPARED_CHARACTERS: Final = 200
"""Comparing takes a tenth of a millisecond a pair of names, and grows with the square of their lengths."""


class SlideNames:
    """The slide names that a points file lists.

    Args:
        names: The names in the file; repeats and empty ones allowed.
        path: The points file, for messages.
    """

    def __init__(self, names: Iterable[str], path: Path) -> None:
        self.known = tuple(sorted({name for name in names if name}))
        self._path = path
        self._by_base: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in self.known:
            self._by_base.setdefault(base_name(name), []).append(name)
            self._by_stem.setdefault(slide_stem(name), []).append(name)

    def of_slide(self, slide_name: str) -> list[str]:
        """Those that could mean a slide, by its file name: none, one, or several that differ."""
        return self._by_base.get(slide_name) or self._by_stem.get(slide_stem(slide_name), [])

    def nearest(self, slide_name: str) -> str | None:
        """The name most like a slide's, among the first thousand; None where the file names none."""
        by_base = {base_name(name).lower()[:_COMPARED_CHARACTERS]: name for name in self.known[:_COMPARED]}
        near = difflib.get_close_matches(slide_name.lower()[:_COMPARED_CHARACTERS], by_base, n=1, cutoff=0.0)
        return by_base[near[0]] if near else None

    def match(self, slide_name: str) -> str:
        """The name that means a slide.

        Raises:
            CandidateError: None does (the nearest is named), or two different ones do.
        """
        matches = self.of_slide(slide_name)
        if len(matches) > 1:
            raise CandidateError(
                f"{self._path}: {shown(matches[0])} and {shown(matches[1])} could both be slide {slide_name!r}; "
                "keep one of them in the file, or write the name in one way."
            )
        if not matches:
            raise CandidateError(self._no_match(slide_name))
        return matches[0]

    def _no_match(self, slide_name: str) -> str:
        near = self.nearest(slide_name)
        nearest = (
            f"the nearest of its {len(self.known):,} names is {shown(near)}" if near is not None else "it names none"
        )
        return (
            f"{self._path}: no row is for slide {slide_name!r}; {nearest}. "
            "Rename the slide in the file, or the file's rows."
        )
