"""``wsiamf agree``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsiamf.cli import options


class BandsType(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between them."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Check the text."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of whole numbers such as 0,7,13.", param, ctx)


@click.command()
@click.argument("out", type=options.FILE)
@click.argument("reference", metavar="REF.CSV", type=options.FILE)
@click.option("--bands", type=BandsType(), default=(), help="Lowest count of each band, for weighted kappa: 0,7,13.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of the table.")
@click.option("--plot", type=options.FILE, help="Write Bland and Altman's plot as PNG.")
@options.overwrite_opt
def agree(
    out: Path, reference: Path, bands: tuple[int, ...], *, as_json: bool, plot: Path | None, overwrite: bool
) -> None:
    """Compare the counts in OUT with those of readers, in the named regions of screen or cohort --regions.

    OUT is a slide's folder of results, or the folder that screen or cohort wrote. REF.CSV has the columns case_id, reader,
    region, mc and amc: case_id is a slide's folder or file name, or a case of the cohort; an empty region is the whole slide.
    """
    from wsiamf.agreement import agreement_table, compare, write_plot
    from wsiamf.files import dump_json, refuse_existing

    if plot is not None:
        refuse_existing(plot, overwrite=overwrite)
    found = compare(out, reference, bands=bands)
    if plot is not None:
        write_plot(plot, found)
    for note in found["notes"]:
        click.echo(f"wsiamf: {note}", err=True)
    click.echo(dump_json(found) if as_json else agreement_table(found), nl=not as_json)
