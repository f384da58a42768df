"""Where a set's files are, said to be missing in words that name the option."""

from __future__ import annotations

from pathlib import Path

from wsiamf.config import SetConfig
from wsiamf.errors import TrainingError


def _remedy(path: str) -> str:
    """What to do about a path of a configuration; commands that are given a path themselves make it absolute."""
    if Path(path).is_absolute():
        return "."
    return "; the paths of sets are relative to the data folder: name it with --data or WSIAMF_DATA."


def set_folder(config: SetConfig, root: Path) -> Path:
    """The folder that a set's path names."""
    folder = root / config.path
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder of crops{_remedy(config.path)}")
    return folder


def set_table(config: SetConfig, root: Path) -> Path:
    """The CSV that a set's path names."""
    table = root / config.path
    if not table.is_file():
        raise TrainingError(
            f"{table}: no such table of crops (kind: {config.kind} wants a CSV file){_remedy(config.path)}"
        )
    return table


def crops_folder(config: SetConfig, root: Path) -> Path:
    """The folder that the crops of a table are relative to."""
    folder = (root / config.path).parent if config.crops is None else root / config.crops
    if not folder.is_dir():
        raise TrainingError(f"crops: {folder}: no such folder{_remedy(config.crops or config.path)}")
    return folder
