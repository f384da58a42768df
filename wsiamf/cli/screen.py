"""``wsiamf screen``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from wsiamf.cli import options


@click.command()
@click.argument("slide", type=options.FILE)
@click.option(
    "--points", type=options.FILE, required=True, help="The candidates: CSV, Parquet, MIDOG JSON or MIDOG 2025 CSV."
)
@click.option(
    "--out",
    type=options.FILE,
    default=Path("wsiamf-out"),
    show_default=True,
    help="Folder in which the slide's own folder is made.",
)
@click.option("--roi", type=options.FILE, help="QuPath GeoJSON of the regions to count in; left out: a tissue mask.")
@click.option(
    "--include-class",
    "include_classes",
    multiple=True,
    default=("Tumor",),
    show_default=True,
    help="Region class that counts (unclassified ones do too).",
)
@click.option(
    "--exclude-class",
    "exclude_classes",
    multiple=True,
    default=("Necrosis", "Ulcer", "Ignore*"),
    show_default=True,
    help="Region class that is cut out.",
)
@options.model_opts
@options.threshold_opt("count")
@options.conformal_opt
@click.option(
    "--points-frame",
    type=click.Choice(["auto", "level0", "qupath"]),
    default="auto",
    show_default=True,
    help="What the points' pixels count from: the file's corner, or QuPath's (slides with bounds).",
)
@click.option("--points-format", metavar="NAME", help="Format of the points; left out: found from the content.")
@click.option("--min-score", type=float, help="Set detections of a lower score aside.")
@click.option(
    "--merge-um",
    type=click.FloatRange(min=0),
    default=7.5,
    show_default=True,
    help="Detections closer than this are one figure; 0 merges none.",
)
@click.option("--include-non-mitotic", is_flag=True, help="Classify rows labelled non-mitotic too; they never count.")
@click.option("--skip-bad-points", is_flag=True, help="Keep rows that cannot be used as rows with a status.")
@click.option(
    "--max-unreadable",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of candidates whose pixels may be unreadable.",
)
@click.option(
    "--hotspot-mm2",
    type=click.FloatRange(min=0, min_open=True),
    default=2.37,
    show_default=True,
    help="Area of the hotspot.",
)
@click.option("--error-rates", type=options.FILE, help="JSON of error rates measured on your own material.")
@options.mpp_opt
@click.option("--slide-id", help="Name of the slide's folder; left out: its file name without suffix.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the random crops and of every bootstrap.",
)
@click.option("--gzip-geojson", is_flag=True, help="Write .geojson.gz, a sixth of the size; QuPath opens it as it is.")
@options.overwrite_opt
def screen(slide: Path, points: Path, **chosen: Any) -> None:
    """Classify the candidate mitotic figures of SLIDE and write counts, GeoJSON for QuPath, tables and a contact sheet.

    The folder of results is printed on stdout. Research use only.
    """
    from wsiamf.cli.progress import progress_bar
    from wsiamf.screen import screen_slide
    from wsiamf.screen.sentence import summary_sentence

    with progress_bar("candidates") as on_progress:
        result = screen_slide(slide, points, on_progress=on_progress, **chosen)
    if logging.getLogger("wsiamf").level < logging.ERROR:
        click.echo(f"wsiamf: {summary_sentence(' '.join(slide.name.split()), result.summary)}", err=True)
    click.echo(str(result.folder))
