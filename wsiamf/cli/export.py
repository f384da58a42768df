"""``wsiamf export``."""

from __future__ import annotations

from pathlib import Path

import click

from wsiamf.addresses import Address
from wsiamf.cli import options

# Written out, so that --help loads no format; a test holds them to the list in wsiamf.export.format_list.
FORMATS = (
    "qupath-project",
    "qupath-points",
    "sliderunner",
    "grand-challenge",
    "midog-json",
    "midog25-csv",
    "tiatoolbox",
    "asap",
    "dicom-ann",
)


@click.command()
@click.argument("out", type=options.FILE)
@click.option("--to", type=click.Choice(FORMATS), required=True, help="Format; docs/export.md describes each.")
@click.option(
    "--out",
    "target",
    type=options.FILE,
    default=Path("wsiamf-export"),
    show_default=True,
    help="Folder for the files, or the file itself, if its name ends like the format's.",
)
@click.option("--all", "every_row", is_flag=True, help="Write rows that do not count too, in classes that say why.")
@click.option("--slide", type=options.SLIDE, help="Where the slide is now, for the formats that name or open it.")
@options.overwrite_opt
def export(out: Path, to: str, target: Path, *, every_row: bool, slide: Address | None, overwrite: bool) -> None:
    """Write the results in OUT for another program.

    OUT is a slide's folder of results, or the folder that screen or cohort wrote: every slide of it. The files are named
    on stdout.
    """
    from wsiamf.export.exporting import export_results

    written = export_results(out, to, target=target, every_row=every_row, slide=slide, overwrite=overwrite)
    for path in written:
        click.echo(str(path))
