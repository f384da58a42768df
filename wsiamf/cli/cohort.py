"""``wsiamf cohort`` and ``wsiamf cohort collect``."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from wsiamf.cli import options
from wsiamf.cli.screening_options import screening_opts

_OUT = click.option(
    "--out", type=options.FILE, default=Path("wsiamf-out"), show_default=True, help="Folder of the cohort's results."
)


@click.command()
@click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
def collect(out: Path) -> int:
    """Make the tables and pages of the cohort in OUT from its slides' results, after the last of its shards.

    The path of summary.md is printed on stdout; exit code 1 where a slide failed.
    """
    from wsiamf.cli.cohort_report import report_collected
    from wsiamf.cohort.collecting import collect as collect_results
    from wsiamf.cohort.locks import run_lock, wait_for_silent
    from wsiamf.cohort.places import Places
    from wsiamf.cohort.planning import read_plan

    places = Places(out)
    read_plan(places)  # before the lock, which would leave its folder where there is no cohort
    wait_for_silent(places.locks, logging.getLogger("wsiamf").warning)
    with run_lock(places.locks):
        return report_collected(collect_results(places))


class _WithCollect(click.Command):
    """``collect`` in the place of the manifest is a command of its own; write ./collect for a file of that name."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["collect"]:
            return collect.make_context(f"{info_name} collect", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def _shard(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    number, _, total = value.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise click.BadParameter(f"{value!r} is not I/N with I from 1 to N.")
    return int(number), int(total)


@click.command(cls=_WithCollect, epilog="After the last shard: wsiamf cohort collect OUT.")
@click.argument("source", metavar="MANIFEST|SLIDES", type=options.FILE)
@click.option(
    "--points",
    type=options.FILE,
    help="With a folder of slides: a folder of points files of the same names, or one file for many slides.",
)
@click.option(
    "--regions",
    type=options.FILE,
    help="With a folder of slides: a folder of GeoJSON files of the same names, whose named fields are counted on their own.",
)
@_OUT
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes that screen a slide each; left out: one for every --threads-per-worker cores. 0: no Dask.",
)
@click.option(
    "--threads-per-worker",
    type=click.IntRange(min=1),
    help="Cores that a slide is screened on; left out: 2, or fewer where there are no more.",
)
@click.option("--scheduler", metavar="ADDRESS", help="A running Dask cluster: tcp://HOST:PORT.")
@click.option("--scheduler-file", type=options.FILE, help="The file that a running Dask scheduler wrote.")
@click.option("--cluster", type=options.FILE, help="YAML of a cluster to start through dask-jobqueue (Slurm).")
@click.option(
    "--shard",
    callback=_shard,
    metavar="I/N",
    help="Screen the I-th of N parts, side by side with the others, without Dask.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Times that a slide is tried again whose process died or ran out of time.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Time limit of a slide."
)
@click.option("--allow-mixed", is_flag=True, help="Go on where workers differ in backend, precision or device class.")
@click.option(
    "--allow-missing-points",
    is_flag=True,
    help="A slide that the shared points file does not list has no candidates, and is no error.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, print the plan, screen nothing.")
@options.model_opts
@screening_opts
def cohort(source: Path, **chosen: Any) -> int:
    """Screen every slide of MANIFEST (CSV or Parquet: slide, points; optional slide_id, case_id, roi, regions, mpp, group,
    tumor, scanner), or of a folder of SLIDES, and make the cohort's tables.

    Called again, it goes on where it was: what is done with the same inputs and options is not done again. The path of
    summary.md is printed on stdout; exit code 1 where a slide failed. Research use only.
    """
    from wsiamf.cli.cohort_report import CohortTerminal, report_collected, report_shard
    from wsiamf.cohort.inputs import Cohort, Compute
    from wsiamf.cohort.planning import describe
    from wsiamf.cohort.screening import ShardDone, plan_cohort, screen_cohort
    from wsiamf.cohort.where import Where

    def taken(kind: type, **renamed: str) -> dict[str, Any]:
        """The options that are fields of a class, by the names that the class has for them."""
        names = {renamed.get(one.name, one.name): one.name for one in fields(kind)}
        return {field: chosen.pop(option) for option, field in names.items() if option in chosen}

    dry_run, where = chosen.pop("dry_run"), Where(**taken(Where, threads="threads_per_worker"))
    how = {name: chosen.pop(name) for name in ("retries", "allow_mixed")} | {"time_limit_s": chosen.pop("timeout")}
    compute = Compute(**taken(Compute))
    asked = Cohort(source, compute=compute, **taken(Cohort), options=chosen)
    if dry_run:
        click.echo(describe(*plan_cohort(asked, where)), nl=False)
        return 0
    with CohortTerminal() as terminal:
        done = screen_cohort(asked, where, on_event=terminal.show, **how)
    return report_shard(done) if isinstance(done, ShardDone) else report_collected(done)
