"""Checks of a cohort's items before any work: every problem is noted, none ends the checking."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from wsiamf.addresses import Url
from wsiamf.candidates.own_rows import slides_in
from wsiamf.candidates.slide_names import SlideNames
from wsiamf.cohort.items import Item
from wsiamf.cohort.places import RESERVED_NAMES
from wsiamf.cohort.problems import Problems
from wsiamf.errors import CandidateError, ConfigError, RegionError, SlideError
from wsiamf.regions import check_named_regions
from wsiamf.slide_names import result_folder_name
from wsiamf.slides import dicom_series, dicom_slides, is_slide_folder, refuse_unreadable_address

_HIDDEN: Final = ".wsiamf-"
_RESERVED: Final = frozenset(map(str.casefold, RESERVED_NAMES))
_LONGEST_ID: Final = 200  # bytes; file systems take 255, and files are named after slides
_NEAREST_NAMED: Final = 20  # names compared with all names of a file; a long manifest would take hours


@dataclass(frozen=True)
class Draft:
    """An item that is not checked yet.

    Args:
        where: How a message names it: ``row 3``, or the slide's file name.
        item: What is to be checked.
    """

    where: str
    item: Item


def check_items(
    drafts: Sequence[Draft], problems: Problems, *, points_format: str | None, allow_missing_points: bool
) -> list[Item]:
    """Check files, ids and points of all items; what is wrong is added to ``problems``.

    Args:
        drafts: The items in order.
        problems: Where problems are noted.
        points_format: As of a screening.
        allow_missing_points: Whether a slide that its shared points file does not list is an item without candidates.

    Returns:
        The items, in order; of use where nothing was found.
    """
    parsed: set[Path] = set()
    for draft in drafts:
        _check_files(draft, problems, parsed)
        _check_id(draft, problems)
    _refuse_pairs(
        drafts,
        _id_key,
        problems,
        "slide_id {0.item.slide_id!r} is that of {1.where} too; give them two ids (a column slide_id)",
    )
    _refuse_pairs(
        drafts, _slide_key, problems, "slide {0.item.slide.name} is that of {1.where} too; list each slide once"
    )
    _check_cases(drafts, problems)
    return _check_points(drafts, problems, points_format, allow_missing_points)


def _check_files(draft: Draft, problems: Problems, parsed: set[Path]) -> None:
    """Note files that cannot be used; files of named regions that slides share are parsed once."""
    item = draft.item
    of_slide = "name the .mrxs file beside it, an OME-Zarr folder, or one that holds a single DICOM series"
    if isinstance(item.slide, Url):
        _check_address(draft, item.slide, problems)
    else:
        _check_file(draft, "slide", item.slide, of_slide, problems)
    if item.points is not None:
        _check_file(draft, "points", item.points, "name the points file itself", problems)
    of_geojson = "name the GeoJSON file itself"
    if item.roi is not None:
        _check_file(draft, "roi", item.roi, of_geojson, problems)
    if item.regions is not None and _check_file(draft, "regions", item.regions, of_geojson, problems):
        _check_named_regions(draft, item.regions, problems, parsed)


def _check_address(draft: Draft, url: Url, problems: Problems) -> None:
    """Note what is wrong with an address by itself; whether a slide is there, its screening finds out."""
    try:
        refuse_unreadable_address(url)
    except SlideError as error:
        problems.add(draft.item.row, f"{draft.where}: slide {error}")


def _check_file(draft: Draft, column: str, path: Path, of_folder: str, problems: Problems) -> bool:
    """Whether a file can be read; noted where it cannot."""
    try:
        if path.is_dir():
            reason = "" if column == "slide" and is_slide_folder(path) else f"is a folder; {of_folder}"
        elif not path.exists():
            reason = "no such file; correct the path (relative ones start at the manifest's folder)"
        elif not path.is_file():
            reason = "is not a plain file; name the file itself"  # a pipe would be waited for
        else:
            with path.open("rb") as stream:
                has_content = bool(stream.read(1))
            # A slide's content is the screening's business: a damaged one is a row of failures.csv, and the rest go on.
            reason = "" if has_content or column == "slide" else "is empty; copy it again"
    except (OSError, ValueError) as error:
        word = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = f"cannot be read ({word}); check its rights"
    if reason:
        problems.add(draft.item.row, f"{draft.where}: {column} {path}: {reason}.")
    return not reason


def _check_named_regions(draft: Draft, path: Path, problems: Problems, parsed: set[Path]) -> None:
    """Note a field without a name, or two of one name: the run would be over before somebody saw it."""
    if path in parsed:
        return
    parsed.add(path)
    try:
        check_named_regions(path)
    except RegionError as error:
        problems.add(draft.item.row, f"{draft.where}: regions {error}")


def _check_id(draft: Draft, problems: Problems) -> None:
    name = draft.item.slide_id
    reason = ""
    try:
        result_folder_name(draft.item.slide, name)
    except ConfigError as error:
        reason = str(error).partition(": ")[2].rstrip(".")
    if _folded(name) in _RESERVED or _folded(name).startswith(_HIDDEN):
        reason = "is a name that the cohort's own files have"
    elif len(os.fsencode(name)) > _LONGEST_ID:
        reason = "is too long for a folder's name"
    if reason:
        problems.add(draft.item.row, f"{draft.where}: slide_id {name!r} {reason}; give another in a column slide_id.")


def _refuse_pairs(drafts: Iterable[Draft], key: Callable[[Draft], object], problems: Problems, template: str) -> None:
    """Note each item whose key an earlier one has."""
    first: dict[object, Draft] = {}
    for draft in drafts:
        other = first.setdefault(key(draft), draft)
        if other is not draft:
            problems.add(draft.item.row, f"{draft.where}: {template.format(draft, other)}.")


def _id_key(draft: Draft) -> object:
    return _folded(draft.item.slide_id)


def _folded(name: str) -> str:
    """A name as file systems may compare it, which tell neither case nor ways to write an accent apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _slide_key(draft: Draft) -> object:
    """One key for all paths and files that are the same slide."""
    if isinstance(draft.item.slide, Url):
        return draft.item.slide
    try:
        path = Path(os.path.realpath(draft.item.slide))
        if path.is_dir():
            series = next(iter(dicom_slides(path)), None)
            return path if series is None else (path, series)
        series = dicom_series(path) if path.suffix.lower() == ".dcm" else None
    except (OSError, ValueError):  # noted as a file that cannot be read
        return draft.item.slide
    return path if series is None else (path.parent, series)


def _check_cases(drafts: Sequence[Draft], problems: Problems) -> None:
    without = [draft for draft in drafts if draft.item.case_id is None]
    if 0 < len(without) < len(drafts):
        more = f" (and {len(without) - 1:,} more)" if len(without) > 1 else ""
        problems.add(
            without[0].item.row,
            f"{without[0].where}{more}: has no case_id, others have; give every slide one, or leave the column out.",
        )


def _check_points(
    drafts: Sequence[Draft], problems: Problems, points_format: str | None, allow_missing_points: bool
) -> list[Item]:
    by_file: dict[Path, list[Draft]] = {}
    for draft in drafts:
        if draft.item.points is not None:
            by_file.setdefault(draft.item.points, []).append(draft)
    unlisted: set[int] = set()
    for path, sharing in by_file.items():  # file by file, so that each is parsed once
        try:
            names = slides_in(path, points_format) if path.is_file() else None
        except (CandidateError, ConfigError, OSError) as error:
            more = f" (and {len(sharing) - 1:,} more)" if len(sharing) > 1 else ""
            problems.add(sharing[0].item.row, f"{sharing[0].where}{more}: points {error}")
            continue
        if names is not None:
            unlisted |= _unlisted(sharing, names, problems, allow_missing_points)
    return [replace(draft.item, points=None) if draft.item.row in unlisted else draft.item for draft in drafts]


def _unlisted(sharing: Sequence[Draft], names: SlideNames, problems: Problems, allow_missing_points: bool) -> set[int]:
    """Rows that a shared points file does not list, noted unless they are allowed; rows that it lists twice are noted."""
    rows: set[int] = set()
    for draft in sharing:
        slide, found = draft.item.slide.name, names.of_slide(draft.item.slide.name)
        where = f"{draft.where}: points {draft.item.points}"
        if len(found) > 1:
            both = " and ".join(map(repr, found[:2]))
            problems.add(draft.item.row, f"{where}: {both} could both be {slide!r}; write its name in one way.")
        elif not found and not allow_missing_points:
            near = names.nearest(slide) if len(rows) < _NEAREST_NAMED else None
            nearest = f" (nearest is {near!r})" if near is not None else ""
            problems.add(
                draft.item.row,
                f"{where}: lists no row for {slide!r}{nearest}; correct the name, "
                "or pass --allow-missing-points if it has no candidates.",
            )
        if not found:
            rows.add(draft.item.row)
    return rows
