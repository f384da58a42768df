"""``wsiamf diff``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsiamf.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsiamf.cohort.comparing import SlideChange

SCHEMA = "wsiamf.diff/1"


@click.command()
@click.argument("a", type=options.FILE)
@click.argument("b", type=options.FILE)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: every slide, its counts, and its figures that changed."
)
@click.option(
    "--exit-code", is_flag=True, help="End with 1 where a class, a count (a named region's too) or a status differs."
)
def diff(a: Path, b: Path, as_csv: bool, as_json: bool, exit_code: bool) -> int | None:
    """Compare two runs, of a cohort or of one slide: which figures changed class from A to B, and why.

    The figures go to stdout, one a line; counts and status of each slide that differs go to stderr.
    """
    from wsiamf.cohort.comparing import compare
    from wsiamf.files import dump_json

    if as_csv and as_json:
        raise click.UsageError("give either --csv or --json.")
    slides = list(compare(a, b))
    if as_json:
        click.echo(dump_json({"schema": SCHEMA, "slides": [slide.as_json() for slide in slides]}).rstrip())
    else:
        rows = list(_rows(slides))
        click.echo(_as_csv(rows) if as_csv else "\n".join(_aligned(rows)), nl=not as_csv)
    if logging.getLogger("wsiamf").level < logging.ERROR:
        for line in _summary(slides):
            click.echo(f"wsiamf: {line}", err=True)
    return 1 if exit_code and any(slide.differs for slide in slides) else None


def _rows(slides: Sequence[SlideChange]) -> Iterator[list[str]]:
    from wsiamf.cohort.comparing import COLUMNS

    yield list(COLUMNS)
    for slide in slides:
        for figure in slide.figures:
            values = [getattr(figure, name) for name in COLUMNS]
            yield ["" if value is None else str(value) for value in values]


def _as_csv(rows: Sequence[Sequence[str]]) -> str:
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    cells = [[" ".join(cell.split()) or "-" for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _summary(slides: Sequence[SlideChange]) -> Iterator[str]:
    from collections import Counter

    changes = Counter(f"{figure.before} -> {figure.after}" for slide in slides for figure in slide.figures)
    for slide in slides:
        if slide.differs:
            yield f"{slide.slide_id}: {'; '.join(_slide_words(slide))}"
    counted = ", ".join(f"{change} {n}" for change, n in sorted(changes.items())) or "none"
    yield f"{len(slides)} slides compared, {sum(slide.differs for slide in slides)} differ; figures changed: {counted}"


def _slide_words(slide: SlideChange) -> Iterator[str]:
    if slide.status_before != slide.status_after:
        yield f"status {slide.status_before} -> {slide.status_after}"
    before, after = slide.counts_before, slide.counts_after
    if before is not None and after is not None:
        named = {"n_ok": "figures", "n_amf": "AMF", "n_nmf": "NMF"}
        yield ", ".join(f"{word} {before[name]} -> {after[name]}" for name, word in named.items())
        yield from _region_words(slide.regions_before or {}, slide.regions_after or {})
        yield f"why: {', '.join(slide.why)}"


def _region_words(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> Iterator[str]:
    for name in [*before, *(name for name in after if name not in before)]:
        was, became = before.get(name), after.get(name)
        if was != became:
            yield f"region {name!r}: {_counted(was)} -> {_counted(became)}"


def _counted(region: tuple[int, int] | None) -> str:
    return "not given" if region is None else f"{region[0]} figures, {region[1]} AMF"
