"""``export_results``: results of one slide or of a cohort to files of another format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsiamf.addresses import Address, parse_address
from wsiamf.errors import ConfigError, ExportError, OutputExistsError
from wsiamf.export.format_list import FORMATS, Format
from wsiamf.export.formats.base import Options
from wsiamf.export.results import SlideResult, find_results
from wsiamf.files import atomic_file, output_errors, refuse_existing

DEFAULT_OUT: Final = "wsiamf-export"

_Job = tuple[Path, list[SlideResult]]


def export_results(
    out: str | Path,
    to: str,
    *,
    target: str | Path = DEFAULT_OUT,
    every_row: bool = False,
    slide: str | Address | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write results in a format that another program reads.

    Args:
        out: A slide's folder of results, or the OUT of ``screen`` or ``cohort``: every slide of it.
        to: Name of the format, one of ``format_list.FORMATS``.
        target: Folder for the files, made where missing; or the file itself, if its name ends like the format's.
        every_row: Write rows that do not count too.
        slide: Where the slide is now, for a single slide.
        overwrite: Replace existing files.

    Returns:
        The files, one a slide, or one in all where the format holds many slides.

    Raises:
        WsiamfError: The format is unknown, the results are not whole or do not fit the format, or a file cannot be written.
    """
    if to not in FORMATS:
        raise ConfigError(f"--to {to}: not known; choose one of {', '.join(FORMATS)}.")
    chosen, results = FORMATS[to], find_results(Path(out))
    if slide is not None and len(results) > 1:
        raise ExportError(
            f"{out}: --slide names one slide, but {len(results)} are to be exported; give one slide's folder."
        )
    if chosen.by_file_name:
        _check_names(results, to)
    options = Options(every_row=every_row, slide=None if slide is None else parse_address(slide))
    jobs = _jobs(chosen, results, Path(out), Path(target))
    for path, _ in jobs:  # all of them first, so that nothing is written where one is refused
        _check_free(path, chosen, overwrite=overwrite)
    for path, of_file in jobs:
        _write_file(path, of_file, chosen, options)
    return [path for path, _ in jobs]


def _check_names(results: Sequence[SlideResult], to: str) -> None:
    """Raise where two slides of one file could not be told apart."""
    first: dict[str, SlideResult] = {}
    for result in results:
        other = first.setdefault(result.slide_name, result)
        if other is not result:
            raise ExportError(
                f"{result.folder}: its slide is called {result.slide_name}, as that of {other.slide_id} is, and a {to} file "
                "tells slides by their file names; export each of the two folders on its own, or rename a slide and screen it "
                "again."
            )


def _jobs(chosen: Format, results: Sequence[SlideResult], out: Path, target: Path) -> list[_Job]:
    """Each file to write and the slides in it."""
    if chosen.many_slides or len(results) == 1:
        name = results[0].slide_id if len(results) == 1 else out.absolute().name
        ending = f".{chosen.suffix.rpartition('.')[2]}"
        is_file = target.suffix == ending and not target.is_dir()
        return [(target if is_file else target / f"{name}{chosen.suffix}", list(results))]
    return [(target / f"{result.slide_id}{chosen.suffix}", [result]) for result in results]


def _check_free(path: Path, chosen: Format, *, overwrite: bool) -> None:
    for beside in (path.with_name(path.name + ending) for ending in chosen.side_files):
        if beside.is_file() and beside.stat().st_size:
            raise OutputExistsError(
                f"{path}: {beside.name} beside it holds another program's changes; close the program that has it open, or "
                "choose another --out."
            )
    if overwrite and path.is_file():
        chosen.may_replace(path)
    refuse_existing(path, overwrite=overwrite)


def _write_file(path: Path, results: Sequence[SlideResult], chosen: Format, options: Options) -> None:
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        chosen.write(temporary, results, options)
