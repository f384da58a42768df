"""The decisions file: what every reader ever answered, in SQLite, appended to and never changed.

A row is an answer or the withdrawal of one. A row is on disk before ``append`` and ``withdraw`` return: a rollback journal
with ``synchronous = EXTRA`` (``FULL``, and the folder is synced too, once the journal is gone), never a write-ahead log,
which does not work on a network disk. Threads share one connection under a lock; other processes wait for their turn.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, cast
from urllib.parse import quote

from wsiamf.errors import ReviewError
from wsiamf.review.answers import ADDED, FIGURE, Answer, Decision, Kind, Source, utc_now
from wsiamf.review.standing import standing

FILE_NAME: Final = "decisions.sqlite"
SCHEMA_VERSION: Final = 2
"""In the file's ``user_version``. One of schema 1 has no nonces: it is read as it is, and gets them when it is appended to."""
_APPLICATION: Final = 0x57534952  # "WSIR", in the file's application_id
_BUSY_MS: Final = 30_000
_LONGEST_NAME: Final = 100
_SOURCES: Final = ("browser", "qupath")

_TABLE: Final = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    slide_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    x_um REAL NOT NULL,
    y_um REAL NOT NULL,
    kind TEXT NOT NULL,
    reader TEXT NOT NULL,
    answer TEXT NOT NULL,
    blinded INTEGER NOT NULL,
    source TEXT NOT NULL,
    candidate_uuid TEXT,
    seconds REAL,
    time TEXT NOT NULL,
    withdraws INTEGER REFERENCES events (id),
    nonce TEXT
)
"""
_IDENTITY: Final = (  # of this file among all others, for browsers, which keep what they have not sent to it
    "CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)",
    "INSERT INTO identity SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT * FROM identity)",
)
_ADD_NONCE: Final = "ALTER TABLE events ADD COLUMN nonce TEXT"
_UNIQUE_NONCE: Final = (
    "CREATE UNIQUE INDEX one_row_a_nonce ON events (nonce)"  # what is NULL does not count as the same
)
# the audit trail holds against programs that open the file, too
_GUARDS: Final = (
    "CREATE TRIGGER no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'decisions are never changed'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'decisions are never deleted'); END",
)
_FIELDS: Final = (
    "slide_id, fingerprint, x_um, y_um, kind, reader, answer, blinded, source, candidate_uuid, seconds, time"
)
_INSERT: Final = f"INSERT INTO events ({_FIELDS}, withdraws, nonce) VALUES ({', '.join('?' * 14)})"  # noqa: S608 - our own names
_SELECT: Final = f"SELECT id, withdraws, {_FIELDS} FROM events ORDER BY id"  # noqa: S608 - our own names


@dataclass(frozen=True)
class Event:
    """One row of the audit trail.

    Args:
        event_id: Its number.
        decision: The answer; of a withdrawal, the answer that is taken back, as it was given.
        withdraws: Number of the answer that is taken back; None for an answer.
        time: When.
    """

    event_id: int
    decision: Decision
    withdraws: int | None
    time: str


class DecisionStore:
    """A decisions file, opened for appending; made, with its folder, where there is none.

    Args:
        path: ``OUT/review/decisions.sqlite``.

    Raises:
        ReviewError: The file is no decisions file, damaged, of a newer schema, or cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReviewError(f"{path.parent}: cannot be made: {error.strerror or error}; check its rights.") from error
        with _sqlite_errors(path):
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                _prepare(self._connection, path)
                self.file_id = str(self._connection.execute("SELECT id FROM identity").fetchone()[0])
                """32 random hex digits, given to the file once and for all: no other but its copies has them."""
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> DecisionStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def append(self, decision: Decision, *, nonce: str | None = None) -> int:
        """Keep an answer; when this returns, it is on disk.

        Args:
            decision: The answer.
            nonce: What tells this very post from every other; the same again, after a restart or from another process too,
                changes nothing. None for an answer that is given once.

        Returns:
            Its number in the file: that of the row which the nonce made, if there is one.

        Raises:
            ReviewError: A field makes no sense, or the file cannot be written to.
        """
        _check(decision)
        with self._transaction():
            made = self._made_by(nonce, decision.reader)
            return self._insert(decision, nonce=nonce) if made is None else made

    def extend(self, decisions: Sequence[Decision]) -> list[int]:
        """Keep several answers, all of them or, after an error, none.

        Returns:
            Their numbers.
        """
        for decision in decisions:
            _check(decision)
        with self._transaction():
            return [self._insert(decision) for decision in decisions]

    def withdraw(self, decision_id: int, reader: str, *, time: str | None = None, nonce: str | None = None) -> int:
        """Take an answer back: a row more, nothing is deleted. What the reader answered there before stands again.

        Args:
            decision_id: The answer's number.
            reader: Who takes it back; only the one who gave it may.
            time: When; None for now.
            nonce: As of ``append``: the same again changes nothing, and is no second withdrawal.

        Returns:
            The number of the withdrawal: that of the row which the nonce made, if there is one.

        Raises:
            ReviewError: There is no such answer, it is another reader's, or it is withdrawn already.
        """
        from_now = utc_now() if time is None else time
        with self._transaction():
            made = self._made_by(nonce, reader)
            if made is not None:
                return made
            events = {event.event_id: event for event in _read(self._connection)}
            _check_withdrawal(events, decision_id, reader)
            decision = replace(events[decision_id].decision, time=from_now)
            return self._insert(decision, withdraws=decision_id, nonce=nonce)

    def events(self) -> list[Event]:
        """Every row, in the order in which they were kept."""
        with self._lock, _sqlite_errors(self.path):
            return _read(self._connection)

    def numbers_of(self, reader: str) -> list[int]:
        """Numbers of a reader's rows, answers and withdrawals, in order; nothing else of them is read."""
        with self._lock, _sqlite_errors(self.path):
            rows = self._connection.execute("SELECT id FROM events WHERE reader = ? ORDER BY id", (reader,))
            return [int(number) for (number,) in rows]

    def revision(self) -> int:
        """Number of the last row, answer or withdrawal; 0 where there is none."""
        with self._lock, _sqlite_errors(self.path):
            return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])

    def decisions(self) -> list[Decision]:
        """Every answer ever given, in order; those taken back say so."""
        return decisions_of(self.events())

    def current(self) -> list[Decision]:
        """The answers that stand: of each reader and place the latest that is not withdrawn, in the order of the file."""
        return standing(self.decisions())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, _sqlite_errors(self.path), _transaction_of(self._connection):
            yield

    def _made_by(self, nonce: str | None, reader: str) -> int | None:
        row = self._connection.execute("SELECT id, reader FROM events WHERE nonce = ?", (nonce,)).fetchone()
        if row is not None and row[1] != reader:
            raise ReviewError(f"nonce {nonce}: made a row of another reader's.")
        return None if row is None else int(row[0])

    def _insert(self, decision: Decision, *, withdraws: int | None = None, nonce: str | None = None) -> int:
        values = (*astuple(decision)[:12], withdraws, nonce)
        number = self._connection.execute(_INSERT, values).lastrowid
        assert number is not None, "a row that was inserted has a number"
        return number


def read_decisions(path: Path) -> list[Decision]:
    """Every answer of a decisions file, in order; those taken back say so.

    The file is not written to, but for one thing: a write that a crash cut off is taken back, from the ``-journal`` that it
    left beside the file.

    Raises:
        ReviewError: There is no such file, it is no decisions file, damaged or of a newer schema, or what a crash left cannot
            be taken back where the file lies.
    """
    if not path.is_file():
        raise ReviewError(f"{path}: no such decisions file; give the {FILE_NAME} of a review.")
    with _sqlite_errors(path):
        try:
            return _read_only(path)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
        _take_back(path)
        return _read_only(path)


def _read_only(path: Path) -> list[Decision]:
    with closing(_opened(path, "ro")) as connection:
        _check_file(connection, path)
        return decisions_of(_read(connection))


def _take_back(path: Path) -> None:
    """Have SQLite roll a write back that a crash cut off, as it does at the first look of whoever may write."""
    try:
        with closing(_opened(path, "rw")) as connection:
            connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError as error:
        raise ReviewError(
            f"{path}: a crash cut off a write, which cannot be taken back here ({error}); copy the file and the "
            f"{path.name}-journal beside it to a folder that can be written to, and read it there."
        ) from error


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    return connection


def decisions_of(events: Sequence[Event]) -> list[Decision]:
    """The answers among the rows, in order, each with whether a later row takes it back."""
    withdrawn = {event.withdraws for event in events}
    return [
        replace(event.decision, decision_id=event.event_id, withdrawn=event.event_id in withdrawn)
        for event in events
        if event.withdraws is None
    ]


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA synchronous = EXTRA")
    (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    if mode != "delete":
        raise ReviewError(f"{path}: keeps a write-ahead log that another program has open; close that program.")
    with _transaction_of(connection):  # two processes may find the file new at once
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in (_TABLE, _UNIQUE_NONCE, *_GUARDS):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if _check_file(connection, path) < SCHEMA_VERSION:
            connection.execute(_ADD_NONCE)
            connection.execute(_UNIQUE_NONCE)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for statement in _IDENTITY:
            connection.execute(statement)


@contextmanager
def _transaction_of(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or none: an open transaction is never left behind, and what went wrong first is what is said.

    A COMMIT that found another program reading leaves the transaction open; a full disk has SQLite roll back by itself.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def _check_file(connection: sqlite3.Connection, path: Path) -> int:
    """The schema of a file that is ours and not newer than this version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise ReviewError(f"{path}: is not a decisions file of wsiamf; give the {FILE_NAME} of a review.")
    if version > SCHEMA_VERSION:
        raise ReviewError(f"{path}: written by a newer version (schema {version}); update wsiamf.")
    return int(version)


def _read(connection: sqlite3.Connection) -> list[Event]:
    return [_event(row) for row in connection.execute(_SELECT)]


def _event(row: tuple[Any, ...]) -> Event:
    (
        number,
        withdraws,
        slide_id,
        fingerprint,
        x_um,
        y_um,
        kind,
        reader,
        answer,
        blinded,
        source,
        shown,
        seconds,
        time,
    ) = row
    decision = Decision(
        slide_id=str(slide_id),
        fingerprint=str(fingerprint),
        x_um=float(x_um),
        y_um=float(y_um),
        kind=cast(Kind, str(kind)),
        reader=str(reader),
        answer=Answer(answer),
        blinded=bool(blinded),
        source=cast(Source, str(source)),
        candidate_uuid=None if shown is None else str(shown),
        seconds=None if seconds is None else float(seconds),
        time=str(time),
        decision_id=int(number) if withdraws is None else int(withdraws),
    )
    return Event(int(number), decision, None if withdraws is None else int(withdraws), str(time))


def _check(decision: Decision) -> None:
    if not (math.isfinite(decision.x_um) and math.isfinite(decision.y_um)):
        raise ReviewError(f"decision: x_um {decision.x_um}, y_um {decision.y_um}: not a place.")
    if decision.seconds is not None and not (math.isfinite(decision.seconds) and decision.seconds >= 0):
        raise ReviewError(f"decision: seconds {decision.seconds}: not a time.")
    check_reader(decision.reader)
    if decision.kind not in (FIGURE, ADDED) or decision.source not in _SOURCES:
        raise ReviewError(f"decision: kind {decision.kind!r} or source {decision.source!r} is not known.")
    if not decision.fingerprint or not decision.slide_id:
        raise ReviewError("decision: names no slide.")


def check_reader(name: str) -> None:
    """Raise a ``ReviewError`` unless a text can be a reader's name: 1 to 100 printable characters, no blank at either end."""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise ReviewError(f"reader {name!r}: a name has 1 to {_LONGEST_NAME} printable characters and no outer blanks.")


def _check_withdrawal(events: dict[int, Event], decision_id: int, reader: str) -> None:
    event = events.get(decision_id)
    if event is None or event.withdraws is not None:
        raise ReviewError(f"decision {decision_id}: there is no such answer to withdraw.")
    if event.decision.reader != reader:
        raise ReviewError(f"decision {decision_id}: is not {reader}'s to withdraw.")
    if any(other.withdraws == decision_id for other in events.values()):
        raise ReviewError(f"decision {decision_id}: is withdrawn already.")


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError) as error:  # ValueError: a class word that no version wrote
        raise ReviewError(f"{path}: not usable as a decisions file: {error}.") from error
