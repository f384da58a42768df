"""A set's crop images: all of them there, all of them readable, of the right size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsiamf.crops import CROP_PX, paint_padding_white, read_crop_image
from wsiamf.errors import CropError, TrainingError
from wsiamf.training.readers.label_table import and_more


def read_crops(paths: Sequence[Path], table_name: str) -> NDArray[np.uint8]:
    """Read crops, (N, S, S, 3), and paint their padding white.

    Args:
        paths: One a row.
        table_name: What errors call the table that the rows stand in.

    Raises:
        TrainingError: A crop is missing (looked at before any is decoded), unreadable or of another size; names the first
            such row and how many more there are.
    """
    _refuse(table_name, {row: f"{path}: no such crop" for row, path in enumerate(paths, 1) if not path.is_file()})
    crops = np.empty((len(paths), CROP_PX, CROP_PX, 3), dtype=np.uint8)
    problems: dict[int, str] = {}
    for row, path in enumerate(paths, start=1):
        try:
            crops[row - 1] = _read(path)
        except CropError as error:
            problems[row] = str(error).removesuffix(".")
    _refuse(table_name, problems)
    return paint_padding_white(crops)


def _refuse(table_name: str, problems: dict[int, str]) -> None:
    """Raise for the first of the rows that have a problem."""
    if problems:
        row, reason = next(iter(problems.items()))
        raise TrainingError(f"{table_name}, row {row}: {reason}{and_more(len(problems) - 1)}.")


def _read(path: Path) -> NDArray[np.uint8]:
    crop = read_crop_image(path)
    if crop.shape != (CROP_PX, CROP_PX, 3):
        raise CropError(f"{path}: is {crop.shape[1]}x{crop.shape[0]} px, not {CROP_PX}x{CROP_PX}")
    return crop
