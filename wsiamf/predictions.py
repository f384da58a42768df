"""The predictions table: one row a candidate, in the order of the points file. Schema, writing, reading.

Columns are only ever appended; the schema's number stands in the Parquet metadata, and a reader that meets a higher one
stops.
Nulls are nulls: an empty cell in the CSV, a null in Parquet, never NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as pa_csv

from wsiamf.errors import OutputError
from wsiamf.files import atomic_file
from wsiamf.statuses import (
    BAD_POINT,
    BELOW_MIN_SCORE,
    DUPLICATE,
    NON_MITOTIC,
    OK,
    OUTSIDE_ROI,
    STATUSES,
    UNREADABLE,
)

__all__ = [
    "BAD_POINT",
    "BELOW_MIN_SCORE",
    "DUPLICATE",
    "NON_MITOTIC",
    "OK",
    "OUTSIDE_ROI",
    "ROWS_AT_A_TIME",
    "SCHEMA",
    "SCHEMA_NAME",
    "SCHEMA_VERSION",
    "STATUSES",
    "UNREADABLE",
    "arrow_schema",
    "arrow_table",
    "expert_columns",
    "read_predictions",
    "write_csv",
    "write_predictions",
]

SCHEMA_NAME: Final = "wsiamf.predictions"
SCHEMA_VERSION: Final = 1
SCHEMA: Final = f"{SCHEMA_NAME}/{SCHEMA_VERSION}"
_SCHEMA_KEY: Final = b"schema"
ROWS_AT_A_TIME: Final = 65_536
"""Rows of a Parquet row group; fixed, so that equal tables are equal files."""

_HEAD: Final[list[tuple[str, pa.DataType]]] = [
    ("candidate_id", pa.string()),
    ("uuid", pa.string()),
    ("source_row", pa.int64()),
    ("source_label", pa.string()),
    ("x", pa.float64()),
    ("y", pa.float64()),
    ("x_um", pa.float64()),
    ("y_um", pa.float64()),
    ("x_qupath", pa.float64()),
    ("y_qupath", pa.float64()),
    ("score", pa.float64()),
    ("status", pa.string()),
    ("duplicate_of", pa.string()),
    ("p_atypical", pa.float64()),
    ("p_hard", pa.float64()),
]
_TAIL: Final[list[tuple[str, pa.DataType]]] = [
    ("label", pa.string()),
    ("hard", pa.bool_()),
    ("review_rank", pa.int64()),
    ("review_reason", pa.string()),
    ("crop_coverage", pa.float64()),
    ("in_hotspot", pa.bool_()),
    ("conformal", pa.string()),
]


def expert_columns(n_experts: int) -> list[str]:
    """Names of the per-expert probability columns, in the order of ``ModelSpec.experts``."""
    return [f"p_atypical_expert_{k}" for k in range(1, n_experts + 1)]


def arrow_schema(n_experts: int) -> pa.Schema:
    """Column names and types of the table for a model with ``n_experts`` expert heads."""
    experts = [(name, pa.float64()) for name in expert_columns(n_experts)]
    return pa.schema([*_HEAD, *experts, *_TAIL], metadata={_SCHEMA_KEY: SCHEMA.encode()})


def column_names(n_experts: int) -> list[str]:
    """Names of all columns, in their order."""
    return [str(name) for name in arrow_schema(n_experts).names]


def arrow_table(frame: pd.DataFrame, n_experts: int) -> pa.Table:
    """The table with exactly the schema's columns in its order; NaN and None become null."""
    schema = arrow_schema(n_experts)
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False, safe=True)
    return table.replace_schema_metadata(schema.metadata)


def write_predictions(frame: pd.DataFrame, folder: Path, *, n_experts: int) -> None:
    """Write ``predictions.parquet`` and ``predictions.csv`` into a folder; equal frames give equal bytes.

    Raises:
        OutputError: The folder cannot be written to.
    """
    schema = arrow_schema(n_experts)
    with (
        atomic_file(folder / "predictions.parquet") as path,
        pq.ParquetWriter(path, schema, compression="zstd") as writer,
    ):
        for table in _tables(frame, n_experts):
            writer.write_table(table, row_group_size=ROWS_AT_A_TIME)
    with atomic_file(folder / "predictions.csv") as path:
        write_csv(_tables(frame, n_experts), path)


def write_csv(tables: Iterable[pa.Table], target: Path | IO[bytes]) -> None:
    """Write Arrow tables of one schema, one at least, as one UTF-8 CSV.

    A header line, text quoted only where needed, an empty cell for null.
    """
    options = pa_csv.WriteOptions(quoting_style="needed", quoting_header="none")
    waiting = iter(tables)
    first = next(waiting)
    with pa_csv.CSVWriter(target, first.schema, write_options=options) as writer:
        for table in chain([first], waiting):
            writer.write_table(table)


def _tables(frame: pd.DataFrame, n_experts: int) -> Iterator[pa.Table]:
    """The table in parts, one at least, so that the whole of it never stands in memory twice."""
    for start in range(0, max(1, len(frame)), ROWS_AT_A_TIME):
        # how pandas holds a column in memory must not show in the file: Parquet starts a page at every chunk
        yield arrow_table(frame.iloc[start : start + ROWS_AT_A_TIME], n_experts).combine_chunks()


def read_predictions(path: Path) -> pd.DataFrame:
    """Read ``predictions.parquet``.

    Args:
        path: The file, or the slide's folder that holds it.

    Raises:
        OutputError: It is missing, not a predictions table, or of a schema newer than this version knows.
    """
    file = path / "predictions.parquet" if path.is_dir() else path
    if not file.is_file():
        raise OutputError(f"{file}: no such predictions table.")
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise OutputError(f"{file}: not a readable Parquet file: {error}.") from error
    stated = (table.schema.metadata or {}).get(_SCHEMA_KEY, b"").decode()
    name, _, number = stated.partition("/")
    if name != SCHEMA_NAME or not number.isdigit():
        raise OutputError(f"{file}: not a table of predictions (schema {stated or 'none'}).")
    if int(number) > SCHEMA_VERSION:
        raise OutputError(f"{file}: schema {stated} is newer than {SCHEMA}; update wsiamf.")
    # a chunk for each row group otherwise, and Arrow copies a whole column of many chunks whenever rows are taken from it
    frame: pd.DataFrame = table.combine_chunks().to_pandas()
    return frame
