"""The options of a screening, which ``screen`` and ``cohort`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from wsiamf.cli import options

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--include-class",
        "include_classes",
        multiple=True,
        default=("Tumor",),
        show_default=True,
        help="Region class that counts (unclassified ones do too).",
    ),
    click.option(
        "--exclude-class",
        "exclude_classes",
        multiple=True,
        default=("Necrosis", "Ulcer", "Ignore*"),
        show_default=True,
        help="Region class that is cut out.",
    ),
    options.threshold_opt("count"),
    options.conformal_opt,
    *options.PLACEMENT,
    click.option("--force", is_flag=True, help="Go on where the points do not seem to fit the slide."),
    options.points_format_opt,
    options.raters_opt,
    click.option("--min-score", type=float, help="Set detections of a lower score aside."),
    click.option(
        "--merge-um",
        type=click.FloatRange(min=0),
        default=7.5,
        show_default=True,
        help="Detections closer than this are one figure; 0 merges none.",
    ),
    click.option(
        "--include-non-mitotic", is_flag=True, help="Classify rows labelled non-mitotic too; they never count."
    ),
    click.option("--skip-bad-points", is_flag=True, help="Keep rows that cannot be used as rows with a status."),
    click.option(
        "--max-unreadable",
        type=click.FloatRange(0, 1),
        default=0.01,
        show_default=True,
        help="Share of candidates whose pixels may be unreadable.",
    ),
    click.option(
        "--hotspot-mm2",
        type=click.FloatRange(min=0, min_open=True),
        default=2.37,
        show_default=True,
        help="Area of the hotspot.",
    ),
    click.option("--error-rates", type=options.FILE, help="JSON of error rates measured on your own material."),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Of the random crops and of every bootstrap.",
    ),
    click.option(
        "--gzip-geojson", is_flag=True, help="Write .geojson.gz, a sixth of the size; QuPath opens it as it is."
    ),
)


def screening_opts(command: Command) -> Command:
    """Fields of ``config.ScreenOptions`` (all but ``mpp``) and ``--error-rates``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
