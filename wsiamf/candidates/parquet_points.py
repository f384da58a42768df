"""Plain points as Parquet: the columns of the plain CSV, typed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wsiamf.candidates.cells import Column
from wsiamf.candidates.columns import NUMBER_COLUMNS, find_columns
from wsiamf.candidates.parsed_file import read_once
from wsiamf.candidates.plain import plain_points
from wsiamf.candidates.point_table import PointTable, TableSlides, has_slide_column, names_several_slides
from wsiamf.candidates.raw import ListedSlides, RawPoints, Reader, SlideLike
from wsiamf.errors import CandidateError
from wsiamf.wording import reason_of

_MAGIC = b"PAR1"
_NAME = "parquet"
_MOST_ROWS = 20_000_000  # equal rows pack to nothing, and take 16 bytes and more each once they are read


def _sniff(_path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC)


def _read(path: Path, slide: SlideLike) -> RawPoints:
    return plain_points(_table(path), slide)


def _listed(path: Path) -> ListedSlides | None:
    with _arrow_errors(path):
        header = pq.read_schema(path).names
    if not has_slide_column(find_columns(header, path)):
        return None
    table = _table(path)
    return None if table.by_slide is None else TableSlides(table)


def _table(path: Path) -> PointTable:
    return read_once(path, _NAME, _read_table, names_several_slides)


def _read_table(path: Path) -> PointTable:
    with _arrow_errors(path):
        file = pq.ParquetFile(path)
        if file.metadata.num_rows > _MOST_ROWS:
            raise CandidateError(
                f"{path}: holds {file.metadata.num_rows:,} rows; at most {_MOST_ROWS:,} are read: give each slide "
                "a file of its own."
            )
        header = file.schema_arrow.names
        places = find_columns(header, path)
        data = file.read(columns=sorted({header[place] for place in places.values()}))
    columns = {name: _column(name, data.column(header[place]), path) for name, place in places.items()}
    return PointTable(path=path, header=header, columns=columns, n_rows=file.metadata.num_rows)


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of damaged names
        raise CandidateError(f"{path}: not a readable Parquet file: {reason_of(error)}.") from error


def _column(name: str, values: pa.ChunkedArray, path: Path) -> Column:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    try:
        if name in NUMBER_COLUMNS and _is_number(values.type):
            return _numbers(values)
        return _texts(values)
    except (pa.ArrowException, ValueError) as error:
        expected = "numbers" if name in NUMBER_COLUMNS else "text"
        raise CandidateError(f"{path}: column {name!r} holds {reason_of(values.type)}; expected {expected}.") from error


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    # safe=False: an integer beyond 2**53 is rounded; it lies off every slide and is reported as that.
    floats = values.cast(pa.float64(), safe=False)
    return np.asarray(floats.to_numpy(), dtype=np.float64).copy()


def _texts(values: pa.ChunkedArray) -> list[str]:
    if pa.types.is_floating(values.type) and pc.all(pc.equal(values, pc.floor(values))).as_py():
        values = values.cast(pa.int64())  # pandas turns integers into floats where some are missing
    return [text or "" for text in values.cast(pa.string()).to_pylist()]


READER = Reader(name=_NAME, frame="level0", sniff=_sniff, read=_read, listed=_listed)
