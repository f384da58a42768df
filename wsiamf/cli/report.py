"""``wsiamf report``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsiamf.cli import options

if TYPE_CHECKING:
    from wsiamf.report import Reference


@click.command()
@click.argument("out", type=options.FILE)
@options.slides_opt
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="VALUE:SOURCE",
    help="Draw a line at an AMF fraction, 0.21:SOURCE, or at an AMF / NMF ratio, ratio=0.27:SOURCE. None by default.",
)
def report(out: Path, slides: tuple[Path, ...], references: tuple[str, ...]) -> int | None:
    """Make report.html in OUT, a slide's folder of results or that of a cohort, whose slides get theirs too.

    screen and cohort make it by themselves; this one makes it anew, with a reference line, or of older results. The pages are
    named on stdout. Research use only.
    """
    from wsiamf.cli.progress import progress_bar
    from wsiamf.cohort.reporting import report_results
    from wsiamf.report import parse_reference

    drawn = [_said(parse_reference(text)) for text in references]
    with progress_bar("slides") as on_progress:
        done = report_results(out, slides=slides, references=drawn, on_progress=on_progress)
    for note in done.notes:
        logging.getLogger("wsiamf").warning("%s", note)
    for failure in done.failures:
        click.echo(f"wsiamf: error: {failure}", err=True)
    for page in done.pages:
        click.echo(str(page))
    return 1 if done.failures else None


def _said(reference: Reference) -> Reference:
    """Say what a reference is taken for, since the literature's two numbers are easily mistaken for each other."""
    if logging.getLogger("wsiamf").level < logging.ERROR:
        ratio = f", which is an AMF / NMF ratio of {reference.ratio:.3g}" if reference.fraction < 1 else ""
        click.echo(f"wsiamf: reference: AMF fraction {reference.fraction:.3g}{ratio} ({reference.source})", err=True)
    return reference
