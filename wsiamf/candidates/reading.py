"""A points file and a slide in, the candidate table out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from wsiamf.candidates.formats import reader_for
from wsiamf.candidates.identity import candidate_ids
from wsiamf.candidates.merging import merged_into
from wsiamf.candidates.notes import label_notes, listed_faults, score_notes
from wsiamf.candidates.parsed_file import points_sha256
from wsiamf.candidates.placing import MAX_OUTSIDE_PX, Placed, Placement, PointsUnit, place
from wsiamf.candidates.raters import Votes, rater_notes, votes_of, with_persons
from wsiamf.candidates.raw import PointsFrame, RawPoints, Reader, SlideLike
from wsiamf.classes import NON_MITOTIC, canonical_label
from wsiamf.errors import CandidateError, ConfigError
from wsiamf.statuses import BAD_POINT, BELOW_MIN_SCORE, DUPLICATE, OK, OUTSIDE_ROI
from wsiamf.statuses import NON_MITOTIC as NON_MITOTIC_ROW
from wsiamf.wording import counted

COLUMNS: Final = (
    "candidate_id",
    "source_row",
    "source_label",
    "x",
    "y",
    "score",
    "status",
    "duplicate_of",
    "by_person",
)
"""Columns of the candidate table, in order."""

MERGE_UM: Final = 7.5
"""Detections closer than this are one figure: the distance at which the MIDOG challenge matches them."""

PointsFrameOption = Literal["auto", "level0", "qupath"]

OnPoints = Callable[[NDArray[np.float64], NDArray[np.float64], Placement], None]
"""Called with the file's own x and y, NaN where a row has no number, and how they become level-0 px."""


@dataclass(frozen=True)
class Candidates:
    """One slide's candidates, in the order of the points file.

    Args:
        table: Columns ``COLUMNS``: ``candidate_id`` (the file's id, else the row number), ``source_row`` (row or
            annotation in the file, from 1), ``source_label`` (AMF, NMF, mitotic figure, non-mitotic, or the file's own
            word; None for none), ``x, y`` (centre in level-0 px; NaN only for a bad point that has none), ``score`` (NaN
            for none), ``status`` (``wsiamf.statuses``), ``duplicate_of`` (the candidate_id counted in its place, or
            None), ``by_person`` (a person labelled the point).
        format: Name of the reader.
        points_frame: The frame the file's coordinates were taken to be in.
        sha256: Of the points file.
        notes: Things to tell the user, one sentence each.
        n_excluded_non_mitotic: Rows left out because the file labels them non-mitotic.
        votes: AMF, NMF or None by expert, one a row of the table.
    """

    table: pd.DataFrame
    format: str
    points_frame: PointsFrame
    sha256: str
    notes: tuple[str, ...]
    n_excluded_non_mitotic: int
    votes: Votes = field(default_factory=dict)


def read_candidates(
    path: str | Path,
    slide: SlideLike,
    *,
    points_frame: PointsFrameOption = "auto",
    points_format: str | None = None,
    min_score: float | None = None,
    merge_um: float = MERGE_UM,
    include_non_mitotic: bool = False,
    skip_bad_points: bool = False,
    within: BaseGeometry | None = None,
    raters: Sequence[str] | None = None,
    points_unit: PointsUnit = "auto",
    points_scale: float = 1.0,
    points_swap_xy: bool = False,
    points_flip_y: bool = False,
    on_points: OnPoints = lambda _x, _y, _placement: None,
) -> Candidates:
    """Read one slide's candidates from a points file.

    Args:
        path: The points file; its format is found from its content.
        slide: The slide: its file name and its frame.
        points_frame: ``level0``, ``qupath`` (px or um from the corner of the slide's bounds, as QuPath shows them), or
            ``auto``, the format's own.
        points_format: One of ``formats.FORMATS`` instead of looking at the content.
        min_score: Rows with a lower score are set aside (``below_min_score``); rows without a score are not.
        merge_um: Detections closer than this many um are one figure, the best score counts; 0 turns it off. Points that
            a person labelled are never merged: those of an annotation format, and those labelled AMF, NMF or mitotic
            figure in a plain table without scores.
        include_non_mitotic: Keep rows labelled non-mitotic, as rows that never count.
        skip_bad_points: Keep rows that cannot be used as ``bad_point`` instead of failing.
        within: Regions of interest in level-0 px; points outside are set aside (``outside_roi``), not those on the edge.
        raters: Persons whose AMF and NMF labels are votes; None: the experts of formats that name experts.
        points_unit: What the file's numbers are in, or ``auto``, the format's own.
        points_scale: Factor on both axes (2 for points of a 20x copy of a 40x slide).
        points_swap_xy: The file's x is the slide's y.
        points_flip_y: The file's y counts upwards from the lower edge.
        on_points: Called with the file's points (without weak detections) and how they are placed, before any is refused.

    Raises:
        PointsNotFoundError: There is no such file.
        CandidateError: The file is malformed, has no row for the slide, or holds points that cannot be used.
        ConfigError: An option holds a wrong value.
        MppError: The slide has no resolution.
    """
    _check_options(min_score, merge_um)
    path = Path(path)
    reader, raw = read_points(path, slide, points_format)
    if min_score is not None and raw.score is None:
        raise CandidateError(f"{path}: has no scores, so --min-score {min_score:g} cannot be applied; leave it out.")
    raw = with_persons(replace(raw, ids=candidate_ids(raw, path)), raters)
    kept = raw if include_non_mitotic else raw.take(np.flatnonzero(~_non_mitotic(raw)))
    votes = votes_of(kept, raters, path)
    placement = placement_of(
        reader,
        raw,
        points_frame=points_frame,
        points_unit=points_unit,
        points_scale=points_scale,
        points_swap_xy=points_swap_xy,
        points_flip_y=points_flip_y,
    )
    strong = ~_weak(kept, min_score)
    on_points(kept.x[strong], kept.y[strong], placement)
    placed = place(kept.x, kept.y, kept.faults, slide.frame, placement)
    if placed.faults and not skip_bad_points:
        raise CandidateError(
            f"{path}: {counted(len(placed.faults), kept.row_word)} cannot be used "
            f"({listed_faults(kept, placed.faults)}); correct them, or set them aside with --skip-bad-points."
        )
    table = _merged(_table(kept, placed, min_score, within), merge_um / slide.frame.mpp)
    n_excluded = len(raw) - len(kept)
    notes = _notes(kept, placed, table, n_excluded=n_excluded, min_score=min_score, merge_um=merge_um)
    notes = (*notes, *rater_notes(kept, raters))
    return Candidates(table, reader.name, placement.frame, points_sha256(path), notes, n_excluded, votes)


def read_points(path: Path, slide: SlideLike, points_format: str | None = None) -> tuple[Reader, RawPoints]:
    """Read a slide's points as the file gives them, known class words translated.

    Args:
        path: The points file.
        slide: The slide; ``NamedSlide()`` stands for whatever slides the file names.
        points_format: One of ``formats.FORMATS`` instead of looking at the content.

    Raises:
        CandidateError: The file is malformed, of no known format, or has no row for the slide.
        ConfigError: ``points_format`` is no format's name.
    """
    reader = reader_for(path, points_format)
    raw = reader.read(path, slide)
    known = {label: None if label is None else canonical_label(label) or label for label in set(raw.labels)}
    return reader, replace(raw, labels=[known[label] for label in raw.labels])


def placement_of(
    reader: Reader,
    raw: RawPoints,
    *,
    points_frame: PointsFrameOption = "auto",
    points_unit: PointsUnit = "auto",
    points_scale: float = 1.0,
    points_swap_xy: bool = False,
    points_flip_y: bool = False,
) -> Placement:
    """How a file's points become level-0 px: as its format says, but for what the user knows better.

    Args:
        reader: Of the file.
        raw: What it read.
        points_frame, points_unit, points_scale, points_swap_xy, points_flip_y: As of ``read_candidates``.

    Raises:
        ConfigError: An option holds a wrong value.
    """
    _check_placing(points_frame, points_unit, points_scale)
    if reader.states_unit and points_unit != "auto":
        raise ConfigError(
            f"--points-unit {points_unit}: {reader.name} has a unit of its own, from which the points were made "
            "px; leave the option out."
        )
    return Placement(
        frame=reader.frame if points_frame == "auto" else points_frame,
        unit=raw.unit if points_unit == "auto" else points_unit,
        scale=points_scale,
        swap_xy=points_swap_xy,
        flip_y=points_flip_y,
    )


def _check_options(min_score: float | None, merge_um: float) -> None:
    if min_score is not None and not math.isfinite(min_score):
        raise ConfigError(f"--min-score {min_score}: must be a finite number.")
    if not (math.isfinite(merge_um) and merge_um >= 0):
        raise ConfigError(f"--merge-um {merge_um}: must be a distance in um, or 0 to merge nothing.")


def _check_placing(points_frame: str, points_unit: str, points_scale: float) -> None:
    if points_frame not in ("auto", "level0", "qupath"):
        raise ConfigError(f"--points-frame {points_frame}: not known; choose auto, level0 or qupath.")
    if points_unit not in ("auto", "px", "um", "mm"):
        raise ConfigError(f"--points-unit {points_unit}: not known; choose auto, px, um or mm.")
    if not (math.isfinite(points_scale) and points_scale > 0):
        raise ConfigError(f"--points-scale {points_scale}: must be a number above 0.")


def _non_mitotic(raw: RawPoints) -> NDArray[np.bool_]:
    return np.asarray([label == NON_MITOTIC for label in raw.labels], dtype=np.bool_)


def _weak(raw: RawPoints, min_score: float | None) -> NDArray[np.bool_]:
    """(N,) Which rows have a score below the least one."""
    if min_score is None or raw.score is None:
        return np.zeros(len(raw), dtype=np.bool_)
    return np.asarray(raw.score < min_score)  # False for NaN


def _table(raw: RawPoints, placed: Placed, min_score: float | None, within: BaseGeometry | None) -> pd.DataFrame:
    """The table before merging; its index runs from 0."""
    columns = {
        "candidate_id": pd.Series(raw.ids, dtype=object),
        "source_row": raw.rows,
        "source_label": pd.Series(np.asarray(raw.labels, dtype=object), dtype=object),
        "x": placed.x,
        "y": placed.y,
        "score": np.full(len(raw), np.nan) if raw.score is None else raw.score,
        "status": pd.Series(_statuses(raw, placed, min_score, within), dtype=object),
        "duplicate_of": pd.Series([None] * len(raw), dtype=object),
        "by_person": raw.by_person,
    }
    return pd.DataFrame(columns, columns=list(COLUMNS))


def _statuses(
    raw: RawPoints, placed: Placed, min_score: float | None, within: BaseGeometry | None
) -> NDArray[np.object_]:
    """(N,) Statuses; where two reasons hold, the later line wins."""
    status = np.full(len(raw), OK, dtype=object)
    if within is not None:
        status[_outside(within, placed)] = OUTSIDE_ROI
    status[_weak(raw, min_score)] = BELOW_MIN_SCORE
    status[_non_mitotic(raw)] = NON_MITOTIC_ROW
    status[list(placed.faults)] = BAD_POINT
    return status


def _outside(within: BaseGeometry, placed: Placed) -> NDArray[np.bool_]:
    shapely.prepare(within)
    usable = np.isfinite(placed.x)
    outside = np.ones(len(usable), dtype=np.bool_)
    outside[usable] = ~shapely.intersects_xy(within, placed.x[usable], placed.y[usable])
    return outside


def _merged(table: pd.DataFrame, distance_px: float) -> pd.DataFrame:
    """The table with detections that are one figure marked; ``distance_px`` in level-0 px."""
    detections = np.flatnonzero((table["status"] == OK).to_numpy() & ~table["by_person"].to_numpy())
    x, y, score = (table[name].to_numpy()[detections] for name in ("x", "y", "score"))
    target = merged_into(x, y, score, distance_px)
    merged = target >= 0
    status, duplicate_of = table["status"].to_numpy(copy=True), table["duplicate_of"].to_numpy(copy=True)
    status[detections[merged]] = DUPLICATE
    duplicate_of[detections[merged]] = table["candidate_id"].to_numpy()[detections[target[merged]]]
    return table.assign(
        status=pd.Series(status, dtype=object, index=table.index),
        duplicate_of=pd.Series(duplicate_of, dtype=object, index=table.index),
    )


def _notes(
    raw: RawPoints, placed: Placed, table: pd.DataFrame, *, n_excluded: int, min_score: float | None, merge_um: float
) -> tuple[str, ...]:
    n_by_status = table["status"].value_counts()
    set_aside = [
        (int(n_by_status.get(status, 0)), text)
        for status, text in (
            (NON_MITOTIC_ROW, "labelled non-mitotic kept, not counted"),
            (BELOW_MIN_SCORE, f"with a score below {min_score} not counted"),
            (OUTSIDE_ROI, "outside the regions of interest not counted"),
            (DUPLICATE, f"closer than {merge_um:g} um to a better detection not counted"),
        )
    ]
    facts = [
        (n_excluded, "labelled non-mitotic left out"),
        (len(placed.faults), f"set aside as unusable: {listed_faults(raw, placed.faults)}"),
        (placed.n_moved, f"up to {MAX_OUTSIDE_PX:g} px outside the slide moved to its edge"),
        *set_aside,
    ]
    stated = [f"{counted(n, raw.row_word)} {text}" for n, text in facts if n]
    return (*raw.notes, *stated, *score_notes(raw, min_score), *label_notes(raw.labels))
