"""``wsiamf verify``."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from wsiamf.cli import options

SCHEMA = "wsiamf.verify/1"


@click.command()
@click.argument("out", type=options.FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(out: Path, as_json: bool) -> int | None:
    """Verify the results in OUT, a cohort's folder or one slide's: every hash, every row count, tables that agree.

    One line a problem on stdout; the exit code is 1 where there is one. What could not be checked is a warning.
    """
    from wsiamf.cli.progress import progress_bar
    from wsiamf.cohort.faults import PROBLEM
    from wsiamf.cohort.verifying import verify as verify_results
    from wsiamf.files import dump_json

    with progress_bar("slides") as on_progress:
        faults = verify_results(out, on_progress=on_progress)
    if as_json:
        click.echo(dump_json({"schema": SCHEMA, "faults": [fault.as_json() for fault in faults]}).rstrip())
    else:
        for fault in faults:
            click.echo(f"{fault.level}: {fault.where + ': ' if fault.where else ''}{fault.text}")
    n = sum(fault.level == PROBLEM for fault in faults)
    if logging.getLogger("wsiamf").level < logging.ERROR:
        click.echo(f"wsiamf: {out}: {n} problems, {len(faults) - n} warnings", err=True)
    return 1 if n else None
