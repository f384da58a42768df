"""``verify``: whether results are what was written and agree with each other, of one slide or of a whole cohort."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from wsiamf.cohort.faults import WARNING, Fault, Faults, problem, warning
from wsiamf.cohort.items import Item
from wsiamf.cohort.parts import holds_rows_of, made_of
from wsiamf.cohort.places import STATE_FOLDER, Places
from wsiamf.cohort.planning import Plan, read_plan
from wsiamf.cohort.results import DAMAGED, MALFORMED, NOT_SCREENED, PREDICTIONS, Failure, PlannedResults, Result
from wsiamf.cohort.rows import COLUMNS, FAILED, Row, failed_row, result_row, unlisted_row
from wsiamf.cohort.slide_files import (
    check_files,
    check_record,
    check_same_rows,
    check_tables,
    read_columns,
    read_json,
    read_record,
    regions_of,
    statuses_of,
)
from wsiamf.cohort.slide_inputs import Inputs
from wsiamf.cohort.status import living_locks
from wsiamf.errors import CohortError
from wsiamf.export.results import slide_folders
from wsiamf.files import RUN_RECORD, sha256_file
from wsiamf.report import REPORT, made_from
from wsiamf.screen.record import SCHEMA

_LEFTOVER: Final = ".wsiamf-"
_NEEDED: Final = {"row", "slide_id", "status", "n_candidates", "n_ok"}

OnProgress = Callable[[int, int], None]


def verify(out: Path, *, on_progress: OnProgress = lambda _done, _total: None) -> list[Fault]:
    """Check a cohort's folder, a folder of slides' folders, or one slide's folder.

    What could not be checked is a warning, said once for all slides that it concerns.

    Args:
        out: The folder.
        on_progress: Called with the number of slides checked and the number in all.

    Raises:
        CohortError: It holds no results of wsiamf.
    """
    places, inputs = Places(out), Inputs()
    if (out / RUN_RECORD).is_file():
        return list(_check_slide(out, out.absolute().name, inputs))
    plan = read_plan(places) if places.plan.exists() else None
    standing = {folder.name for folder in slide_folders(out)}
    if plan is None and not standing:
        raise CohortError(f"{out}: holds neither a cohort nor a slide's results; name the folder that --out named.")
    faults: list[Fault] = []
    for done, name in enumerate(sorted(standing)):
        on_progress(done, len(standing))
        faults += _check_slide(out / name, name, inputs)
    if plan is not None:
        faults += _Cohort(plan, places, standing).check()
    return _together([*faults, *_check_leftovers(places)])


def _check_slide(folder: Path, where: str, inputs: Inputs) -> Faults:
    record = read_record(folder / RUN_RECORD)
    yield from check_record(record, where)
    if record is None or record.get("schema") != SCHEMA:
        return
    yield from check_files(folder, record, where)
    yield from check_tables(folder, record, where)
    yield from inputs.check(record, where)


def _check_leftovers(places: Places) -> Faults:
    runs, held = living_locks(places.locks, time.time())
    if runs or held:
        yield warning("", "a run is at work here; check again when it is over")
        return
    for path in sorted(places.out.iterdir()):
        if path.name.startswith(_LEFTOVER) and path.name != STATE_FOLDER:
            yield problem(path.name, "a leftover of a run that was killed; the next run of its slide removes it")
    if places.locks.is_dir():
        for path in sorted(places.locks.iterdir()):
            if path.suffix in (".run", ".slide"):
                yield warning("", "locks of runs that were killed lie in the folder; they hold nobody up")


def _together(faults: list[Fault]) -> list[Fault]:
    """Problems as they are, then each warning once, with the number of slides that it concerns."""
    problems = [fault for fault in faults if fault.level != WARNING]
    texts = Counter(fault.text for fault in faults if fault.level == WARNING)
    first = {fault.text: fault.where for fault in reversed(faults) if fault.level == WARNING}
    merged = [
        Fault(WARNING, first[text] if n == 1 else f"{n} slides, the first {first[text]}" if first[text] else "", text)
        for text, n in texts.items()
    ]
    return problems + merged


class _Cohort:
    """The tables of a cohort against its plan and its slides."""

    def __init__(self, plan: Plan, places: Places, standing: set[str]) -> None:
        self._plan = plan
        self._places = places
        self._standing = standing
        self._results = PlannedResults(plan, places)
        self._items = {item.slide_id: item for item in plan.items}
        self._due: dict[str, Row] = {}
        """What ``collect`` would write of each slide now, but for those that are to be run again."""
        self._digests: dict[str, str] = {}
        """Of the results that stand: what their parts of ``predictions/`` should be made of."""

    def check(self) -> Faults:
        yield from self._check_slides()
        if not (self._places.out / "cohort.csv").is_file():
            yield warning("cohort.csv", "is missing: the cohort was not collected yet (wsiamf cohort collect)")
            return
        try:
            table = pq.read_table(self._places.out / "cohort.parquet")
        except (OSError, pa.ArrowException):
            table = pa.table({})
        if not set(table.column_names) >= _NEEDED:
            yield problem("cohort.parquet", "cannot be read; collect again")
            return
        yield from check_same_rows(self._places.out / "cohort.csv", self._places.out / "cohort.parquet", "cohort.csv")
        rows = table.to_pylist()
        yield from self._check_rows(rows)
        yield from self._check_failures(rows)
        yield from self._check_cases(rows)
        yield from self._check_regions(rows)
        yield from self._check_parts(rows)
        yield from self._check_document(rows)
        yield from self._check_hashes()
        yield from self._check_page()

    def _check_slides(self) -> Faults:
        for name in sorted(self._standing - set(self._items)):
            yield warning(name, "the folder is no slide's of the plan; move it away")
        for item in self._plan.items:
            yield from self._check_planned(item)
        for path in sorted(self._places.failures.glob("*.json")):
            if path.stem not in self._items:
                yield warning(path.stem, "a failure is recorded of a slide that is not in the plan")

    def _check_planned(self, item: Item) -> Faults:
        if item.points is None:
            self._due[item.slide_id] = unlisted_row(item)
            return
        result = self._results.read(item)
        if not isinstance(result, Failure):
            yield from self._take(item, result)
        elif result.kind == NOT_SCREENED and item.slide_id in self._standing:
            yield warning(item.slide_id, result.reason)
        else:
            self._due[item.slide_id] = failed_row(item, result)
            if result.kind != DAMAGED:
                yield warning(item.slide_id, "there is no result: the slide failed or was not screened yet")

    def _take(self, item: Item, result: Result) -> Faults:
        if bool(result.record.get("named_regions")) != (item.regions is not None):
            yield warning(item.slide_id, "named regions were given to the result or to the plan alone; run again")
        try:
            self._due[item.slide_id] = result_row(item, result)
            self._digests[item.slide_id] = result.digest(item)
        except MALFORMED:
            yield problem(item.slide_id, "the result lacks fields or holds others; remove the folder and run again")

    def _check_rows(self, rows: list[dict[str, Any]]) -> Faults:
        due = [(item.row, item.slide_id) for item in self._plan.items]
        found = [(row["row"], row["slide_id"]) for row in rows]
        if due != found:
            odd = sorted({name for _, name in {*due} ^ {*found}})
            named = f" (first {odd[0]})" if odd else ", in another order"
            yield problem("cohort.csv", f"has {len(found)} rows, the plan {len(due)} slides{named}; collect again")
        for row in rows:
            yield from self._check_row(row)

    def _check_row(self, row: dict[str, Any]) -> Faults:
        """Whether a row says what the slide's result says now."""
        due = self._due.get(row["slide_id"], row)
        name = next((name for name in COLUMNS.names if row.get(name) != due.get(name)), None)
        if name is not None:
            shown = f"says {name} {row.get(name)} of {row['slide_id']}, its result {due.get(name)}"
            yield problem("cohort.csv", f"{shown}; collect again")

    def _check_failures(self, rows: list[dict[str, Any]]) -> Faults:
        due = [row["slide_id"] for row in rows if row["status"] == FAILED]
        found = self._column("failures.csv", "slide_id")
        if found is None:
            yield problem("failures.csv", "cannot be read; collect again")
        elif found != due:
            yield problem("failures.csv", f"has {len(found)} rows, cohort.csv {len(due)} failed slides; collect again")

    def _check_cases(self, rows: list[dict[str, Any]]) -> Faults:
        slides = self._column("cases.csv", "n_slides")
        figures = self._column("cases.csv", "n_ok")
        if slides is None or figures is None:
            yield problem("cases.csv", "cannot be read; collect again")
            return
        if (n := _sum(slides)) != len(rows):
            yield problem("cases.csv", f"sums {n} slides, cohort.csv has {len(rows)}; collect again")
        if (n := _sum(figures)) != (due := sum(row["n_ok"] or 0 for row in rows)):
            yield problem("cases.csv", f"sums {n} figures, cohort.csv {due}; collect again")

    def _check_regions(self, rows: list[dict[str, Any]]) -> Faults:
        path = self._places.out / "regions.csv"
        if not path.exists():
            yield warning(path.name, "is missing: the cohort was collected by an older version")
            return
        found = read_columns(path, ("slide_id", "name", "n", "n_amf"))
        if found is None:
            yield problem(path.name, "cannot be read; collect again")
            return
        due: list[tuple[str, ...]] = []
        for row in rows:
            if row["status"] != FAILED:
                summary = read_json(self._places.folder(row["slide_id"]) / "summary.json") or {}
                counted = (regions_of(summary) or {}).items()
                due += [(row["slide_id"], name, str(n), str(n_amf)) for name, (n, n_amf) in counted]
        if found != due:
            odd = sorted({name for name, *_ in {*found} ^ {*due}})
            named = f" (first {odd[0]})" if odd else ", in another order"
            yield problem(path.name, f"has {len(found)} rows, the slides {len(due)} regions{named}; collect again")

    def _check_parts(self, rows: list[dict[str, Any]]) -> Faults:
        folder = self._places.out / "predictions"
        due = {row["slide_id"]: row["n_candidates"] for row in rows if row["slide_id"] in self._standing}
        due = {name: n for name, n in due.items() if n is not None}
        found = {path.name.removesuffix(".parquet"): path for path in folder.glob("*.parquet")}
        for name in sorted(set(found) - set(due)):
            yield problem("predictions", f"{name}.parquet is of no slide with a result; collect again")
        for name, n in due.items():
            if name not in found:
                yield problem("predictions", f"{name}.parquet is missing; collect again")
            elif (rows_there := _n_rows(found[name])) != n:
                yield problem("predictions", f"{name}.parquet has {rows_there} rows, cohort.csv {n}; collect again")
            elif name in self._digests and made_of(found[name]) != self._digests[name]:
                yield problem("predictions", f"{name}.parquet was made from another result of its slide; collect again")
            elif name in self._digests and not self._holds_rows(found[name]):
                other = f"{name}.parquet has other rows than {name}/{PREDICTIONS}"
                yield problem("predictions", f"{other}; where that is whole, remove this and collect again")

    def _holds_rows(self, part: Path) -> bool:
        item = self._items[part.stem]
        return holds_rows_of(part, item, self._places.folder(item.slide_id) / PREDICTIONS)

    def _check_document(self, rows: list[dict[str, Any]]) -> Faults:
        document = read_json(self._places.out / "cohort.json")
        if document is None:
            yield problem("cohort.json", "cannot be read; collect again")
            return
        counted = dict(Counter(row["status"] for row in rows))
        stated = statuses_of(document)
        if stated != counted:
            yield problem("cohort.json", f"counts the statuses {stated}, cohort.csv {counted}; collect again")

    def _check_hashes(self) -> Faults:
        """Whether tables and pages are what ``collect`` wrote; the slides' table is compared row by row instead."""
        if not self._places.collected.exists():
            yield warning("", "the cohort's tables could not be checked against hashes: collected by an older version")
            return
        hashes = (read_json(self._places.collected) or {}).get("output_sha256")
        if not isinstance(hashes, dict):
            yield problem(self._places.collected.name, "cannot be read; collect again")
            return
        for name, digest in hashes.items():
            path = self._places.out / name
            if not path.is_file():
                yield problem(name, "is missing; collect again")
            elif sha256_file(path) != digest:
                yield problem(name, "was changed after it was written (its sha256 is another); collect again")

    def _check_page(self) -> Faults:
        page, document = self._places.out / REPORT, self._places.out / "cohort.json"
        if page.is_file() and document.is_file() and made_from(page) != sha256_file(document):
            yield problem(REPORT, "was made from another cohort.json; run wsiamf report")

    def _column(self, name: str, column: str) -> list[str] | None:
        rows = read_columns(self._places.out / name, (column,))
        return None if rows is None else [cell for (cell,) in rows]


def _sum(texts: list[str]) -> int | None:
    try:
        return sum(int(text or 0) for text in texts)
    except ValueError:
        return None


def _n_rows(path: Path) -> int | None:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException):
        return None
