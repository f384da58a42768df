"""The slides of a cohort: a manifest (CSV, TSV, Parquet), or a folder of slides; checked whole before work starts."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from wsiamf.cohort.cells import Cells, read_cells
from wsiamf.cohort.folder import list_folder
from wsiamf.cohort.item_checks import Draft, check_items
from wsiamf.cohort.items import Item
from wsiamf.cohort.problems import Problems
from wsiamf.errors import MppError
from wsiamf.slide_names import result_folder_name
from wsiamf.slides.resolution import MPP_RANGE, given_resolution

__all__ = ["COLUMNS", "list_folder", "read_manifest"]

COLUMNS: Final = ("slide", "points", "slide_id", "case_id", "roi", "regions", "mpp", "group", "tumor", "scanner")
"""Of a manifest; the first two are needed."""

_NEEDED: Final = COLUMNS[:2]


def read_manifest(
    path: str | Path, *, points_format: str | None = None, allow_missing_points: bool = False
) -> list[Item]:
    """Read and check a manifest: one row a slide, paths relative to the manifest's folder.

    Args:
        path: The manifest.
        points_format: Format of the points files; None to find it from their content.
        allow_missing_points: Whether a slide that its shared points file does not list is an item without candidates.

    Raises:
        ManifestError: It cannot be read, or rows of it are unusable; names all of them, one a line.
    """
    path = Path(path)
    cells = read_cells(path)
    problems = Problems(str(path))
    places = _columns(cells.header, problems)
    if not cells.rows:
        problems.add(0, "has no rows; write one a slide.")
    if not set(_NEEDED) <= set(places):
        problems.raise_any()
    needed = _NEEDED[:1] if allow_missing_points else _NEEDED
    drafts = _drafts(cells, places, needed, path.absolute().parent, problems)
    items = check_items(drafts, problems, points_format=points_format, allow_missing_points=allow_missing_points)
    problems.raise_any()
    return items


def _columns(header: list[str], problems: Problems) -> dict[str, int]:
    """Position of each known column; unknown, repeated and missing ones are noted."""
    places: dict[str, int] = {}
    names = [name.lower() for name in header]
    for name, n in Counter(names).items():
        if n > 1 and name:
            problems.add(0, f"column {name!r} stands {n} times in the header; keep one.")
    for place, name in enumerate(names):
        if name in COLUMNS:
            places.setdefault(name, place)
        elif name:
            near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.0)[0]
            problems.add(0, f"column {header[place]!r} is not known (nearest is {near!r}); rename it or leave it out.")
        else:
            problems.add(0, f"column {place + 1} has no name; name it or leave it out.")
    for name in _NEEDED:
        if name not in places:
            problems.add(0, f"has no column {name!r}; its columns are {', '.join(map(repr, header[:20]))}.")
    return places


def _drafts(
    cells: Cells, places: Mapping[str, int], needed: Sequence[str], folder: Path, problems: Problems
) -> list[Draft]:
    drafts = []
    for row, texts in enumerate(cells.rows, start=1):
        if any(texts[len(cells.header) :]):
            problems.add(
                row,
                f"row {row}: has {len(texts)} cells, the header {len(cells.header)}; "
                "quote cells that hold the separator.",
            )
        values = {name: texts[place] for name, place in places.items() if place < len(texts)}
        empty = [name for name in needed if not values.get(name)]
        for name in empty:
            problems.add(row, f"row {row}: {name} is empty; name its file.")
        if not empty:
            drafts.append(_draft(row, values, folder, problems))
    return drafts


def _draft(row: int, values: Mapping[str, str], folder: Path, problems: Problems) -> Draft:
    """A row as an item; values that are not stated are None."""
    stated = {name: text for name, text in values.items() if text}
    slide = folder / stated["slide"]
    item = Item(
        row=row,
        slide_id=stated.get("slide_id") or _own_id(slide),
        slide=slide,
        points=folder / stated["points"] if "points" in stated else None,
        case_id=stated.get("case_id"),
        roi=folder / stated["roi"] if "roi" in stated else None,
        regions=folder / stated["regions"] if "regions" in stated else None,
        mpp=_mpp(row, stated.get("mpp"), problems),
        group=stated.get("group"),
        tumor=stated.get("tumor"),
        scanner=stated.get("scanner"),
    )
    return Draft(f"row {row}", item)


def _own_id(slide: Path) -> str:
    try:
        return result_folder_name(slide, None)
    except (OSError, ValueError):  # a path that no file can have; noted as such
        return slide.name


def _mpp(row: int, text: str | None, problems: Problems) -> float | None:
    if text is None:
        return None
    try:
        return given_resolution(float(text)).x
    except (ValueError, MppError):
        least, most = MPP_RANGE
        problems.add(row, f"row {row}: mpp {text!r} is no number from {least:g} to {most:g} um per px; correct it.")
        return None
