"""``wsiamf screen``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from wsiamf.addresses import Address
from wsiamf.cli import options
from wsiamf.cli.screening_options import screening_opts


@click.command()
@click.argument("slide", type=options.SLIDE)
@click.option("--points", type=options.FILE, required=True, help="The candidates, in any format of docs/points.md.")
@click.option(
    "--out",
    type=options.FILE,
    default=Path("wsiamf-out"),
    show_default=True,
    help="Folder in which the slide's own folder is made.",
)
@click.option("--roi", type=options.FILE, help="QuPath GeoJSON of the regions to count in; left out: a tissue mask.")
@click.option(
    "--regions", type=options.FILE, help="QuPath GeoJSON of named fields, each counted on its own in regions.csv."
)
@options.model_opts
@screening_opts
@options.mpp_opt
@click.option("--slide-id", help="Name of the slide's folder; left out: its file name without suffix.")
@options.overwrite_opt
def screen(slide: Address, points: Path, **chosen: Any) -> None:
    """Classify the candidate mitotic figures of SLIDE and write counts, GeoJSON for QuPath, tables and a report.

    SLIDE is a file or, for DICOM and OME-Zarr, a folder. The folder of results is printed on stdout. Research use only.
    """
    from wsiamf.cli.progress import progress_bar
    from wsiamf.screen import screen_slide
    from wsiamf.screen.sentence import agreement_sentence, summary_sentence

    with progress_bar("candidates") as on_progress:
        result = screen_slide(slide, points, on_progress=on_progress, **chosen)
    if logging.getLogger("wsiamf").level < logging.ERROR:
        name = " ".join(slide.name.split())
        click.echo(f"wsiamf: {summary_sentence(name, result.summary)}", err=True)
        if agreement := agreement_sentence(name, result.summary):
            click.echo(f"wsiamf: {agreement}", err=True)
    click.echo(str(result.folder))
