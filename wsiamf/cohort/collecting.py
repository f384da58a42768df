"""``collect``: the slides' results to the cohort's tables, ``cohort.json``, ``summary.md``, ``methods.md``, ``report.html``.

What is written follows from the plan and the results alone, whatever the order in which slides were done, and but for the
column ``seconds`` it is the same bytes wherever they were done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from wsiamf._version import __version__
from wsiamf.cohort import cases as of_cases
from wsiamf.cohort import pooled, region_rows
from wsiamf.cohort import rows as of_slides
from wsiamf.cohort.cases import Case, case_row, case_warnings, gather_cases
from wsiamf.cohort.items import Item
from wsiamf.cohort.pages import methods_page, summary_page
from wsiamf.cohort.parts import remove_other_parts, write_part
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import Plan, read_plan
from wsiamf.cohort.provenance import Provenance
from wsiamf.cohort.reporting import write_cohort_report
from wsiamf.cohort.results import DAMAGED, MALFORMED, Failure, PlannedResults
from wsiamf.cohort.rows import Row, as_table
from wsiamf.errors import CohortError
from wsiamf.files import atomic_file, dump_json, output_errors, sha256_file, write_text
from wsiamf.predictions import write_csv
from wsiamf.report import REPORT

SCHEMA: Final = "wsiamf.cohort/1"
ROWS_SCHEMA: Final = "wsiamf.cohort-rows/1"
COLLECTED_SCHEMA: Final = "wsiamf.cohort-collected/1"
PREDICTIONS: Final = "predictions"
_HASHED: Final = ("cases.csv", "regions.csv", "failures.csv", "cohort.json", "summary.md", "methods.md")
"""What can be told from what it should be by its hash alone; the slides' table has times, and follows from the slides."""
_WRITTEN: Final = (".csv", ".html", ".json", ".md", ".parquet")


@dataclass(frozen=True)
class Collected:
    """What ``collect`` found and wrote.

    Args:
        out: The folder of results.
        n_by_status: Number of slides of each of ``rows.STATUSES``.
        n_cases: Number of cases.
        warnings: Of the cohort as a whole, one line each.
        document: The content of ``cohort.json``.
    """

    out: Path
    n_by_status: dict[str, int]
    n_cases: int
    warnings: tuple[str, ...]
    document: dict[str, Any]

    @property
    def n_failed(self) -> int:
        """Number of slides without a result."""
        return self.n_by_status[of_slides.FAILED]


@dataclass
class _Gathered:
    """The slides' rows in the manifest's order, and what goes beside them."""

    rows: list[Row] = field(default_factory=list)
    regions: list[Row] = field(default_factory=list)
    failures: list[Row] = field(default_factory=list)
    provenance: Provenance = field(default_factory=Provenance)


def collect(places: Places, *, seed: int | None = None) -> Collected:
    """Write every table and page of a cohort; what stands is replaced file by file, each of them whole at any time.

    Args:
        places: Of the cohort. Only one may be collecting there; the caller sees to that.
        seed: Of the bootstrap; None for the plan's.

    Raises:
        CohortError: The folder holds no plan.
        OutputError: The folder cannot be written to.
    """
    plan = read_plan(places)
    seed = plan.options["seed"] if seed is None else seed
    parts = places.out / PREDICTIONS
    with output_errors(parts):
        parts.mkdir(exist_ok=True)
        _remove_leftovers(places)
    gathered = _gather(plan, places, parts)
    cases = gather_cases(gathered.rows)
    warnings = [*case_warnings(cases), *gathered.provenance.disagreements()]
    document = _document(plan, gathered, cases, warnings, seed)
    _write_tables(places.out, gathered, cases)
    write_text(places.out / "summary.md", summary_page(document, gathered.failures))
    write_text(places.out / "methods.md", methods_page(document))
    write_text(places.out / "cohort.json", dump_json(document))
    hashes = {name: sha256_file(places.out / name) for name in _HASHED}
    write_text(places.collected, dump_json({"schema": COLLECTED_SCHEMA, "output_sha256": hashes}))
    if (
        plan.options.get("report", True) or (places.out / REPORT).exists()
    ):  # one that stands must not be of other tables
        write_cohort_report(places)
    return Collected(places.out, document["n_by_status"], len(cases), tuple(warnings), document)


def _gather(plan: Plan, places: Places, parts: Path) -> _Gathered:
    """Slide by slide, so that no more than one result is in memory, and the parts of ``predictions/`` with them."""
    gathered, planned = _Gathered(), PlannedResults(plan, places)
    written: set[str] = set()
    for item in plan.items:
        if item.points is None:
            gathered.rows.append(of_slides.unlisted_row(item))
        elif (failure := _take(item, planned, gathered, parts)) is not None:
            gathered.rows.append(of_slides.failed_row(item, failure))
            gathered.failures.append(of_slides.failure_fields(item, failure))
        else:
            written.add(item.slide_id)
    with output_errors(parts):
        remove_other_parts(parts, written)
    return gathered


def _take(item: Item, planned: PlannedResults, gathered: _Gathered, parts: Path) -> Failure | None:
    """Take in a slide's result; why there is none otherwise."""
    result = planned.read(item)
    if isinstance(result, Failure):
        return result
    try:
        row, of_regions = of_slides.result_row(item, result), list(region_rows.region_rows(item, result))
        write_part(parts, item, result)
        gathered.provenance.add(result)
    except MALFORMED:
        return Failure(DAMAGED, f"{item.slide_id}: its result lacks fields; remove the folder and run again")
    except CohortError as error:
        return Failure(DAMAGED, str(error))
    gathered.rows.append(row)
    gathered.regions += of_regions
    return None


def _document(
    plan: Plan, gathered: _Gathered, cases: Sequence[Case], warnings: Sequence[str], seed: int
) -> dict[str, Any]:
    counts = Counter(row["status"] for row in gathered.rows)
    return {
        "schema": SCHEMA,
        "use": "research use only",
        "flow": pooled.flow_fields(gathered.rows, cases),
        "n_by_status": {status: counts[status] for status in of_slides.STATUSES},
        **pooled.figure_fields(cases, seed=seed),
        "intervals": pooled.interval_method(seed),
        "rules": {"cases": of_cases.RULES, "figures": pooled.RULES},
        "warnings": {"cohort": list(warnings), "slides": gathered.provenance.warnings()},
        "provenance": {
            "collected_with": __version__,
            "manifest": plan.manifest,
            "options": plan.options,
            "slides": gathered.provenance.fields(),
        },
    }


def _write_tables(out: Path, gathered: _Gathered, cases: Sequence[Case]) -> None:
    slides = as_table(gathered.rows, of_slides.COLUMNS)
    with atomic_file(out / "cohort.parquet") as path:
        pq.write_table(slides.replace_schema_metadata({"schema": ROWS_SCHEMA}), path, compression="zstd")
    _write_csv(out / "cohort.csv", slides)
    _write_csv(out / "cases.csv", as_table([case_row(case) for case in cases], of_cases.COLUMNS))
    _write_csv(out / "regions.csv", as_table(gathered.regions, region_rows.COLUMNS))
    _write_csv(out / "failures.csv", as_table(gathered.failures, of_slides.FAILURE_COLUMNS))


def _write_csv(target: Path, table: pa.Table) -> None:
    with atomic_file(target) as path:
        write_csv([table], path)


def _remove_leftovers(places: Places) -> None:
    """Temporary files of a collection that was killed, or of a run that was while it wrote its plan."""
    for folder in (places.out, places.out / PREDICTIONS, places.state):
        for path in folder.glob(".wsiamf-*"):
            if path.suffix in _WRITTEN and path.is_file():
                path.unlink()
