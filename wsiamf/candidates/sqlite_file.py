"""SQLite files of other programs: opened so that nothing is written, and read in bounded time, whatever stands in them.

The pages of a damaged or hostile file may be children of several others, so that a few of them give rows without end. So
rows and characters are counted against the file's size, SQLite's own steps too, and nothing is sorted or counted by SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from wsiamf.errors import CandidateError
from wsiamf.wording import reason_of

MAGIC: Final = b"SQLite format 3\0"

_LEAST_ROW_BYTES: Final = 8
_MOST_STEPS_A_BYTE: Final = 50
"""A whole file of rows of eight bytes takes ten for each select; the largest stores of annotations take less than one."""
_STEPS_ALWAYS_ALLOWED: Final = 5_000_000
_STEPS_AT_A_TIME: Final = 100_000
_TOO_MANY: Final = "it gives more than its size can hold, so it is damaged"


class Database(sqlite3.Connection):
    """A connection of ``opened_readonly``, which knows the size of its file."""

    n_bytes: int = 0


@contextmanager
def opened_readonly(path: Path) -> Iterator[Database]:
    """A connection that reads the file as it stands and makes no file beside it.

    A file with unfinished business beside it (``-wal``, ``-journal``) would be read without its last changes, so it is
    refused. Text that is not UTF-8 is read with replacement characters.

    Raises:
        CandidateError: The file is no database, damaged, or not whole without the file beside it; also raised for any
            error of SQLite within the block.
    """
    for suffix in ("-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.is_file() and beside.stat().st_size:
            raise CandidateError(
                f"{path}: {beside.name} beside it holds changes that are not in it yet; close the program that has it "
                "open, or open it there once and close it."
            )
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True, factory=Database)) as connection:
            connection.n_bytes = path.stat().st_size
            _limit_steps(connection)
            connection.text_factory = lambda data: data.decode("utf-8", errors="replace")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            yield connection
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        # the last where SQLite's own message quotes a damaged schema
        reason = _TOO_MANY if str(error) == "interrupted" else reason_of(error)
        raise CandidateError(f"{path}: not a readable SQLite database: {reason}; export it again.") from error


def _limit_steps(connection: Database) -> None:
    """Have SQLite interrupted once it took more steps than a sound file of this size can take."""
    most_steps = _STEPS_ALWAYS_ALLOWED + _MOST_STEPS_A_BYTE * connection.n_bytes
    calls = count(1)
    connection.set_progress_handler(lambda: next(calls) * _STEPS_AT_A_TIME > most_steps, _STEPS_AT_A_TIME)


def columns_of(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Names of a table's columns as written, by their names in lower case; empty where there is no such plain table.

    Views and virtual tables count as absent: they may compute without end.
    """
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND lower(name) = ?"
    found = connection.execute(query, (table.lower(),)).fetchone()
    if found is None or not str(found[1]).upper().lstrip().startswith("CREATE TABLE"):
        return {}
    described = connection.execute(f"PRAGMA table_info({quoted(str(found[0]))})").fetchall()
    return {str(row[1]).lower(): str(row[1]) for row in described}


def select(
    connection: Database, table: str, wanted: Sequence[str], *, where: tuple[str, Any] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Rows with the columns wanted, by name and in that order; None for a column that the table lacks.

    They come as they are stored, by the table's integer key where it has one.

    Args:
        connection: Of ``opened_readonly``.
        table: Its name, without case; no rows where there is none.
        wanted: Column names, in lower case.
        where: A column and the value that it must have; all rows where the table lacks the column.

    Raises:
        sqlite3.DatabaseError: More rows or text than the file can hold.
    """
    columns = columns_of(connection, table)
    if not columns:
        return iter(())
    terms = ", ".join(quoted(columns[name]) if name in columns else "NULL" for name in wanted)
    # Without an index, which could bring another order, or rows that are not in the table.
    query, values = f"SELECT {terms} FROM {quoted(table)} NOT INDEXED", ()  # noqa: S608 - names are quoted, values bound
    if where is not None and where[0] in columns:
        query, values = f"{query} WHERE {quoted(columns[where[0]])} = ?", (where[1],)  # type: ignore[assignment]
    return _bounded(connection.execute(query, values), connection.n_bytes)


def _bounded(rows: Iterator[tuple[Any, ...]], n_bytes: int) -> Iterator[tuple[Any, ...]]:
    """The rows, until they are more than a file of a size can hold."""
    rows_left, characters_left = n_bytes // _LEAST_ROW_BYTES, n_bytes
    for row in rows:
        rows_left -= 1
        characters_left -= sum(len(value) for value in row if isinstance(value, str | bytes))
        if rows_left < 0 or characters_left < 0:
            raise sqlite3.DatabaseError(_TOO_MANY)
        yield row


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'
