"""A crop store that ``wsiamf crops pack`` wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsiamf.config import SetConfig
from wsiamf.crop_store import CropStore, open_crop_store
from wsiamf.errors import CropError, TrainingError
from wsiamf.training.readers.label_rows import LabelRows, typed
from wsiamf.training.readers.places import set_folder


def read_store(config: SetConfig, root: Path) -> LabelRows:
    """Read what a crop store says of its crops; only ``name`` changes anything of it."""
    folder = set_folder(config, root)
    try:
        store = open_crop_store(folder)
    except CropError as error:
        raise TrainingError(str(error)) from error
    table = store.table if config.name is None else store.table.assign(set=config.name)
    return LabelRows(typed(table), store.votes, store.phases_NR, lambda: _read_crops(store))


def _read_crops(store: CropStore) -> NDArray[np.uint8]:
    try:
        return store.read_crops()
    except CropError as error:
        raise TrainingError(str(error)) from error
