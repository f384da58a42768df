"""Plain points as Parquet: the columns of the plain CSV, typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from wsiamf.packed import most_unpacked
from wsiamf.wording import reason_of

_MAGIC = b"PAR1"
_NAME = "parquet"
_MOST_ROWS = 20_000_000  # equal rows pack to nothing, and take 16 bytes and more each once they are read
_MOST_CELLS = 100_000_000


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
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        header = schema.names
        places = find_columns(header, path)
        wanted = {header[place]: schema.field(place).type for place in places.values()}
        _check_size(path, metadata.num_rows, len(wanted))
        # as numbers of words, so that a word that comes often takes its memory once
        texts = [name for name, kind in wanted.items() if _is_text(kind)]
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts) as file:
            data = file.read(columns=sorted(wanted))
    columns = {name: _column(name, data.column(header[place]), path) for name, place in places.items()}
    _check_texts(path, columns)
    return PointTable(path=path, header=header, columns=columns, n_rows=metadata.num_rows)


def _check_size(path: Path, n_rows: int, n_columns: int) -> None:
    if n_rows > _MOST_ROWS:
        raise CandidateError(
            f"{path}: holds {n_rows:,} rows; at most {_MOST_ROWS:,} are read: give each slide a file of its own."
        )
    if n_rows * n_columns > max(_MOST_CELLS, path.stat().st_size):
        raise CandidateError(
            f"{path}: holds {n_rows:,} rows of {n_columns:,} columns, more than {_MOST_CELLS:,} cells; take columns out, or "
            "give each slide a file of its own."
        )


def _check_texts(path: Path, columns: Mapping[str, Column]) -> None:
    """Refuse few words that come so often that whatever writes them out would write without end."""
    n_characters = sum(sum(map(len, column)) for column in columns.values() if not isinstance(column, np.ndarray))
    if n_characters > most_unpacked(path):
        raise CandidateError(
            f"{path}: its texts are {n_characters:,} characters, more than 64 MiB and 100 times its size; shorten them, or "
            "give each slide a file of its own."
        )


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of damaged names
        raise CandidateError(f"{path}: not a readable Parquet file: {reason_of(error)}.") from error


def _column(name: str, values: pa.ChunkedArray, path: Path) -> Column:
    if pa.types.is_dictionary(values.type) and not _is_text(values.type.value_type):
        values = values.cast(values.type.value_type)
    try:
        if name in NUMBER_COLUMNS and _is_number(values.type):
            return _numbers(values)
        return _texts(values)
    except (pa.ArrowException, ValueError) as error:
        expected = "numbers" if name in NUMBER_COLUMNS else "text"
        raise CandidateError(f"{path}: column {name!r} holds {reason_of(values.type)}; expected {expected}.") from error


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    # safe=False: an integer beyond 2**53 is rounded; it lies off every slide and is reported as that.
    floats = values.cast(pa.float64(), safe=False)
    return np.asarray(floats.to_numpy(), dtype=np.float64).copy()


def _texts(values: pa.ChunkedArray) -> list[str]:
    """Texts without outer blanks, empty for null; equal ones are one object where the column is a dictionary."""
    if pa.types.is_dictionary(values.type):
        return [text for chunk in values.chunks for text in _words(chunk)]
    if pa.types.is_floating(values.type) and pc.all(pc.equal(values, pc.floor(values))).as_py():
        values = values.cast(pa.int64())  # pandas turns integers into floats where some are missing
    return [(text or "").strip() for text in values.cast(pa.string()).to_pylist()]


def _words(values: pa.DictionaryArray) -> Iterator[str]:
    words = [(word or "").strip() for word in values.dictionary.cast(pa.string()).to_pylist()]
    return ("" if index is None else words[index] for index in values.indices.to_pylist())


READER = Reader(name=_NAME, frame="level0", sniff=_sniff, read=_read, listed=_listed)
