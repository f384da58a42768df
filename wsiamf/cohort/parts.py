"""``predictions/``: the candidates of all slides as one Parquet data set, a part a slide.

A part is the slide's own table behind the columns ``slide_id`` and ``case_id``. Its metadata say what it was made from, so
that it is made again only where that changed, and that it is wsiamf's, so that nothing else is ever removed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from wsiamf.cohort.items import Item
from wsiamf.cohort.results import Result
from wsiamf.errors import CohortError
from wsiamf.files import atomic_file
from wsiamf.predictions import ROWS_AT_A_TIME

SCHEMA: Final = "wsiamf.cohort-predictions/1"
_SCHEMA_KEY: Final = b"schema"
_DIGEST_KEY: Final = b"made_from"
_NAME: Final = SCHEMA.partition("/")[0]
_SUFFIX: Final = ".parquet"
_HEAD: Final = pa.schema([("slide_id", pa.string()), ("case_id", pa.string())])


def write_part(folder: Path, item: Item, result: Result) -> None:
    """Write a slide's part, unless it stands and was made from this very result.

    Raises:
        CohortError: The slide's own table cannot be read.
        OutputError: The folder cannot be written to.
    """
    target, digest = folder / f"{item.slide_id}{_SUFFIX}", result.digest(item)
    if made_of(target) == digest:
        return
    try:
        source = pq.ParquetFile(result.predictions)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(item) from error
    with source:
        stated = {_SCHEMA_KEY: SCHEMA.encode(), _DIGEST_KEY: digest.encode()}
        schema = pa.schema([*_HEAD, *source.schema_arrow], metadata=stated)
        with atomic_file(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for group in range(source.num_row_groups):
                table = _with_head(_row_group(source, group, item), item, schema)
                writer.write_table(table, row_group_size=ROWS_AT_A_TIME)


def holds_rows_of(path: Path, item: Item, predictions: Path) -> bool:
    """Whether a part has the very rows of its slide's own table; False where one of them cannot be read, too."""
    try:
        part, own = pq.read_table(path), pq.read_table(predictions)
    except (pa.ArrowException, OSError):
        return False
    return bool(part.equals(_with_head(own, item, pa.schema([*_HEAD, *own.schema]))))


def made_of(path: Path) -> str:
    """``Result.digest`` of the result that a part was made from; empty where the file is no part."""
    return _metadata(path).get(_DIGEST_KEY, b"").decode(errors="replace")


def remove_other_parts(folder: Path, wanted: Collection[str]) -> None:
    """Remove the parts of slides that are not wanted, and what a killed run left half-written; leave all else alone."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        if path.name.removesuffix(_SUFFIX) not in wanted and _is_part(path):
            path.unlink()


def _row_group(source: pq.ParquetFile, group: int, item: Item) -> pa.Table:
    try:
        return source.read_row_group(group)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(item) from error


def _with_head(table: pa.Table, item: Item, schema: pa.Schema) -> pa.Table:
    head = [pa.repeat(pa.scalar(value, pa.string()), len(table)) for value in (item.slide_id, item.case_id)]
    # one chunk a column, since Parquet starts a page at every chunk
    return pa.table([*head, *table.combine_chunks().columns], schema=schema)


def _unreadable(item: Item) -> CohortError:
    return CohortError(f"{item.slide_id}/predictions.parquet: cannot be read; remove the folder and run again")


def _is_part(path: Path) -> bool:
    return _metadata(path).get(_SCHEMA_KEY, b"").decode(errors="replace").startswith(f"{_NAME}/")


def _metadata(path: Path) -> dict[bytes, bytes]:
    """Of a Parquet file; nothing where there is none or it is no such file."""
    try:
        return pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return {}
