"""A folder of slides as a cohort: which of its files are slides, and which points are theirs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsiamf.candidates.own_rows import slides_in
from wsiamf.cohort.item_checks import Draft, check_items
from wsiamf.cohort.items import Item
from wsiamf.cohort.problems import Problems
from wsiamf.errors import ConfigError, ManifestError, WsiamfError
from wsiamf.slide_names import is_slide_name, slide_stem
from wsiamf.slides import dicom_series, is_ome_zarr

logger = logging.getLogger(__name__)

_POINTS_SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt", ".parquet", ".pq", ".json"})
_REGIONS_SUFFIXES: Final = (".geojson", ".geojson.gz", ".json", ".json.gz")
_DICOM: Final = ".dcm"
_MRXS: Final = ".mrxs"
_NAMED: Final = 3


@dataclass(frozen=True)
class _Found:
    """A slide of the folder.

    Args:
        slide_id: Its file's stem; of an OME-Zarr, or of a folder that holds one DICOM series, the folder's name.
        path: The file, or the folder of an OME-Zarr.
    """

    slide_id: str
    path: Path

    @property
    def stem(self) -> str:
        """What its points and regions files are called but for the suffix: ``a`` for ``a.svs`` and for ``a.ome.zarr``."""
        return slide_stem(self.slide_id) if self.path.is_dir() else self.slide_id


def list_folder(
    slides: str | Path,
    points: str | Path,
    *,
    regions: str | Path | None = None,
    points_format: str | None = None,
    allow_missing_points: bool = False,
) -> list[Item]:
    """The slides of a folder in the order of their names, each with its points and, where it has some, its named regions.

    A slide is a file with a slide's suffix, or an OME-Zarr folder; the files of one DICOM series, in the folder or in a
    folder of their own in it, are one slide. Other files are left out; a note in the log counts them.

    Args:
        slides: The folder.
        points: A folder of points files that are called as the slides are (``a.csv`` for ``a.svs``; a folder that holds one
            DICOM series lends it its name), or one file for many.
        regions: A folder of GeoJSON files of named fields that are called as the slides are; a slide without one has none.
        points_format: Format of the points files; None to find it from their content.
        allow_missing_points: Whether a slide without points of its own is an item without candidates.

    Raises:
        ManifestError: Slides or points are unusable; names all that is wrong, one a line.
    """
    slides, points = Path(slides).absolute(), Path(points).absolute()
    found = _slides_of(slides)
    problems = Problems(str(slides))
    if not found:
        problems.add(0, "holds no slide; check the folder, or list the slides in a manifest.")
    given = _points_of(found, points, points_format, problems, allow_missing_points)
    fields = [None] * len(found) if regions is None else _regions_of(found, Path(regions).absolute(), problems)
    drafts = [
        Draft(one.path.relative_to(slides).as_posix(), Item(row, one.slide_id, one.path, own, regions=drawn))
        for row, (one, own, drawn) in enumerate(zip(found, given, fields, strict=True), start=1)
    ]
    items = check_items(drafts, problems, points_format=points_format, allow_missing_points=allow_missing_points)
    problems.raise_any()
    return items


def _slides_of(folder: Path) -> list[_Found]:
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder of slides; check the path.")
    entries = _entries(folder)
    files = [entry for entry in entries if not entry.is_dir()]
    slides = [file for file in files if is_slide_name(file.name)]
    companions = {slide_stem(file.name) for file in slides if file.suffix.lower() == _MRXS}
    found = [_Found(slide_stem(file.name) or file.name, file) for file in _one_a_series(slides)]
    left_out = [file for file in files if not is_slide_name(file.name)]
    for entry in entries:
        if entry.is_dir() and entry.name not in companions:
            inside = [_Found(entry.name, entry)] if _is_ome_zarr(entry) else list(_series_in(entry))
            found += inside
            left_out += [] if inside else [entry]
    _note_left_out(folder, left_out)
    return sorted(found, key=lambda one: (one.slide_id, str(one.path)))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise ManifestError(f"{folder}: cannot be listed ({error.strerror}); check its rights.") from error


def _one_a_series(files: Sequence[Path]) -> Iterator[Path]:
    """The files, of each DICOM series the first alone."""
    seen: set[str] = set()
    for file in files:
        series = _series_of(file)
        if series is None or series not in seen:
            yield file
        if series is not None:
            seen.add(series)


def _series_of(file: Path) -> str | None:
    if file.suffix.lower() != _DICOM:
        return None
    try:
        return dicom_series(file)
    except OSError:
        return None  # the checks of the items say so


def _is_ome_zarr(folder: Path) -> bool:
    try:
        return is_ome_zarr(folder) and not folder.name.startswith(".")
    except OSError as error:
        raise ManifestError(f"{folder}: cannot be read ({error.strerror}); check its rights.") from error


def _series_in(folder: Path) -> Iterator[_Found]:
    """The DICOM slides in a folder of their own, called as the folder is where it holds one."""
    files = [file for file in _entries(folder) if file.suffix.lower() == _DICOM and is_slide_name(file.name)]
    first = [file for file in _one_a_series(files) if not file.is_dir()]
    for file in first:
        yield _Found(folder.name if len(first) == 1 else f"{folder.name}-{slide_stem(file.name)}", file)


def _note_left_out(folder: Path, left_out: Sequence[Path]) -> None:
    if left_out:
        names = _first([path.name for path in left_out])
        logger.warning("%s: %d left out, which are no slides by their names (%s)", folder.name, len(left_out), names)


def _points_of(
    found: Sequence[_Found],
    points: Path,
    points_format: str | None,
    problems: Problems,
    allow_missing_points: bool,
) -> list[Path | None]:
    """The points file of each slide, None where it has none."""
    if points.is_dir():
        return _matched(found, points, problems, allow_missing_points)
    if not points.exists():
        raise ManifestError(f"{points}: no such points file or folder; check --points.")
    _check_shared(found, points, points_format, problems)
    return [points] * len(found)


def _check_shared(found: Sequence[_Found], points: Path, points_format: str | None, problems: Problems) -> None:
    try:
        names = slides_in(points, points_format)
    except (WsiamfError, OSError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ManifestError(f"{points}: cannot be used: {str(error).removeprefix(f'{points}: ')}") from error
    if names is None:
        if len(found) > 1:
            problems.add(
                0,
                f"points {points}: names no slides, but there are {len(found)}; add a column slide, "
                "or give a folder of points files.",
            )
        return
    listed = {name for one in found for name in names.of_slide(one.path.name)}
    if unused := [name for name in names.known if name not in listed]:
        logger.warning("%s: %d of its slides are not in the folder (%s)", points.name, len(unused), _first(unused))


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _matched(
    found: Sequence[_Found], folder: Path, problems: Problems, allow_missing_points: bool
) -> list[Path | None]:
    by_stem = _by_stem(file for file in _entries(folder) if file.suffix.lower() in _POINTS_SUFFIXES)
    given: list[Path | None] = []
    for row, one in enumerate(found, start=1):
        given.append(_own_file(row, one, by_stem, "points", problems))
        if given[-1] is None and not allow_missing_points:
            problems.add(
                row,
                f"{one.path.name}: has no points in {folder} (such as {one.stem}.csv); add them, "
                "or pass --allow-missing-points if it has no candidates.",
            )
    _note_unused(found, by_stem, folder, "points")
    return given


def _regions_of(found: Sequence[_Found], folder: Path, problems: Problems) -> list[Path | None]:
    """The file of named fields of each slide, None where it has none: a reader need not have counted on every slide."""
    if not folder.is_dir():
        raise ManifestError(
            f"{folder}: no such folder of regions; check --regions, which takes a folder of GeoJSON files that are called as "
            "the slides are."
        )
    by_stem = _by_stem(file for file in _entries(folder) if file.name.lower().endswith(_REGIONS_SUFFIXES))
    given = [_own_file(row, one, by_stem, "regions", problems) for row, one in enumerate(found, start=1)]
    if without := [one.path.name for one, own in zip(found, given, strict=True) if own is None]:
        logger.warning("%s: %d slides have no regions there (%s)", folder.name, len(without), _first(without))
    _note_unused(found, by_stem, folder, "regions")
    return given


def _by_stem(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by the slide that they are called after: ``a.svs.geojson.gz`` and ``a.csv`` are ``a``'s."""
    by_stem: dict[str, list[Path]] = {}
    for file in files:
        if not file.name.startswith(".") and file.is_file():
            stem = file.with_suffix("").stem if file.suffix.lower() == ".gz" else file.stem
            by_stem.setdefault(slide_stem(stem), []).append(file)
    return by_stem


def _own_file(row: int, one: _Found, by_stem: Mapping[str, list[Path]], what: str, problems: Problems) -> Path | None:
    """A slide's file; noted where there are several."""
    files = by_stem.get(one.stem, [])
    if len(files) > 1:
        problems.add(row, f"{one.path.name}: has {_first([file.name for file in files])} as {what}; keep one.")
    return files[0] if files else None


def _note_unused(found: Sequence[_Found], by_stem: Mapping[str, list[Path]], folder: Path, what: str) -> None:
    used = {one.stem for one in found}
    if unused := sorted(file.name for stem in by_stem.keys() - used for file in by_stem[stem]):
        logger.warning("%s: %d %s files are no slide's (%s)", folder.name, len(unused), what, _first(unused))
