"""New SQLite files: one transaction, equal rows giving equal bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from wsiamf.errors import OutputError

SIDE_FILES: Final = ("-wal", "-journal")
"""What SQLite leaves beside a database while it is changed, and applies to whatever database it finds there."""


@contextmanager
def new_database(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to an empty database; what is written is committed when the block ends well.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")  # the file is thrown away if anything fails
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise OutputError(f"{path}: cannot be written: {error}. Free it, or choose another place.") from error
