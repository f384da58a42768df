"""``wsiamf review serve``, which ``wsiamf review OUT`` calls."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from wsiamf.cli import options
from wsiamf.errors import ReviewError

_LIBRARIES: Final = {"starlette", "uvicorn"}


@click.command("serve")
@click.argument("out", type=options.FILE)
@options.slides_opt
@click.option("--host", default="127.0.0.1", show_default=True, help="Name or address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port; 0, the default, takes the one that OUT was served on last, or any that is free.",
)
@click.option("--reader", help="Who reviews; without it the page asks.")
@click.option("--blinded", is_flag=True, help="Hide calls, probabilities, ranks, reasons and other readers; shuffle.")
@options.adjudicator_opt
@click.option("--no-browser", is_flag=True, help="Only print the link.")
def serve(
    out: Path,
    slides: tuple[Path, ...],
    host: str,
    port: int,
    *,
    reader: str | None,
    blinded: bool,
    adjudicator: str | None,
    no_browser: bool,
) -> None:
    """Review the figures in OUT in the browser.

    OUT is the folder that screen or cohort wrote. The link is printed on stdout; it lets
    whoever has it in, so keep it to yourself. Decisions go to OUT/review/decisions.sqlite as they are made. Ctrl-C ends.
    """
    try:
        from wsiamf.review.server.running import serve_review
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        raise ReviewError(f"the review needs {error.name}: pip install 'wsiamf[review]'.") from error

    def announce(link: str) -> None:
        click.echo(link)
        click.echo("Open the link in a browser on this machine; Ctrl-C ends.", err=True)
        if not no_browser:
            click.launch(link)

    serve_review(
        out,
        announce=announce,
        slide_folders=slides,
        host=host,
        port=port,
        reader=reader,
        blinded=blinded,
        adjudicator=adjudicator,
    )
