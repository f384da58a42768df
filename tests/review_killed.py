"""A process that answers as fast as it can and says so after each answer, until it is killed.

With ``cut off`` as third argument it keeps two answers, and kills itself in the middle of a write of many.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from wsiamf.review.answers import Answer, Decision, utc_now
from wsiamf.review.decisions import DecisionStore


def main() -> None:
    """Append answers to the file named first, as the reader named second, numbers on stdout."""
    with DecisionStore(Path(sys.argv[1])) as store:
        if sys.argv[3:] == ["cut off"]:
            _be_cut_off(store, sys.argv[2])
        for number in range(100_000):
            sys.stdout.write(f"{store.append(_answer(sys.argv[2], number))} {number}\n")
            sys.stdout.flush()
            time.sleep(0.002)  # else the lock is taken again before the other process wakes


def _answer(reader: str, number: int) -> Decision:
    place = 10.0 * number
    return Decision("s0", "mark", place, 0.0, "figure", reader, Answer.AMF, False, "browser", None, None, utc_now())


def _be_cut_off(store: DecisionStore, reader: str) -> None:
    store.extend([_answer(reader, 0), _answer(reader, 1)])
    connection = store._connection
    connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the COMMIT
    connection.execute("BEGIN IMMEDIATE")
    for number in range(2, 400):
        store._insert(_answer(reader, number))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
