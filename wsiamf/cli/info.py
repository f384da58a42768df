"""``wsiamf info``."""

from __future__ import annotations

import logging
from typing import Any

import click

from wsiamf.addresses import Address
from wsiamf.cli import options

SCHEMA = "wsiamf.info/1"


@click.command()
@click.argument("slide", type=options.SLIDE)
@options.mpp_opt
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(slide: Address, mpp: float | None, as_json: bool) -> None:
    """Show what SLIDE holds: size, resolution and where it comes from, levels, tiles, bounds, fingerprint.

    SLIDE is a file or, for DICOM and OME-Zarr, a folder.
    """
    from wsiamf.files import dump_json
    from wsiamf.slides import open_slide, slide_facts

    with open_slide(slide, mpp=mpp) as opened:
        facts = slide_facts(opened)
        if opened.mpp_warning:
            logging.getLogger(__name__).warning("%s", opened.mpp_warning)
    click.echo(dump_json({"schema": SCHEMA, **facts}).rstrip() if as_json else "\n".join(_lines(facts)))


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"{key:<16} {_text(value)}" for key, value in facts.items() if key != "levels"]
    for number, level in enumerate(facts["levels"]):
        described = ", ".join(f"{key} {_text(value)}" for key, value in level.items())
        lines.append(f"{f'level {number}':<16} {described}")
    return lines


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
