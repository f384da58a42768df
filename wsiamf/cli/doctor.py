"""``wsiamf doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from wsiamf.cli import options

SCHEMA = "wsiamf.doctor/1"


@click.command()
@click.option("--model", metavar="NAME|FOLDER", help="A shipped model or a bundle's folder; left out: the default.")
@click.option(
    "--out", type=options.FILE, default=Path(), show_default="the current folder", help="Where results would go."
)
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler to try, such as tcp://host:8786.")
@click.option("--scheduler-file", type=options.FILE, help="The file that a Dask scheduler wrote, in its place.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(
    model: str | None, out: Path, scheduler: str | None, scheduler_file: Path | None, as_json: bool
) -> int | None:
    """Check this machine: libraries, model, GPU, folders, limits, cluster; PASS, WARN or FAIL and a remedy each.

    The exit code is 1 where a check fails.
    """
    from wsiamf.doctor import FAIL, Asked, Finding, examine
    from wsiamf.files import dump_json

    if scheduler is not None and scheduler_file is not None:
        raise click.UsageError("give either --scheduler or --scheduler-file.")
    findings: list[Finding] = []
    for finding in examine(Asked(model, out, scheduler, scheduler_file)):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.level}  {finding.check:<24} {finding.found}")
            if finding.remedy:
                click.echo(f"      {'':<24} -> {finding.remedy}")
    if as_json:
        click.echo(dump_json({"schema": SCHEMA, "checks": [one.as_json() for one in findings]}).rstrip())
    return 1 if any(one.level == FAIL for one in findings) else None
