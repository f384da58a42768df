"""Where a slide is now that was somewhere else when its results were made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from wsiamf.addresses import Address
from wsiamf.errors import SlideError, SlideNotFoundError
from wsiamf.slides.opening import read_fingerprint
from wsiamf.slides.parts import is_zarr


def find_slide(name: str, fingerprint: str, recorded: Address, folders: Sequence[Path] = ()) -> Address:
    """Find a slide's file: where it was, else by its name in folders and all that lies below them.

    A file of the right name counts only if its content is the slide's too, so that results are never shown on another slide.

    Args:
        name: The slide's own name, with its suffix.
        fingerprint: As ``Slide.fingerprint``.
        recorded: Where it was when its results were made, which may be an address.
        folders: Searched one after the other where it is there no more.

    Raises:
        SlideNotFoundError: It is nowhere, or only other slides of its name are; names the slide and ``--slides``.
    """
    others = []
    for path in _places(name, recorded, folders):
        if isinstance(path, Path) and not path.exists():
            continue
        if _is_slide(path, fingerprint):
            return path
        others.append(path)
    raise SlideNotFoundError(_nowhere(name, recorded, folders, others))


def _places(name: str, recorded: Address, folders: Sequence[Path]) -> Iterator[Address]:
    yield recorded
    for folder in folders:
        for parent, below, files in os.walk(folder):  # links to folders are not followed, so that no ring holds it up
            found = name in files or name in below
            below[:] = sorted(one for one in below if not is_zarr(Path(parent, one)))  # of chunks a store has millions
            if found:
                yield Path(parent, name)


def _is_slide(path: Address, fingerprint: str) -> bool:
    try:
        return read_fingerprint(path) == fingerprint
    except SlideError:
        return False


def _nowhere(name: str, recorded: Address, folders: Sequence[Path], others: Sequence[Address]) -> str:
    if others:
        return (
            f"{name}: {others[0]} has this name and is another slide, or was changed since the results were made; "
            "name the folder of the right one with --slides."
        )
    looked = ", ".join(str(folder) for folder in folders)
    return (
        f"{name}: is no longer at {recorded}" + (f", nor below {looked}" if looked else "") + "; "
        "name the folder where it is now with --slides."
    )
