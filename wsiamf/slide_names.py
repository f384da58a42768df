"""File names of slides: which suffixes are a slide's, and what a slide's folder of results is called."""

from __future__ import annotations

import re
from pathlib import Path

from wsiamf.addresses import Address, Url
from wsiamf.errors import ConfigError

# Only known suffixes are cut off: in "case.12" (no suffix written) the ".12" belongs to the name.
_SUFFIX = re.compile(
    r"(\.ome)?\.(svs|tiff?|btf|ndpi|mrxs|scn|vms|vmu|bif|svslide|dcm|zarr|czi|qptiff|isyntax|png|jpe?g|mha)$",
    re.IGNORECASE,
)


_PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".mha"})  # of crops and labels more often than of slides


def is_slide_name(name: str) -> bool:
    """Whether a file in a folder of slides is one, by its suffix; hidden files (``._slide.svs`` of a Mac) are not."""
    return (
        not name.startswith(".") and bool(_SUFFIX.search(name)) and Path(name).suffix.lower() not in _PICTURE_SUFFIXES
    )


def base_name(name: str) -> str:
    """The last part of a path, whether it is written with ``/`` or, as on Windows, with a backslash."""
    return re.split(r"[/\\]", name.strip())[-1]


def slide_stem(name: str) -> str:
    """Base name without a known slide suffix (``.ome.tiff`` is one)."""
    return _SUFFIX.sub("", base_name(name))


def result_folder_name(slide: Address, slide_id: str | None) -> str:
    """Name of a slide's folder of results: ``slide_id``, else its stem (a slide that is a folder keeps its whole name).

    Raises:
        ConfigError: ``slide_id`` is no single path component, or is needed, since an address ends in no name.
    """
    if slide_id is None:
        if isinstance(slide, Url):
            return _name_of_url(slide)
        name = slide.absolute().name
        return name if slide.is_dir() else slide_stem(name) or name
    if (
        not slide_id.strip()
        or slide_id in {".", ".."}
        or not slide_id.isprintable()
        or set(slide_id) & set('/\\:*?"<>|')
    ):
        raise ConfigError(f'--slide-id {slide_id!r}: must be one plain folder name, without / \\ : * ? " < > |.')
    return slide_id


def _name_of_url(url: Url) -> str:
    name = base_name(url.name)
    if url.suffix.lower() != ".zarr":  # which is a folder, and folders keep their whole names
        name = slide_stem(name) or name
    if name in {"", ".", ".."} or not name.isprintable():
        raise ConfigError(f"{url}: ends in no name that a folder could have; give one with --slide-id.")
    return name
