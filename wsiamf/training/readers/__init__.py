"""One reader a layout of labelled crops; each gives the rows of the set and a way to read its crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from wsiamf.config import SetConfig
from wsiamf.training.readers.ami_br import read_ami_br
from wsiamf.training.readers.atnorm_md import read_atnorm_md
from wsiamf.training.readers.label_rows import LabelRows, hardness
from wsiamf.training.readers.manifest import read_manifest
from wsiamf.training.readers.midog25 import read_midog25
from wsiamf.training.readers.store import read_store

__all__ = ["READERS", "LabelRows", "hardness"]

READERS: Final[dict[str, Callable[[SetConfig, Path], LabelRows]]] = {
    "ami-br": read_ami_br,
    "atnorm-md": read_atnorm_md,
    "midog25": read_midog25,
    "manifest": read_manifest,
    "store": read_store,
}
"""By ``SetConfig.kind``."""
