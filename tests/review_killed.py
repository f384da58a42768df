"""A process that answers as fast as it can and says so after each answer, until it is killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from wsiamf.review.answers import Answer, Decision, utc_now
from wsiamf.review.decisions import DecisionStore


def main() -> None:
    """Append answers to the file named first, as the reader named second, numbers on stdout."""
    with DecisionStore(Path(sys.argv[1])) as store:
        for number in range(100_000):
            place = 10.0 * number
            decision = Decision(
                "s0", "mark", place, 0.0, "figure", sys.argv[2], Answer.AMF, False, "browser", None, None, utc_now()
            )
            sys.stdout.write(f"{store.append(decision)} {number}\n")
            sys.stdout.flush()
            time.sleep(0.002)  # else the lock is taken again before the other process wakes


if __name__ == "__main__":
    main()
