"""A cohort's run in a process of its own, for tests that kill it: ``python -m tests.cohort_runner FOLDER [SCHEDULER_FILE]``.

FOLDER holds ``items.json`` and ``orders.pickle``; a slide is done when its ``run.json`` stands. Without a scheduler's file two
workers are started here. Says ``outcome ID STATUS`` on stdout; exit code 1 where a slide failed or the run was broken off.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from wsiamf.cohort.cluster import cluster
from wsiamf.cohort.engine import Progress, probe, run_on_dask
from wsiamf.cohort.items import Item
from wsiamf.cohort.locks import run_lock
from wsiamf.cohort.running import Orders, Outcome, sweep
from wsiamf.errors import WsiamfError


def write_run(folder: Path, items: list[Item], orders: Orders) -> None:
    """What the runner reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items.json").write_text(json.dumps([item.as_json() for item in items]))
    (folder / "orders.pickle").write_bytes(pickle.dumps(orders))


def due(items: list[Item], orders: Orders) -> list[Item]:
    """Those that are not done."""
    return [item for item in items if not orders.places.record(item.slide_id).is_file()]


def run(folder: Path, scheduler_file: Path | None, say: Callable[[str], None]) -> int:
    """Do what is due; the exit code."""
    items = [Item.from_json(values) for values in json.loads((folder / "items.json").read_text())]
    orders: Orders = pickle.loads((folder / "orders.pickle").read_bytes())  # noqa: S301 - the test's own
    orders = replace(orders, child=replace(orders.child, run=uuid4().hex))  # workers remember which run was stopped

    def tell(event: Outcome | Progress) -> None:
        if isinstance(event, Outcome):
            say(f"outcome {event.slide_id} {event.status} {event.reason or ''}")

    with run_lock(orders.places.locks), cluster(2, 1, scheduler_file=scheduler_file) as client:
        sweep(orders.places, [item.slide_id for item in items])
        classes = set(probe(client, orders).values())
        assert len(classes) == 1
        orders = replace(orders, classes=classes.pop())
        say("begins")
        tally = run_on_dask(due(items, orders), client, orders, tell)
    return 1 if tally["failed"] else 0


def main() -> int:
    """Run, and say on one line what ended it."""
    try:
        return run(
            Path(sys.argv[1]),
            Path(sys.argv[2]) if len(sys.argv) > 2 else None,
            lambda line: print(line, flush=True),  # noqa: T201
        )
    except WsiamfError as error:
        sys.stderr.write(f"error: {error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
