"""SQLite files of other programs: opened so that nothing is written, whatever stands in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from wsiamf.candidates.wording import reason_of
from wsiamf.errors import CandidateError

MAGIC: Final = b"SQLite format 3\0"


@contextmanager
def opened_readonly(path: Path) -> Iterator[sqlite3.Connection]:
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
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.text_factory = lambda data: data.decode("utf-8", errors="replace")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            yield connection
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        # the last where SQLite's own message quotes a damaged schema
        raise CandidateError(f"{path}: not a readable SQLite database: {reason_of(error)}; export it again.") from error


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
    connection: sqlite3.Connection,
    table: str,
    wanted: Sequence[str],
    *,
    where: tuple[str, Any] | None = None,
    order: str = "",
) -> Iterator[tuple[Any, ...]]:
    """Rows with the columns wanted, by name and in that order; None for a column that the table lacks.

    Args:
        connection: Of ``opened_readonly``.
        table: Its name, without case; no rows where there is none.
        wanted: Column names, in lower case.
        where: A column and the value that it must have; all rows where the table lacks the column.
        order: Columns to sort by, those that are there.
    """
    columns = columns_of(connection, table)
    if not columns:
        return iter(())
    terms = ", ".join(quoted(columns[name]) if name in columns else "NULL" for name in wanted)
    query, values = f"SELECT {terms} FROM {quoted(table)}", ()  # noqa: S608 - names are quoted, values bound
    if where is not None and where[0] in columns:
        query, values = f"{query} WHERE {quoted(columns[where[0]])} = ?", (where[1],)  # type: ignore[assignment]
    sorting = ", ".join(quoted(columns[name]) for name in order.split() if name in columns)
    return iter(connection.execute(f"{query} ORDER BY {sorting}" if sorting else query, values))


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'
