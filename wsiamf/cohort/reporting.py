"""``report.html`` of what stands on disk: of a cohort from its tables, and of any results, again or for the first time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from wsiamf.cohort.locks import run_lock
from wsiamf.cohort.places import Places
from wsiamf.cohort.rows import FAILED
from wsiamf.cohort.slide_files import read_json
from wsiamf.errors import CohortError, OutputExistsError, WsiamfError
from wsiamf.export.results import find_results, slide_folders
from wsiamf.files import RUN_RECORD, sha256_file, write_text
from wsiamf.report import REPORT, CohortMaterial, Reference, is_own_page, render_cohort
from wsiamf.screen.report_later import write_slide_report

OnProgress = Callable[[int, int], None]

_DOCUMENT: Final = "cohort.json"


@dataclass
class Reported:
    """What was made.

    Args:
        pages: The files.
        notes: What is missing on some of them, one line each.
        failures: Slides whose page could not be made, and why, one line each.
    """

    pages: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def report_results(
    out: Path,
    *,
    slides: Sequence[Path] = (),
    references: Sequence[Reference] = (),
    on_progress: OnProgress = lambda _done, _total: None,
) -> Reported:
    """Make the pages of a slide's folder, of every slide in a folder, or of a cohort with its slides.

    Args:
        out: The folder.
        slides: Folders in which slides are looked for that are no longer where they were.
        references: To draw on every page.
        on_progress: Called with the number of slides done and the number in all.

    Raises:
        CohortError: The folder holds no results, or a run is at work in it.
        WsiamfError: Of a single slide's folder: its page cannot be made.
    """
    done = Reported()
    if (out / RUN_RECORD).is_file():
        _report_slide(out, slides, references, done)
        return done
    places = Places(out)
    standing = slide_folders(out)
    is_cohort = places.plan.exists()
    if not standing and not is_cohort:
        raise CohortError(f"{out}: holds neither a cohort nor a slide's results; name the folder that --out named.")
    with run_lock(places.locks) if is_cohort else nullcontext():
        for number, folder in enumerate(standing):
            on_progress(number, len(standing))
            try:
                _report_slide(folder, slides, references, done)
            except WsiamfError as error:  # the others' pages are made all the same
                done.failures.append(f"{folder.name}: {error}")
        if (out / _DOCUMENT).is_file():
            done.pages.append(write_cohort_report(places, references=references))
    return done


def _report_slide(folder: Path, slides: Sequence[Path], references: Sequence[Reference], done: Reported) -> None:
    (result,) = find_results(folder)
    notes = write_slide_report(result, slides=slides, references=references)
    done.pages.append(folder / REPORT)
    done.notes += [f"{folder.absolute().name}: {note}" for note in notes]


def write_cohort_report(places: Places, *, references: Sequence[Reference] = ()) -> Path:
    """Make the page of a cohort that was collected, from ``cohort.json``, ``cohort.parquet`` and ``failures.csv``.

    Raises:
        CohortError: The tables are missing or cannot be read.
        OutputExistsError: A file of the page's name is not wsiamf's.
        OutputError: It cannot be written.
    """
    target = places.out / REPORT
    if target.exists() and not is_own_page(target):
        raise OutputExistsError(f"{target}: was not written by wsiamf; move it away.")
    rows = _rows(places.out / "cohort.parquet")
    reported = {
        row["slide_id"]
        for row in rows
        if row["status"] != FAILED and (places.folder(row["slide_id"]) / REPORT).is_file()
    }
    material = CohortMaterial(
        document=_document(places.out / _DOCUMENT),
        document_sha256=sha256_file(places.out / _DOCUMENT),
        rows=rows,
        failures=_failures(places.out / "failures.csv"),
        reported=frozenset(reported),
        references=references,
    )
    write_text(target, render_cohort(material))
    return target


def _document(path: Path) -> dict[str, Any]:
    document = read_json(path)
    if document is None:
        raise _collect_again(path)
    return document


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise _collect_again(path) from error
    return rows


def _failures(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise _collect_again(path) from error


def _collect_again(path: Path) -> CohortError:
    return CohortError(f"{path}: cannot be read; run wsiamf cohort collect {path.parent} again.")
