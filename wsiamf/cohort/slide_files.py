"""Whether a slide's folder is what was written: every hash, every row count, and tables that agree."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import IO, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as pa_csv

from wsiamf.cohort.faults import Faults, problem, warning
from wsiamf.errors import WsiamfError
from wsiamf.export.rows import counted_positions, hard_positions
from wsiamf.files import RUN_RECORD, sha256_file
from wsiamf.predictions import read_predictions
from wsiamf.screen.key import comparable_key, key_options
from wsiamf.screen.record import SCHEMA

_TABLES: Final = ("predictions.csv", "predictions.parquet", "hard_cases.csv")
_GEOJSON: Final = ("detections.geojson", "review.geojson")
_WRITTEN: Final = (*_TABLES, "summary.json", "contact_sheet.png")
_REGIONS: Final = "regions.csv"
_OF_REGIONS: Final = ("name", "n", "n_amf")
_SAME_IN_KEY: Final = {
    "slide": ("slide", "fingerprint"),
    "points": ("points", "rows_sha256"),
    "regions": ("regions", "sha256"),
    "named_regions": ("named_regions", "sha256"),
    "model": ("model", "sha256"),
    **{name: (name,) for name in ("options", "error_rates", "algorithm_version")},
    **{name: (name,) for name in ("backend", "precision", "device_class")},
}
"""Part of the key -> where else ``run.json`` says it."""

INPUT_NAMES: Final = ("slide", "points", "regions", "named_regions", "model")
"""What ``run.json`` holds a path of."""

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "options": (dict,),
    "options.points_format": (str, NoneType),
    "slide": (dict,),
    "slide.name": (str,),
    "points": (dict,),
    "model": (dict,),
    "regions": (dict, NoneType),
    "named_regions": (dict, NoneType),
    "outputs": (list,),
    "host": (dict,),
    "host.paths": (dict, NoneType),  # without them, no input can be checked
    **{f"host.paths.{name}": (str, NoneType) for name in INPUT_NAMES},
}
"""What the parts of ``run.json`` that are looked into must be."""

Record = dict[str, Any]


def read_json(path: Path) -> Record | None:
    """A file's JSON object; None where there is none that can be read."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def read_record(path: Path) -> Record | None:
    """A ``run.json``; None where there is none that can be read, or it is damaged."""
    record = read_json(path)
    if record is None or record.get("schema") != SCHEMA:
        return record
    return record if all(isinstance(_at(record, name.split(".")), kinds) for name, kinds in _KINDS.items()) else None


def check_record(record: Record | None, where: str) -> Faults:
    """Whether ``run.json`` is one, and its key says what the rest of it says."""
    if record is None:
        yield problem(where, f"{RUN_RECORD} cannot be read")
        return
    if record.get("schema") != SCHEMA:
        yield problem(where, f"{RUN_RECORD} is of {record.get('schema')}, not of {SCHEMA}")
        return
    key = record.get("key")
    if not isinstance(key, dict):
        yield warning(where, f"{RUN_RECORD} holds no key: written by an older version")
        return
    key = comparable_key(key)
    for part, path in _SAME_IN_KEY.items():
        stated = _at(record, path)
        if part == "options":
            stated = key_options(stated)
        if key.get(part) != stated:
            yield problem(where, f"{RUN_RECORD} contradicts itself: its key's {part} is not that of the run")


def check_files(folder: Path, record: Record, where: str) -> Faults:
    """Whether every file that was written is there, unchanged, and nothing else is."""
    stated = [str(name) for name in record.get("outputs", [])]
    there = {path.name for path in folder.iterdir()} - {RUN_RECORD}
    due = {*_WRITTEN, *(name if name in stated else f"{name}.gz" for name in _GEOJSON)}
    due |= {_REGIONS} if record.get("named_regions") else set()
    for name in sorted(due - set(stated)):
        yield problem(where, f"{RUN_RECORD} does not list {name}")
    for name in sorted(set(stated) - there):
        yield problem(where, f"{name} is missing")
    for name in sorted(there - set(stated)):
        yield problem(where, f"{name} is a leftover, or not wsiamf's: {RUN_RECORD} does not list it")
    yield from _check_hashes(folder, record, sorted(set(stated) & there), where)


def _check_hashes(folder: Path, record: Record, names: list[str], where: str) -> Faults:
    hashes = record.get("output_sha256")
    if not isinstance(hashes, dict):
        yield warning(
            where, "files could not be checked against their hashes: written by an older version, which kept none"
        )
        return
    for name in names:
        if name not in hashes:
            yield problem(where, f"{RUN_RECORD} holds no hash of {name}")
        elif sha256_file(folder / name) != hashes[name]:
            yield problem(where, f"{name} was changed after it was written (its sha256 is another)")


def check_tables(folder: Path, record: Record, where: str) -> Faults:
    """Whether tables, counts and GeoJSON of a slide agree."""
    try:
        table = read_predictions(folder)
    except WsiamfError as error:
        yield problem(where, f"predictions.parquet: {str(error).rpartition('predictions.parquet: ')[2]}")
        return
    yield from check_same_rows(folder / "predictions.csv", folder / "predictions.parquet", where)
    summary = read_json(folder / "summary.json")
    if summary is None:
        yield problem(where, "summary.json cannot be read")
    else:
        yield from _check_counts(summary, table, where)
    yield from _check_worklist(folder / "hard_cases.csv", table, where)
    yield from _check_regions(folder / _REGIONS, summary or {}, record, where)
    hotspots = (summary or {}).get("hotspots")
    yield from _check_geojson(folder, table, len(hotspots) if isinstance(hotspots, list) else 0, record, where)


def check_same_rows(csv_file: Path, parquet_file: Path, where: str) -> Faults:
    """Whether a table as CSV and as Parquet agree row by row."""
    try:
        first = pq.read_table(parquet_file).replace_schema_metadata(None)
        second = _read_csv(csv_file, first.schema)
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        yield problem(where, f"{csv_file.name} and {parquet_file.name} cannot be compared: {reason}")
        return
    if first.column_names != second.column_names:
        yield problem(where, f"{csv_file.name} and {parquet_file.name} have different columns")
    elif len(first) != len(second):
        yield problem(where, f"{csv_file.name} has {len(second)} rows, {parquet_file.name} {len(first)}")
    elif (row := _first_difference(first, second)) is not None:
        yield problem(where, f"{csv_file.name} and {parquet_file.name} differ, first in row {row}")


def _read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    convert = pa_csv.ConvertOptions(
        column_types=schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    return pa_csv.read_csv(path, convert_options=convert, parse_options=parse)


def _first_difference(first: pa.Table, second: pa.Table) -> int | None:
    """Number, from 1, of the first row that differs."""
    if first.equals(second):
        return None
    rows = zip(first.to_pylist(), second.to_pylist(), strict=True)
    return next((number for number, (one, other) in enumerate(rows, start=1) if one != other), None)


def _check_counts(summary: Record, table: pd.DataFrame, where: str) -> Faults:
    for name, counted in counts_of(table).items():
        if name in summary and summary[name] != counted:
            yield problem(where, f"summary.json says {name} {summary[name]}, the table {counted}")
        elif name not in summary:
            yield problem(where, f"summary.json lacks {name}")
    stated = statuses_of(summary)
    counted_statuses = dict(Counter(table["status"]))
    if stated != counted_statuses:
        yield problem(where, f"summary.json counts the statuses {stated}, the table {counted_statuses}")


def statuses_of(document: Record) -> dict[str, Any]:
    """What a summary, or ``cohort.json``, counts by status; without those of which there are none."""
    stated = document.get("n_by_status")
    return {name: n for name, n in stated.items() if n} if isinstance(stated, dict) else {}


def counts_of(table: pd.DataFrame) -> dict[str, int | None]:
    """What a summary counts, from the table of predictions."""
    rows = table.iloc[counted_positions(table)]
    hard = rows["hard"].astype("boolean")
    return {
        "n_candidates": len(table),
        "n_ok": len(rows),
        "n_amf": int((rows["label"] == "AMF").sum()),
        "n_nmf": int((rows["label"] == "NMF").sum()),
        "n_hard": int(hard.sum()) if hard.notna().any() or not len(rows) else None,
    }


def _check_worklist(path: Path, table: pd.DataFrame, where: str) -> Faults:
    due = len(hard_positions(table))
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            found = sum(1 for _ in csv.reader(stream)) - 1
    except (OSError, ValueError, csv.Error):
        yield problem(where, f"{path.name} cannot be read")
        return
    if found != due:
        yield problem(where, f"{path.name} has {found} rows, the table {due} hard cases")


def _check_regions(path: Path, summary: Record, record: Record, where: str) -> Faults:
    """Whether the named regions are counted in ``summary.json`` and in their table, and alike."""
    if not record.get("named_regions"):
        return
    due = regions_of(summary)
    found = read_columns(path, _OF_REGIONS)
    if due is None:
        yield problem(where, f"summary.json counts no regions, but {RUN_RECORD} names a file of them")
    elif found is None:
        yield problem(where, f"{path.name} cannot be read")
    elif found != [(name, str(n), str(n_amf)) for name, (n, n_amf) in due.items()]:
        yield problem(where, f"{path.name} and summary.json count the regions differently")


def regions_of(summary: Record) -> dict[str, tuple[int, int]] | None:
    """Figures and AMF of each named region of a summary by its name; None where none were given."""
    regions = summary.get("regions")
    if not isinstance(regions, list):
        return None
    return {str(one.get("name")): (one.get("n", -1), one.get("n_amf", -1)) for one in regions if isinstance(one, dict)}


def read_columns(path: Path, names: Sequence[str]) -> list[tuple[str, ...]] | None:
    """Some columns of a CSV, row by row; None where it cannot be read or lacks one."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return [tuple(row[name] for name in names) for row in csv.DictReader(stream)]
    except (OSError, ValueError, KeyError, csv.Error):
        return None


def _check_geojson(folder: Path, table: pd.DataFrame, n_hotspots: int, record: Record, where: str) -> Faults:
    suffix = ".gz" if "detections.geojson.gz" in record.get("outputs", []) else ""
    counted = table["uuid"].iloc[counted_positions(table)]
    review = n_hotspots + len(hard_positions(table))
    for name, due in (("detections.geojson", len(counted)), ("review.geojson", review)):
        try:
            ids = list(feature_ids(folder / f"{name}{suffix}"))
        except (OSError, EOFError, ValueError, KeyError) as error:
            yield problem(where, f"{name}{suffix} cannot be read: {error}")
            continue
        if len(ids) != due:
            yield problem(where, f"{name}{suffix} has {len(ids)} features, the table {due}")
        if len(set(ids)) != len(ids):
            yield problem(where, f"{name}{suffix} has {len(ids) - len(set(ids))} features whose id another one has")
        if name == "detections.geojson" and len(ids) == due and set(ids) != set(counted):
            yield problem(where, f"{name}{suffix} names other figures than the table")


def feature_ids(path: Path) -> Iterator[str]:
    """Ids of a GeoJSON file of ours, which has one feature a line; a ``ValueError`` for another."""
    with _opened(path) as stream:
        if not stream.readline().startswith(b'{"type":"FeatureCollection"'):
            raise ValueError("it is no collection of features")
        ended = False
        for line in stream:
            ended = line.strip() == b"]}"
            if not ended and line.strip():
                yield str(json.loads(line.strip().rstrip(b","))["id"])
    if not ended:
        raise ValueError("it ends too early")


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _at(record: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = record
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
