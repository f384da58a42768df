"""The name that a slide's results stand under."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wsiamf.errors import ConfigError

SLIDE_SUFFIXES: Final = (
    ".ome.tiff",
    ".ome.tif",
    ".ome.btf",
    ".qptiff",
    ".svslide",
    ".tiff",
    ".tif",
    ".btf",
    ".svs",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".czi",
    ".dcm",
    ".vms",
    ".vmu",
)
"""Suffixes that are no part of a slide's name, the longer before those that they end with."""


def slide_stem(path: Path, slide_id: str | None = None) -> str:
    """The name of a slide's folder of results: always one path component.

    Args:
        path: The slide; a file loses its known suffix (``a.b.svs`` -> ``a.b``), a folder keeps its whole name.
        slide_id: A name to use instead.

    Raises:
        ConfigError: ``slide_id`` is not one path component.
    """
    if slide_id is not None:
        return _checked(slide_id)
    name = path.absolute().name
    if path.is_dir():
        return name
    suffix = next((end for end in SLIDE_SUFFIXES if name.lower().endswith(end)), "")
    return name[: len(name) - len(suffix)] or name


def _checked(slide_id: str) -> str:
    if not slide_id.strip() or slide_id in {".", ".."} or not slide_id.isprintable() or set(slide_id) & set('/\\:*?"<>|'):
        raise ConfigError(f"--slide-id {slide_id!r}: must be one plain folder name, without / \\ : * ? \" < > |.")
    return slide_id
