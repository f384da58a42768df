"""``wsiamf points``: look at points files, and turn one format into another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from wsiamf.addresses import Address
from wsiamf.cli import options
from wsiamf.wording import printable

if TYPE_CHECKING:
    from wsiamf.candidates import SlideLike

_SHOWN: Final = 12  # of slides or classes; --json has them all

Command = TypeVar("Command", bound=Callable[..., Any])


def _points_opts(command: Command) -> Command:
    """What says which points are meant and how they are to be read."""
    for option in (
        options.mpp_opt,
        *reversed(options.PLACEMENT),
        options.points_format_opt,
        click.option("--slide-name", help="The slide's name in a file of many slides; left out: the slide's own."),
        click.option(
            "--slide", type=options.SLIDE, help="The slide: its mpp turns um into px, its bounds QuPath's frame."
        ),
    ):
        command = option(command)
    return command


@click.group()
def points() -> None:
    """Look at points files and convert them."""


@points.command()
@click.argument("file", type=options.FILE)
@_points_opts
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    file: Path,
    slide: Address | None,
    slide_name: str | None,
    mpp: float | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Show what FILE holds: format, number of points, slides, classes, frame, unit, extent, scores, raters."""
    from wsiamf.candidates.inspecting import inspect_points
    from wsiamf.files import dump_json

    with _meant(slide, slide_name, mpp) as meant:
        facts = inspect_points(file, meant, **chosen)
    click.echo(dump_json(facts).rstrip() if as_json else "\n".join(_lines(facts)))


@points.command()
@click.argument("file", type=options.FILE)
@click.argument("out", type=options.FILE)
@_points_opts
@options.raters_opt
@click.option("--skip-bad-points", is_flag=True, help="Leave rows out that cannot be used.")
@options.overwrite_opt
def convert(
    file: Path,
    out: Path,
    slide: Address | None,
    slide_name: str | None,
    mpp: float | None,
    **chosen: Any,
) -> None:
    """Write the points of FILE as OUT: .csv, .tsv or .parquet in level-0 px, .geojson in QuPath's frame."""

    from wsiamf.export.points import convert_points

    with _meant(slide, slide_name, mpp) as meant:
        done = convert_points(file, out, meant, **chosen)
    for note in done.notes:
        logging.getLogger(__name__).warning("%s: %s", file.name, note)
    click.echo(str(out))


@contextmanager
def _meant(slide: Address | None, slide_name: str | None, mpp: float | None) -> Iterator[SlideLike]:
    """The slide whose points are meant, with what is known of it."""
    from wsiamf.candidates.raw import NamedSlide
    from wsiamf.slides import open_slide

    if slide is None:
        if mpp is not None:
            raise click.UsageError("--mpp belongs to --slide; pass the slide too.")
        yield NamedSlide(slide_name or "")
        return
    with open_slide(slide, mpp=mpp) as opened:
        if opened.mpp_warning:
            logging.getLogger(__name__).warning("%s", opened.mpp_warning)
        yield NamedSlide(slide_name or opened.name, opened.frame)


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"{key:<12} {_text(value)}" for key, value in facts.items() if key not in ("schema", "raters")]
    for name, rater in (facts["raters"] or {}).items():
        vote = "labels are votes" if rater["votes_count"] else "labels are votes with --raters"
        lines.append(f"rater {printable(name)}: {_text(rater['classes'])}; AMF and NMF {vote}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, dict):
        if value.keys() == {"min", "max"}:
            return f"{value['min']:.10g} to {value['max']:.10g}"
        shown = [f"{printable(key) or '(none)'} {_text(item)}" for key, item in list(value.items())[:_SHOWN]]
        more = [f"and {len(value) - _SHOWN:,} more"] if len(value) > _SHOWN else []
        return ", ".join([*shown, *more])
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else printable(str(value))
