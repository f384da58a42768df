"""What a format is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsiamf.addresses import Address, Url
from wsiamf.errors import ExportError
from wsiamf.export.results import SlideResult


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Args:
        every_row: Write rows that do not count too.
        slide: Where the slide is, in place of where it was when it was screened; None for there.
    """

    every_row: bool = False
    slide: Address | None = None

    def slide_of(self, result: SlideResult) -> Path:
        """Path of a result's slide.

        Raises:
            ExportError: It is at an address, which the programs that open these files do not read.
        """
        slide = self.slide if self.slide is not None else result.slide_path
        if isinstance(slide, Url):
            raise ExportError(f"{slide}: an address; copy the slide to a local disk and name it with --slide.")
        return slide


Write = Callable[[Path, Sequence[SlideResult], Options], None]
"""Writes one slide's results to a new file, or several slides' where the format holds them."""


def _replace_any(_existing: Path) -> None:
    """A file of a points format is replaced with ``--overwrite``, whatever it holds."""


@dataclass(frozen=True)
class Format:
    """A format that results can be exported to.

    Args:
        name: What ``--to`` takes.
        suffix: Of the file, after the slide's name.
        write: Writes it.
        many_slides: Whether one file holds a whole cohort.
        by_file_name: Whether such a file tells its slides apart by their file names alone, as its readers do.
        side_files: Endings of files beside the file that show that another program has it open.
        may_replace: Raises an ``OutputExistsError`` where ``--overwrite`` must not replace what stands there.
    """

    name: str
    suffix: str
    write: Write
    many_slides: bool = False
    by_file_name: bool = False
    side_files: tuple[str, ...] = ()
    may_replace: Callable[[Path], None] = _replace_any
