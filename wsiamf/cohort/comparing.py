"""``diff``: which figures changed class between two runs, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from wsiamf.cohort.matching import ABSENT, Pair, pair_figures, states
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import read_plan
from wsiamf.cohort.rows import DONE, FAILED, FEW_FIGURES, NO_CANDIDATES
from wsiamf.cohort.slide_files import counts_of, read_json, regions_of
from wsiamf.errors import CohortError
from wsiamf.export.results import slide_folders
from wsiamf.files import RUN_RECORD
from wsiamf.predictions import read_predictions
from wsiamf.screen.key import COMPUTED_BY, changed_parts
from wsiamf.summary.slide_summary import FEW

NOT_SCREENED: Final = "not_screened"
NOT_LISTED: Final = "not_listed"
UNEXPLAINED: Final = "nothing that the records name"
COLUMNS: Final = (
    *(
        "slide_id",
        "candidate_id",
        "uuid",
        "x_um",
        "y_um",
        "before",
        "after",
        "p_before",
        "p_after",
        "matched_by",
        "why",
    ),
)

_CLASSES: Final = ("AMF", "NMF")
_SAME_P: Final = 1e-6
_PIXELS: Final = ("slide", "model", "algorithm_version", *COMPUTED_BY)
_LIST: Final = ("points", "slide", "regions", "options", "algorithm_version")
_CUT_OFF: Final = ("options.threshold", "model", "algorithm_version")
"""Parts of a key that may change a probability, which figures there are, and the class at the same probability."""

_OLD_KEY: Final = {
    "slide": ("slide", "fingerprint"),
    **{name: (name, "sha256") for name in ("points", "regions", "model")},
}


@dataclass(frozen=True)
class FigureChange:
    """A figure that counts in one run at least, and is another in the other.

    Args:
        slide_id, candidate_id, uuid, x_um, y_um: Which; of the later run, where it has the figure.
        before, after: Its class, its status where it does not count, or ``absent``.
        p_before, p_after: Its calibrated probability of being atypical; None where it has none.
        matched_by: ``uuid``, ``position`` (within 2 um) or ``none``.
        why: What differs between the runs and may have changed it.
    """

    slide_id: str
    candidate_id: str
    uuid: str
    x_um: float | None
    y_um: float | None
    before: str
    after: str
    p_before: float | None
    p_after: float | None
    matched_by: str
    why: str


@dataclass(frozen=True)
class SlideChange:
    """Two runs of one slide.

    Args:
        slide_id: Of both.
        status_before, status_after: done, few, no_candidates, failed, not_screened or not_listed.
        counts_before, counts_after: ``n_candidates, n_ok, n_amf, n_nmf, n_hard``; None without a result.
        regions_before, regions_after: Figures and AMF of each named region; None where none were given.
        why: What differs between the keys of the two runs.
        largest_shift: Of any figure's probability; None where no figure is in both.
        figures: Those that changed.
    """

    slide_id: str
    status_before: str
    status_after: str
    counts_before: dict[str, int | None] | None
    counts_after: dict[str, int | None] | None
    regions_before: dict[str, tuple[int, int]] | None
    regions_after: dict[str, tuple[int, int]] | None
    why: tuple[str, ...]
    largest_shift: float | None
    figures: tuple[FigureChange, ...]

    @property
    def differs(self) -> bool:
        """Whether a class, a count, a named region's too, or the status is another; probabilities alone may shift."""
        same_counts = self.counts_before == self.counts_after and self.regions_before == self.regions_after
        return bool(self.figures) or self.status_before != self.status_after or not same_counts

    def as_json(self) -> dict[str, Any]:
        """Values that JSON has."""
        return asdict(self)


def compare(before: Path, after: Path) -> Iterator[SlideChange]:
    """Compare two cohorts slide by slide, or two slides' folders; one slide is in memory at a time.

    Raises:
        CohortError: A folder holds no results of wsiamf.
        OutputError: A slide's table cannot be read.
    """
    first, second = _Side(before), _Side(after)
    if first.is_slide != second.is_slide:
        raise CohortError(f"{before}, {after}: one is a slide's folder and the other is not; name two of a kind.")
    if first.is_slide:
        name = first.names[0]
        yield _compare_slide(name, first, second, second.names[0])
        return
    for name in [*first.names, *(name for name in second.names if name not in set(first.names))]:
        yield _compare_slide(name, first, second, name)


@dataclass(frozen=True)
class _Result:
    """A slide's result of one run."""

    record: dict[str, Any]
    table: pd.DataFrame
    counts: dict[str, int | None]
    regions: dict[str, tuple[int, int]] | None


class _Side:
    """The results of one run: of one slide, of a planned cohort, or of slides screened into one folder."""

    def __init__(self, out: Path) -> None:
        self.is_slide = (out / RUN_RECORD).is_file()
        self._places = Places(out.absolute().parent if self.is_slide else out)
        self._unlisted: set[str] = set()
        if self.is_slide:
            self.names = [out.absolute().name]
        elif self._places.plan.exists():
            items = read_plan(self._places).items
            self.names = [item.slide_id for item in items]
            self._unlisted = {item.slide_id for item in items if item.points is None}
        else:
            self.names = [folder.name for folder in slide_folders(out)]
            if not self.names:
                raise CohortError(f"{out}: holds neither a cohort nor a slide's results; name the folder of --out.")
        self._known = set(self.names)

    def result(self, name: str) -> _Result | None:
        if name not in self._known or self._has_failed(name):  # a result that stands is of a run before the failure
            return None
        record = read_json(self._places.record(name))
        if record is None:
            return None
        folder = self._places.folder(name)
        table = read_predictions(folder)
        return _Result(record, table, counts_of(table), regions_of(read_json(folder / "summary.json") or {}))

    def status(self, name: str, result: _Result | None) -> str:
        if name not in self._known:
            return NOT_LISTED
        if result is not None:
            n = result.counts["n_ok"] or 0
            return DONE if n >= FEW else FEW_FIGURES if n else NO_CANDIDATES
        if name in self._unlisted:
            return NO_CANDIDATES
        return FAILED if self._has_failed(name) else NOT_SCREENED

    def _has_failed(self, name: str) -> bool:
        return not self.is_slide and self._places.failure(name).exists()


def _compare_slide(name: str, first: _Side, second: _Side, second_name: str) -> SlideChange:
    before, after = first.result(name), second.result(second_name)
    why: tuple[str, ...] = ()
    shift: float | None = None
    figures: tuple[FigureChange, ...] = ()
    if before is not None and after is not None:
        why = _why(before.record, after.record)
        pairs = pair_figures(before.table, after.table)
        shift = _largest_shift(before.table, after.table, pairs)
        figures = tuple(_changes(name, before.table, after.table, pairs, why))
    return SlideChange(
        slide_id=name,
        status_before=first.status(name, before),
        status_after=second.status(second_name, after),
        counts_before=None if before is None else before.counts,
        counts_after=None if after is None else after.counts,
        regions_before=None if before is None else before.regions,
        regions_after=None if after is None else after.regions,
        why=why,
        largest_shift=shift,
        figures=figures,
    )


def _largest_shift(before: pd.DataFrame, after: pd.DataFrame, pairs: list[Pair]) -> float | None:
    both = [(pair.before, pair.after) for pair in pairs if pair.before is not None and pair.after is not None]
    p_before, p_after = (table["p_atypical"].to_numpy(dtype=np.float64, na_value=np.nan) for table in (before, after))
    shifts = np.array([abs(p_before[one] - p_after[other]) for one, other in both])
    known = shifts[np.isfinite(shifts)]
    return float(known.max()) if len(known) else None


def _changes(
    name: str, before: pd.DataFrame, after: pd.DataFrame, pairs: list[Pair], why: tuple[str, ...]
) -> Iterator[FigureChange]:
    states_before, states_after = states(before), states(after)
    for pair in pairs:
        was = ABSENT if pair.before is None else states_before[pair.before]
        became = ABSENT if pair.after is None else states_after[pair.after]
        if was != became and {was, became} & set(_CLASSES):
            yield _change(name, pair, before, after, [was, became], why)


def _change(
    name: str, pair: Pair, before: pd.DataFrame, after: pd.DataFrame, state: list[str], why: tuple[str, ...]
) -> FigureChange:
    rows = [
        None if place is None else table.iloc[place] for table, place in ((before, pair.before), (after, pair.after))
    ]
    p_before, p_after = (None if row is None else _number(row["p_atypical"]) for row in rows)
    row = rows[1] if rows[1] is not None else rows[0]
    assert row is not None
    return FigureChange(
        slide_id=name,
        candidate_id=str(row["candidate_id"]),
        uuid=str(row["uuid"]),
        x_um=_number(row["x_um"]),
        y_um=_number(row["y_um"]),
        before=state[0],
        after=state[1],
        p_before=p_before,
        p_after=p_after,
        matched_by=pair.matched_by,
        why="; ".join(_relevant(why, state, p_before, p_after)),
    )


def _relevant(why: tuple[str, ...], state: list[str], p_before: float | None, p_after: float | None) -> tuple[str, ...]:
    """Of what differs, that which may have made this change; all of it where none is known to."""
    causes: tuple[str, ...]
    if not set(state) <= set(_CLASSES):
        causes = _LIST
    elif p_before is not None and p_after is not None and abs(p_before - p_after) <= _SAME_P:
        causes = _CUT_OFF
    else:
        causes = (*_PIXELS, *_CUT_OFF)
    narrowed = tuple(part for part in why if _is_of(part, causes))
    return narrowed or why


def _is_of(part: str, causes: tuple[str, ...]) -> bool:
    path = part.split(" ", maxsplit=1)[0]
    return any(path == cause or path.startswith(f"{cause}.") for cause in causes)


def _why(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """What differs between the keys of two runs; between versions where nothing in them does."""
    old, new = before.get("key"), after.get("key")
    if not isinstance(old, dict) or not isinstance(new, dict):
        old, new = _old_key(before), _old_key(after)
    parts = changed_parts(old, new)
    if parts:
        return tuple(parts)
    versions = changed_parts({"wsiamf": before.get("wsiamf")}, {"wsiamf": after.get("wsiamf")})
    versions += changed_parts(dict(before.get("versions", {})), dict(after.get("versions", {})))
    return tuple(versions) or (UNEXPLAINED,)


def _old_key(record: dict[str, Any]) -> dict[str, Any]:
    """A key from what ``run.json`` held before it had one: the points' hash is that of their whole file."""
    hashes = {name: (record.get(place) or {}).get(field) for name, (place, field) in _OLD_KEY.items()}
    rest = ("options", "error_rates", "algorithm_version", *COMPUTED_BY)
    return hashes | {name: record.get(name) for name in rest}


def _number(value: Any) -> float | None:
    return float(value) if pd.notna(value) else None
