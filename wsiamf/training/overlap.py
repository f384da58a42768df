"""Figures that two parts share: nothing may be trained on and measured on at once.

Shared figures are found in three ways: the two crops come from one slide (by its file name), they lie at one place of a slide
(centres within 25 px of level 0), or they have the same pixels once padding is painted white.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import KDTree

from wsiamf.config import SetConfig
from wsiamf.errors import TrainingError
from wsiamf.slide_names import base_name, slide_stem
from wsiamf.training.labels import LabelledCrops, read_labelled_set

logger = logging.getLogger(__name__)

NEAR_PX: Final = 25.0
"""Half the side of MIDOG's boxes: two centres closer than this mark one figure."""

# The MIDOG challenges number their slides in one series: MIDOG25/002.tiff is MIDOG21/002.tiff, but not TUPAC16/002.tif.
_SERIES: Final = dict.fromkeys(("midog", "midog21", "midog22", "midog25", "midog++", "midogpp"), "midog")
_Partners = NDArray[np.intp]


@dataclass(frozen=True)
class Overlap:
    """Which crops of one part have a partner in another one; M = crops of the other part.

    Args:
        by_slide: For each crop of the other part, a row of the first part that is of the same slide, -1 for none.
        by_position: The same for a crop at the same place of the same slide.
        by_pixels: The same for a crop with the same pixels.
    """

    by_slide: _Partners
    by_position: _Partners
    by_pixels: _Partners

    @property
    def ways(self) -> dict[str, _Partners]:
        """The partners by what they share, in words."""
        words = {
            "by_slide": "of the same slide",
            "by_position": "at the same place",
            "by_pixels": "with the same pixels",
        }
        return {words[one.name]: getattr(self, one.name) for one in fields(self)}

    @property
    def rows(self) -> NDArray[np.intp]:
        """Rows of the other part that have a partner in any way."""
        return np.flatnonzero((np.stack(list(self.ways.values())) >= 0).any(axis=0))


def find_overlap(one: LabelledCrops, other: LabelledCrops) -> Overlap:
    """Find the crops of ``other`` that ``one`` holds too, or whose slide it holds."""
    by_slide, by_position = find_shared_places(one.table, other.table)
    first_of = {digest: row for row, digest in reversed(list(enumerate(one.hashes)))}
    return Overlap(
        by_slide, by_position, np.array([first_of.get(digest, -1) for digest in other.hashes], dtype=np.intp)
    )


def refuse_overlap(one: LabelledCrops, other: LabelledCrops) -> None:
    """Make sure that two parts share nothing.

    Raises:
        TrainingError: They do; says how many crops in which way, with an example, and what to do.
    """
    overlap = find_overlap(one, other)
    if not len(overlap.rows):
        return
    counts = [_counted(way, partners, one.table, other.table) for way, partners in overlap.ways.items()]
    raise TrainingError(
        f"{_sets(one)} and {_sets(other)} overlap in {len(overlap.rows)} crop(s) of the latter: "
        f"{'; '.join(filter(None, counts))}. What is trained on must not be measured on: leave one of them out, set "
        "on_overlap: drop for the set that is named later, or give a manifest's rows one group; slides that only happen to "
        "have one name need a slide column that tells them apart."
    )


def drop_overlap(earlier: LabelledCrops, later: LabelledCrops) -> LabelledCrops:
    """The later set without the crops that overlap with the earlier one; says on the log how many those were.

    Raises:
        TrainingError: Nothing would be left.
    """
    shared = find_overlap(earlier, later).rows
    if len(shared) == len(later):
        raise TrainingError(
            f"{_sets(later)}: on_overlap: drop leaves nothing of it; all is in {_sets(earlier)} already."
        )
    if len(shared):
        logger.warning(
            "%s: %d of %d crops overlap with %s and are left out.",
            _sets(later),
            len(shared),
            len(later),
            _sets(earlier),
        )
    return later.subset(np.setdiff1d(np.arange(len(later)), shared))


def read_apart(sets: Sequence[SetConfig], root: Path) -> list[LabelledCrops]:
    """Read sets, in their order, of which no two overlap.

    Raises:
        TrainingError: A set is unusable, or overlaps with an earlier one and has ``on_overlap: error``.
    """
    read: list[LabelledCrops] = []
    for config in sets:
        crops = read_labelled_set(config, root)
        for earlier in read:
            if config.on_overlap == "drop":
                crops = drop_overlap(earlier, crops)
            else:
                refuse_overlap(earlier, crops)
        read.append(crops)
    return read


def same_slide(one: tuple[str, str], other: tuple[str, str]) -> bool | None:
    """Whether two ``(set, slide)`` name one slide; None where the names leave it open.

    Inside a set a slide is what its column says. Between sets file names decide, whatever folders they lie in; but a name that
    is a mere number, such as ``001.tiff``, says something only within its series, which is what stands before it
    (``TUPAC16/001.tif``): where either side names none it is left open, and places and pixels decide.
    """
    if one[0] == other[0]:
        return one[1] == other[1]
    if slide_stem(one[1]) != slide_stem(other[1]):
        return False
    if not slide_stem(one[1]).isdecimal():
        return True
    series = [_series(slide) for _, slide in (one, other)]
    return None if None in series else series[0] == series[1]


def _series(slide: str) -> str | None:
    """What stands before a slide's file name, the names of one series made one."""
    folder = slide.replace("\\", "/").rstrip("/").rpartition("/")[0]
    name = base_name(folder).casefold()
    return _SERIES.get(name, name) or None


def find_shared_places(one: pd.DataFrame, other: pd.DataFrame) -> tuple[_Partners, _Partners]:
    """For each row of ``other`` a row of ``one`` of its slide, and one at its place; -1 for none."""
    by_slide, by_position = (np.full(len(other), -1, dtype=np.intp) for _ in range(2))
    for ours, theirs, same in _slide_pairs(one, other):
        if same:
            by_slide[theirs] = ours[0]
        near = _near(one.iloc[ours], other.iloc[theirs])
        by_position[theirs] = np.where(near >= 0, ours[near], by_position[theirs])
    return by_slide, by_position


def _slide_pairs(one: pd.DataFrame, other: pd.DataFrame) -> Iterator[tuple[_Partners, _Partners, bool | None]]:
    """Rows of either side on slides that are, or may be, one."""
    theirs_by_stem: dict[str, list[tuple[str, str]]] = {}
    theirs, ours = _rows_of_slides(other), _rows_of_slides(one)
    for key in theirs:
        theirs_by_stem.setdefault(slide_stem(key[1]), []).append(key)
    for key, rows in ours.items():
        for candidate in theirs_by_stem.get(slide_stem(key[1]), []):
            same = same_slide(key, candidate)
            if same is not False:
                yield rows, theirs[candidate], same


def _rows_of_slides(table: pd.DataFrame) -> dict[tuple[str, str], _Partners]:
    rows: dict[tuple[str, str], list[int]] = {}
    for row, (name, slide) in enumerate(zip(table["set"], table["slide"], strict=True)):
        if isinstance(slide, str):
            rows.setdefault((str(name), slide), []).append(row)
    return {key: np.array(some, dtype=np.intp) for key, some in rows.items()}


def _near(ours: pd.DataFrame, theirs: pd.DataFrame) -> _Partners:
    """Position in ``ours`` of the figure that is nearest to each of ``theirs``, -1 where none is near."""
    points = ours[["x", "y"]].to_numpy(dtype=np.float64)
    wanted = theirs[["x", "y"]].to_numpy(dtype=np.float64)
    known, asked = np.flatnonzero(np.isfinite(points).all(axis=1)), np.isfinite(wanted).all(axis=1)
    near = np.full(len(wanted), -1, dtype=np.intp)
    if len(known) and asked.any():
        distance, found = KDTree(points[known]).query(wanted[asked])
        near[asked] = np.where(distance <= NEAR_PX, known[found], -1)
    return near


def _counted(way: str, partners: _Partners, one: pd.DataFrame, other: pd.DataFrame) -> str:
    rows = np.flatnonzero(partners >= 0)
    if not len(rows):
        return ""
    ours, theirs = one.iloc[partners[rows[0]]], other.iloc[rows[0]]
    return f"{len(rows)} {way} ({ours['set']} {ours['file']} and {theirs['set']} {theirs['file']})"


def _sets(data: LabelledCrops) -> str:
    return " and ".join(data.table["set"].unique())
