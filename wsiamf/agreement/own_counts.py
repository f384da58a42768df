"""wsiamf's own counts by case and region, out of folders of results."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from wsiamf.errors import AgreementError
from wsiamf.export.results import SlideResult, find_results
from wsiamf.slide_names import slide_stem

_COHORT_TABLE: Final = "cohort.csv"
_FAILED: Final = "failed"
WHOLE_SLIDE: Final = ""
"""The region that is the whole of what counts."""


@dataclass(frozen=True)
class Region:
    """A region of a slide and what wsiamf counts in it."""

    slide_id: str
    name: str
    mc: int
    amc: int


@dataclass
class OwnCounts:
    """Every region of the results, found by what a reader may call the case.

    Args:
        slides: All names of slides, sorted.
        by_case: Slide's folder, file name, stem, or case id of the cohort -> regions.
        failed: Slides of a cohort whose last try failed: the result that stands is of another input, and is not counted.
    """

    slides: list[str]
    by_case: dict[str, list[Region]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def find(self, case_id: str, region: str) -> Region | None:
        """The region that a reader counted; None where there is none.

        Raises:
            AgreementError: Several slides of the case have one.
        """
        found = [one for one in self.by_case.get(case_id, []) if one.name == region]
        if len(found) > 1:  # a case may be called as one of its slides: the folder's name says which is meant
            found = [one for one in found if one.slide_id == case_id] or found
        if len(found) > 1:
            slides = ", ".join(one.slide_id for one in found[:3])
            what = f"a region {region!r}" if region else "a whole slide"
            raise AgreementError(
                f"case {case_id}: {what} is on several slides ({slides}); put the slide's folder name into case_id."
            )
        return found[0] if found else None


def read_own_counts(out: Path) -> OwnCounts:
    """The counts of every slide of a folder of results.

    Raises:
        ExportError: The folder holds no results.
        AgreementError: The cohort's table is malformed.
    """
    found, rows = find_results(out), _cohort_rows(out)
    failed = [result.slide_id for result in found if rows.get(result.slide_id, _NO_ROW).status == _FAILED]
    results = [result for result in found if result.slide_id not in failed]
    by_case: defaultdict[str, list[Region]] = defaultdict(list)
    for result in results:
        case_id = rows.get(result.slide_id, _NO_ROW).case_id
        for name in {result.slide_id, result.slide_name, slide_stem(result.slide_name), case_id} - {""}:
            by_case[name] += _regions(result)
    return OwnCounts([result.slide_id for result in results], dict(by_case), failed)


class _Row(NamedTuple):
    """What a cohort's table says of a slide."""

    case_id: str
    status: str


_NO_ROW: Final = _Row("", "")


def _cohort_rows(out: Path) -> dict[str, _Row]:
    """The rows of a cohort's table by slide; empty where there is none."""
    table = out / _COHORT_TABLE
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            return {row["slide_id"]: _Row(row["case_id"], row.get("status", "")) for row in csv.DictReader(stream)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise AgreementError(f"{table}: not a cohort's table ({error}); collect the cohort again.") from error


def _regions(result: SlideResult) -> Iterator[Region]:
    summary, slide_id = result.summary, result.slide_id
    yield Region(slide_id, WHOLE_SLIDE, int(summary["n_ok"]), int(summary["n_amf"]))
    for one in summary.get("regions") or ():
        yield Region(slide_id, str(one["name"]), int(one["n"]), int(one["n_amf"]))


def unread(own: OwnCounts, used: Sequence[Region]) -> list[str]:
    """Named regions of the results that no reader counted, as ``slide: region``."""
    seen = {(one.slide_id, one.name) for one in used}
    every = {(one.slide_id, one.name) for regions in own.by_case.values() for one in regions if one.name != WHOLE_SLIDE}
    return [f"{slide}: {name}" for slide, name in sorted(every - seen)]


def unread_slides(own: OwnCounts, used: Sequence[Region]) -> list[str]:
    """Slides without a region of a name of its own, of which no reader counted the whole."""
    seen = {one.slide_id for one in used}
    named = {one.slide_id for regions in own.by_case.values() for one in regions if one.name != WHOLE_SLIDE}
    return [slide for slide in own.slides if slide not in seen | named]
