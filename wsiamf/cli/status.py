"""``wsiamf status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsiamf.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsiamf.cohort.status import Status


@click.command()
@click.argument("out", type=options.FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Look again every so often, until no run is at work.",
)
def status(out: Path, as_json: bool, watch: float | None) -> None:
    """Show where the cohort in OUT stands: slides done, running, failed and waiting, speed and time to go.

    It only reads, so it may run beside the cohort.
    """
    import sys
    import time

    from wsiamf.cohort.places import Places
    from wsiamf.cohort.status import read_status
    from wsiamf.files import dump_json

    while True:
        seen = read_status(Places(out))
        if watch is not None and sys.stdout.isatty():
            click.clear()
        click.echo(dump_json(seen.as_json(), indent=None).rstrip() if as_json else "\n".join(_lines(seen)))
        if watch is None or seen.is_over:
            return
        time.sleep(watch)


def _lines(seen: Status) -> Iterator[str]:
    from datetime import datetime, timedelta

    outdated = f" ({seen.outdated} done with other options, model, error rates or algorithm)" if seen.outdated else ""
    yield (
        f"{seen.n_slides} slides: {seen.done} done, {len(seen.running)} running, {len(seen.failed)} failed, "
        f"{seen.waiting} waiting{outdated}, {seen.no_candidates} without candidates"
    )
    if seen.slides_per_hour is not None and seen.eta_seconds is not None:
        yield f"{seen.slides_per_hour:.1f} slides/hour, {timedelta(seconds=round(seen.eta_seconds))} to go"
    elif seen.is_over:
        yield "no run is at work"
    for worker in seen.running:
        since = "" if worker.since is None else f" since {datetime.fromtimestamp(worker.since):%Y-%m-%d %H:%M:%S}"
        yield f"running  {worker.what}  {worker.host or 'unknown host'}, process {worker.pid or '?'}{since}"
    for slide_id, reason in seen.failed:
        yield f"failed   {slide_id}  {reason}"
