"""Points of any format as a plain table, or as GeoJSON for QuPath."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from wsiamf.candidates.columns import EXPERT_PREFIX
from wsiamf.candidates.identity import candidate_ids
from wsiamf.candidates.notes import listed_faults, listed_names
from wsiamf.candidates.placing import Placement, place
from wsiamf.candidates.plain import persons
from wsiamf.candidates.programs import is_own
from wsiamf.candidates.raters import Votes, rater_notes, votes_of, with_persons
from wsiamf.candidates.raw import EVERY_SLIDE, RawPoints, SlideLike
from wsiamf.candidates.reading import placement_of, read_points
from wsiamf.classes import CLASS_COLORS
from wsiamf.errors import CandidateError, ConfigError
from wsiamf.export.qupath import Feature, feature, square_ring, write_features
from wsiamf.files import atomic_file, refuse_existing
from wsiamf.geometry import FIGURE_BOX_UM, SlideFrame
from wsiamf.slide_names import base_name
from wsiamf.wording import counted

SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".geojson")
_ROWS_AT_A_TIME: Final = 65_536
_OTHER_COLOR: Final = (160, 160, 160)
_IDENTITIES: Final = uuid.UUID("6f0c2f4e-6c1e-5f0a-9b53-3f4c5a0d9e11")


@dataclass(frozen=True)
class Converted:
    """What was written.

    Args:
        n_points: Number of points.
        notes: Things to tell the user, one sentence each.
    """

    n_points: int
    notes: tuple[str, ...]


def convert_points(
    path: Path,
    out: Path,
    slide: SlideLike,
    *,
    points_format: str | None = None,
    raters: Sequence[str] | None = None,
    skip_bad_points: bool = False,
    overwrite: bool = False,
    **placing: Any,
) -> Converted:
    """Write a file's points in another format: a plain table in level-0 px, or GeoJSON in QuPath px.

    Every row is kept, non-mitotic ones and detections of one figure too.

    Args:
        path: The points file.
        out: ``.csv``, ``.tsv``, ``.parquet`` or ``.geojson``.
        slide: Whose rows are written; ``NamedSlide()`` writes those of all slides, with a column ``slide``, where neither
            unit nor frame needs to be changed.
        points_format: One of ``candidates.FORMATS`` instead of looking at the content.
        raters: Persons whose AMF and NMF labels are written as votes, and whose points are a person's; None: the experts of
            formats that name experts.
        skip_bad_points: Leave rows out that cannot be used.
        overwrite: Replace ``out``.
        **placing: How the file's numbers become level-0 px, where its format does not say it rightly: ``points_frame``,
            ``points_unit``, ``points_scale``, ``points_swap_xy``, ``points_flip_y`` of ``candidates.reading.placement_of``.

    Raises:
        CandidateError: The points are unusable, or the slide is needed and not at hand.
        ConfigError: ``out`` is of no format that is written, or an option holds a wrong value.
        OutputError: ``out`` exists, or cannot be written.
    """
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"{out}: the name must end in {', '.join(SUFFIXES)}, which says what is written.")
    refuse_existing(out, overwrite=overwrite)
    reader, raw = read_points(path, slide, points_format)
    raw = with_persons(raw, raters)
    placement = placement_of(reader, raw, **placing)
    _check_slide(raw, slide, placement, path, out)
    votes = votes_of(raw, raters, path)
    unwritten = rater_notes(raw, raters) or _unwritten_notes(raw.person_labels or {}, votes)
    raw = replace(raw, person_labels=votes, ids=_ids(raw, slide, path))
    raw, notes = _usable(raw, slide, placement, path, skip=skip_bad_points)
    _writer(out)(raw, slide.frame, out)
    return Converted(len(raw), (*raw.notes, *notes, *unwritten))


def _unwritten_notes(labels: Mapping[str, Sequence[str | None]], votes: Votes) -> list[str]:
    """Whose labels the written file lacks; programs' are not missed."""
    left_out = [name for name, words in labels.items() if name not in votes and any(words) and not is_own(name)]
    if not left_out:
        return []
    return [f"labels of {listed_names(left_out)} are not written: a converted file holds AMF and NMF votes alone"]


def _check_slide(raw: RawPoints, slide: SlideLike, placement: Placement, path: Path, out: Path) -> None:
    """Raise where something must be known of the slide, or which slide is meant."""
    names = {base_name(name) for name in raw.slides or ()}
    if slide.frame.width:
        if slide.name == EVERY_SLIDE and len(names) > 1:
            raise CandidateError(f"{path}: holds points of {len(names)} slides; name one with --slide-name.")
        return
    reason = None
    if out.suffix == ".geojson":
        reason = "QuPath's frame and the boxes round the points need its bounds and mpp"
    elif placement.unit != "px":
        reason = f"the coordinates are in {placement.unit}, which needs its mpp"
    elif placement.frame != "level0":
        reason = "the coordinates count from the corner of its bounds"
    elif raw.may_hold_regions:
        reason = "some outlines may be regions of tissue and not figures, which its mpp tells"
    elif placement.flip_y:
        reason = "--points-flip-y needs its height"
    elif any(np.isnan(raw.x[index]) for index in range(len(raw)) if index not in raw.faults):
        reason = "the format's coordinates need its size and mpp"
    if reason is not None:
        raise CandidateError(f"{path}: pass --slide: {reason}.")


def _ids(raw: RawPoints, slide: SlideLike, path: Path) -> Sequence[str] | None:
    """The file's own ids, checked where they are of one slide."""
    if raw.ids is None or not any(raw.ids) or slide.name == EVERY_SLIDE:
        return raw.ids if raw.ids is not None and any(raw.ids) else None
    return candidate_ids(raw, path)


def _usable(
    raw: RawPoints, slide: SlideLike, placement: Placement, path: Path, *, skip: bool
) -> tuple[RawPoints, list[str]]:
    """The points in level-0 px, without those that cannot be used."""
    x, y = placement.level0(raw.x, raw.y, slide.frame)
    px = replace(raw, x=x, y=y, unit="px")
    faults = place(x, y, raw.faults, slide.frame, Placement()).faults if slide.frame.width else dict(raw.faults)
    if faults and not skip:
        raise CandidateError(
            f"{path}: {counted(len(faults), raw.row_word)} cannot be used ({listed_faults(raw, faults)}); "
            "correct them, or leave them out with --skip-bad-points."
        )
    kept = np.setdiff1d(np.arange(len(px)), list(faults))
    notes = [f"{counted(len(faults), raw.row_word)} left out: {listed_faults(raw, faults)}"] if faults else []
    return px.take(kept), notes


_Write = Callable[[RawPoints, SlideFrame, Path], None]


def _writer(out: Path) -> _Write:
    return {".geojson": _write_geojson, ".parquet": _write_parquet}.get(out.suffix, _write_delimited)


def _table(raw: RawPoints) -> pa.Table:
    """The plain table: columns that the file has something for."""
    columns: dict[str, Any] = {"id": pa.array(raw.ids, pa.string())} if raw.ids is not None else {}
    columns |= {"x": pa.array(raw.x), "y": pa.array(raw.y)}
    if raw.score is not None:
        columns["score"] = pa.array(raw.score, from_pandas=True)
    if any(label is not None for label in raw.labels):
        columns["label"] = pa.array(raw.labels, pa.string())
    if raw.by_person.tolist() != _taken_for_persons(raw):
        columns["by_person"] = pa.array(raw.by_person)
    if raw.slides is not None:
        columns["slide"] = pa.array([base_name(name) for name in raw.slides], pa.string())
    for name, given in (raw.person_labels or {}).items():
        columns[EXPERT_PREFIX + name] = pa.array(given, pa.string())
    return pa.table(columns)


def _taken_for_persons(raw: RawPoints) -> list[bool]:
    """Whose points a plain table of the same scores and labels would be taken for a person's."""
    taken: list[bool] = (persons(raw.labels) & (raw.score is None)).tolist()
    return taken


def _write_parquet(raw: RawPoints, _frame: SlideFrame, out: Path) -> None:
    with atomic_file(out) as path:
        pq.write_table(_table(raw), path, compression="zstd", row_group_size=_ROWS_AT_A_TIME)


def _write_delimited(raw: RawPoints, _frame: SlideFrame, out: Path) -> None:
    options = pa_csv.WriteOptions(quoting_style="needed", delimiter="\t" if out.suffix == ".tsv" else ",")
    with atomic_file(out) as path:
        pa_csv.write_csv(_table(raw), path, options)


def _write_geojson(raw: RawPoints, frame: SlideFrame, out: Path) -> None:
    write_features(out, _features(raw, frame))


def _features(raw: RawPoints, frame: SlideFrame) -> Iterator[Feature]:
    x, y = frame.qupath_from_level0(raw.x, raw.y)
    side_px = FIGURE_BOX_UM / frame.mpp
    names = raw.ids if raw.ids is not None else [str(row) for row in raw.rows]
    votes: Votes = {name: tuple(given) for name, given in (raw.person_labels or {}).items()}
    for index, name in enumerate(names):
        ring = square_ring((float(x[index]), float(y[index])), side_px)
        given = {EXPERT_PREFIX + rater: vote for rater, words in votes.items() if (vote := words[index]) is not None}
        yield feature(_identity(name), ring, _properties(raw, index, {"candidate_id": name, **given}))


def _properties(raw: RawPoints, index: int, metadata: dict[str, str]) -> dict[str, Any]:
    label, score = raw.labels[index], _score(raw.score, index)
    properties: dict[str, Any] = {
        "objectType": "annotation" if raw.by_person[index] else "detection",
        "name": metadata["candidate_id"],
    }
    if label is not None:
        properties["classification"] = {"name": label, "color": list(CLASS_COLORS.get(label, _OTHER_COLOR))}
    if score is not None:
        properties["measurements"] = {"Detector score": score}
    return {**properties, "metadata": metadata}


def _score(score: NDArray[np.float64] | None, index: int) -> float | None:
    return None if score is None or np.isnan(score[index]) else float(score[index])


def _identity(name: str) -> str:
    """A UUID, which QuPath wants: the id itself where it is one, else one made from it."""
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return str(uuid.uuid5(_IDENTITIES, name))
