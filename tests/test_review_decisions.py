"""The decisions file: nothing acknowledged is lost or changed, and the latest of each reader and place stands."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.made_review import decided, made_figures
from wsiamf.errors import ReviewError
from wsiamf.review.answers import Answer
from wsiamf.review.decisions import SCHEMA_VERSION, DecisionStore, read_decisions
from wsiamf.review.standing import Said, merge, standing

ROOT = Path(__file__).resolve().parent.parent
FIGURE = made_figures(1, 1).iloc[0]


def test_answers_come_back_as_they_were_given(tmp_path: Path) -> None:
    given = decided(FIGURE, "Ann B.", Answer.CANNOT_TELL, blinded=True, seconds=None, candidate_uuid=None)
    with DecisionStore(tmp_path / "review" / "decisions.sqlite") as store:
        number = store.append(given)
        assert store.current() == [replace(given, decision_id=number)]
    assert read_decisions(tmp_path / "review" / "decisions.sqlite") == [replace(given, decision_id=number)]


def test_a_later_answer_stands_and_its_withdrawal_brings_the_earlier_one_back(tmp_path: Path) -> None:
    with DecisionStore(tmp_path / "d.sqlite") as store:
        store.append(decided(FIGURE, "ann", Answer.AMF))
        later = store.append(decided(FIGURE, "ann", Answer.NMF, x_um=1.9))
        store.append(decided(FIGURE, "bob", Answer.AMF))
        assert [(one.reader, one.answer) for one in store.current()] == [("ann", Answer.NMF), ("bob", Answer.AMF)]
        store.withdraw(later, "ann")
        assert [(one.reader, one.answer) for one in store.current()] == [("ann", Answer.AMF), ("bob", Answer.AMF)]
        assert [one.withdrawn for one in store.decisions()] == [False, True, False]
        assert [event.withdraws for event in store.events()] == [None, None, None, later]


@pytest.mark.parametrize(
    ("number", "reader", "message"),
    [(9, "ann", "no such answer"), (1, "bob", "not bob's"), (2, "ann", "no such answer"), (3, "ann", "already")],
)
def test_what_cannot_be_withdrawn(tmp_path: Path, number: int, reader: str, message: str) -> None:
    with DecisionStore(tmp_path / "d.sqlite") as store:
        first = store.append(decided(FIGURE, "ann", Answer.AMF))
        other = store.append(decided(FIGURE, "ann", Answer.NMF))
        withdrawal = store.withdraw(other, "ann")
        asked = {1: first, 2: withdrawal, 3: other}.get(number, number)
        with pytest.raises(ReviewError, match=message):
            store.withdraw(asked, reader)


def test_places_two_um_apart_are_one_and_farther_ones_are_not() -> None:
    here = decided(FIGURE, "ann", Answer.AMF)
    assert len(standing([here, replace(here, x_um=2.0)])) == 1
    assert len(standing([here, replace(here, x_um=2.01)])) == 2
    assert len(standing([here, replace(here, fingerprint="other")])) == 2
    assert len(standing([here, replace(here, x_um=1.0, candidate_uuid="its neighbour")])) == 2
    assert len(standing([here, replace(here, x_um=1.0, candidate_uuid=None)])) == 1
    # the first two do not touch, and the third, which both touch, replaces both
    assert len(standing([here, replace(here, x_um=3.0), replace(here, x_um=1.5)])) == 1


def test_what_a_reader_says_already_is_told_as_what_stands_is() -> None:
    here = decided(FIGURE, "ann", Answer.AMF)
    said = Said([decided(FIGURE, "ann", Answer.NMF, slide_id="another"), here])
    assert said.holds(replace(here, x_um=2.0 + 1e-10, candidate_uuid=None))
    for other in (
        {"x_um": 2.01},
        {"answer": Answer.NMF},
        {"kind": "added"},
        {"fingerprint": "other"},
        {"slide_id": "other"},
        {"candidate_uuid": "its neighbour"},
    ):
        assert not said.holds(replace(here, **other))
    many = [decided(row, "ann", Answer.AMF) for row in made_figures(3000, 1).itertuples()]
    known, start = Said(many), time.process_time()
    assert all(known.holds(one) for one in many)
    assert time.process_time() - start < 2  # each against all others took ten


def test_the_same_nonce_again_keeps_nothing_more_after_a_restart_too(tmp_path: Path) -> None:
    path, given = tmp_path / "d.sqlite", decided(FIGURE, "ann", Answer.AMF)
    with DecisionStore(path) as store:
        number = store.append(given, nonce="once")
        other = store.append(given, nonce="twice")
        withdrawal = store.withdraw(number, "ann", nonce="back")
    with DecisionStore(path) as store:
        assert number != other == store.append(given, nonce="twice")
        assert store.append(given, nonce="once") == number
        assert store.withdraw(number, "ann", nonce="back") == withdrawal
        with pytest.raises(ReviewError, match="already"):
            store.withdraw(number, "ann", nonce="another")
        assert len(store.events()) == 3
        with pytest.raises(ReviewError, match="another reader"):
            store.append(decided(FIGURE, "bob", Answer.AMF), nonce="once")
        assert (store.numbers_of("ann"), store.numbers_of("bob")) == ([1, 2, 3], [])
        assert store.append(given) != store.append(given)  # those without a nonce are all kept


def test_one_nonce_from_many_threads_and_two_stores_keeps_one_row(tmp_path: Path) -> None:
    path, given = tmp_path / "d.sqlite", decided(FIGURE, "ann", Answer.AMF)
    with DecisionStore(path) as one, DecisionStore(path) as other, ThreadPoolExecutor(4) as pool:
        posts = [pool.submit((one, other)[number % 2].append, given, nonce="once") for number in range(8)]
        assert {post.result() for post in posts} == {1}
        assert len(one.events()) == 1


def test_a_file_of_schema_1_is_read_as_it_is_and_gets_nonces_when_it_is_appended_to(tmp_path: Path) -> None:
    path, given = tmp_path / "d.sqlite", decided(FIGURE, "ann", Answer.AMF)
    with DecisionStore(path) as store:
        store.append(given)
    connection = sqlite3.connect(path)
    connection.execute("DROP INDEX one_row_a_nonce")
    connection.execute("ALTER TABLE events DROP COLUMN nonce")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    before = path.read_bytes()
    assert read_decisions(path) == [replace(given, decision_id=1)]
    assert path.read_bytes() == before
    with DecisionStore(path) as store:
        assert store.append(given, nonce="once") == store.append(given, nonce="once") == 2
    assert len(read_decisions(path)) == 2


@pytest.mark.parametrize("change", ["UPDATE events SET answer = 'NMF'", "DELETE FROM events"])
def test_rows_are_never_changed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "d.sqlite"
    with DecisionStore(path) as store:
        store.append(decided(FIGURE, "ann", Answer.AMF))
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        connection.execute(change)
    connection.close()


def test_many_threads_and_two_stores_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    with DecisionStore(path) as one, DecisionStore(path) as other, ThreadPoolExecutor(4) as pool:
        writes = [
            pool.submit((one, other)[number % 2].append, decided(FIGURE, f"reader {number}", Answer.AMF))
            for number in range(24)
        ]
        numbers = {write.result() for write in writes}
        assert len(numbers) == 24 == len(one.current())


def test_a_reader_that_holds_up_a_commit_costs_that_answer_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsiamf.review.decisions._BUSY_MS", 100)
    path, given = tmp_path / "d.sqlite", decided(FIGURE, "ann", Answer.AMF)
    with DecisionStore(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as reading:
        store.append(given)
        reading.execute("BEGIN")
        reading.execute("SELECT * FROM events").fetchall()
        with pytest.raises(ReviewError, match="locked"):
            store.append(given)
        reading.execute("COMMIT")
        with DecisionStore(path) as other:
            assert other.append(given) == store.append(given) - 1
        assert len(store.events()) == 3


def test_a_full_disk_is_named_and_the_next_answer_is_kept(tmp_path: Path) -> None:
    given = decided(FIGURE, "r" * 90, Answer.AMF)
    with DecisionStore(tmp_path / "d.sqlite") as store:
        store._connection.execute("PRAGMA max_page_count = 6")
        with pytest.raises(ReviewError, match="is full") as raised:
            store.extend([given] * 200)
        assert "rollback" not in str(raised.value)
        assert store.events() == []
        store._connection.execute("PRAGMA max_page_count = 600")
        store.append(given)
        assert len(store.events()) == 1


@pytest.mark.parametrize("n", [40, pytest.param(1000, marks=pytest.mark.long)])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, n: int) -> None:
    path = tmp_path / "d.sqlite"
    command = [sys.executable, "-m", "tests.review_killed", str(path)]
    acknowledged = {}
    with ExitStack() as running:
        children = {
            reader: running.enter_context(
                subprocess.Popen([*command, reader], stdout=subprocess.PIPE, text=True, cwd=ROOT)
            )
            for reader in ("ann", "bob")
        }
        for child in children.values():
            running.callback(child.kill)
        for reader, child in children.items():  # the second goes on while the first is killed in the middle of its work
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(n)]
            os.kill(child.pid, signal.SIGKILL)
            lines += child.stdout.readlines()
            assert child.wait() == -signal.SIGKILL
            acknowledged[reader] = [int(line.split()[1]) for line in lines if line.endswith("\n")]
    with DecisionStore(path) as store:
        kept = {(one.reader, round(one.x_um / 10)) for one in store.current()}
        store.append(decided(FIGURE, "cara", Answer.AMF))
    assert min(map(len, acknowledged.values())) >= n
    assert {(reader, number) for reader, numbers in acknowledged.items() for number in numbers} <= kept


@pytest.fixture
def cut_off(tmp_path: Path) -> Path:
    """A decisions file of two answers, killed where a write of many had reached the file and not its end."""
    path = tmp_path / "d.sqlite"
    with pytest.raises(subprocess.CalledProcessError) as killed:
        subprocess.run([sys.executable, "-m", "tests.review_killed", str(path), "ann", "cut off"], check=True, cwd=ROOT)
    assert killed.value.returncode == -signal.SIGKILL
    assert path.with_name("d.sqlite-journal").stat().st_size > 0
    return path


def test_what_was_cut_off_by_kill_9_is_taken_back_by_who_reads(cut_off: Path) -> None:
    assert len(read_decisions(cut_off)) == 2
    assert not cut_off.with_name("d.sqlite-journal").exists()


def test_what_was_cut_off_and_cannot_be_taken_back_there_says_what_to_copy(
    cut_off: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(  # as on a disk that cannot be written to, for root too
        "wsiamf.review.decisions._opened", lambda path, _: sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    )
    before = cut_off.read_bytes()
    with pytest.raises(ReviewError, match=r"copy the file and the d\.sqlite-journal beside it"):
        read_decisions(cut_off)
    assert cut_off.read_bytes() == before
    assert cut_off.with_name("d.sqlite-journal").exists()


def test_another_file_and_a_newer_schema_are_refused(tmp_path: Path) -> None:
    text, other, newer = tmp_path / "text.sqlite", tmp_path / "other.sqlite", tmp_path / "newer.sqlite"
    text.write_text("no database at all, and long enough to be looked at by SQLite" * 20)
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE events (id INTEGER)")
    connection.close()
    DecisionStore(newer).close()
    connection = sqlite3.connect(newer)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    for path, message in ((text, "not usable"), (other, "not a decisions file"), (newer, "update wsiamf")):
        before = path.read_bytes()
        with pytest.raises(ReviewError, match=message):
            DecisionStore(path)
        with pytest.raises(ReviewError, match=message):
            read_decisions(path)
        assert path.read_bytes() == before
    with pytest.raises(ReviewError, match="no such decisions file"):
        read_decisions(tmp_path / "none.sqlite")


@pytest.mark.parametrize(
    "wrong",
    [{"x_um": float("nan")}, {"reader": ""}, {"reader": " ann"}, {"reader": "a\nb"}, {"kind": "x"}, {"seconds": -1.0}],
)
def test_answers_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with DecisionStore(tmp_path / "d.sqlite") as store:
        with pytest.raises(ReviewError):
            store.extend([decided(FIGURE, "ann", Answer.AMF), replace(decided(FIGURE, "ann", Answer.AMF), **wrong)])
        assert store.events() == []


def test_files_are_merged_by_content_whatever_their_numbers() -> None:
    figures = made_figures(3, 1)
    first, second, third = (decided(row, "ann", Answer.AMF) for row in figures.itertuples())
    hers = [replace(first, decision_id=1), replace(second, decision_id=2)]
    his = [replace(third, decision_id=1), replace(first, decision_id=2, withdrawn=True)]
    merged = merge([hers, his])
    assert [(one.x_um, one.withdrawn) for one in merged] == [(0.0, True), (100.0, False), (200.0, False)]
    assert [one.decision_id for one in merged] == [1, 2, 3]
    assert merge([his, hers]) == merged
