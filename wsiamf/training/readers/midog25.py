"""MIDOG 2025 track 2: its annotation CSV and a folder of the crops that the column ``image_id`` names.

Expert 3 voted mostly where the first two disagreed, so whether that vote is there says something of the crop: hardness is
a split among the votes, never the presence of the third.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from wsiamf.config import SetConfig
from wsiamf.training.readers.label_rows import LabelRows, describe_rows
from wsiamf.training.readers.label_table import LabelTable
from wsiamf.training.readers.places import crops_folder, set_table

_NAME: Final = "MIDOG25"
_VOTES: Final = {f"midog25/{k}": f"expert{k}" for k in (1, 2, 3)}
_WORDS: Final = {"amf": 1.0, "nmf": 0.0}
_PLACES: Final = ("image_id", "filename", "coordinateX", "coordinateY", "Tumor")


def read_midog25(config: SetConfig, root: Path) -> LabelRows:
    """Read the annotation CSV of MIDOG 2025 track 2."""
    source = LabelTable.read(set_table(config, root), [*_PLACES, *_VOTES.values(), "majority"])
    columns = {
        "set": config.name or _NAME,
        "file": source.filled("image_id"),
        "slide": f"{_NAME}/" + source.filled("filename"),
        "domain": source.names("Tumor"),
        "x": source.numbers("coordinateX"),
        "y": source.numbers("coordinateY"),
    }
    return describe_rows(
        source,
        columns,
        folder=crops_folder(config, root),
        file_column="image_id",
        votes=pd.DataFrame({rater: source.classes(column, _WORDS) for rater, column in _VOTES.items()}),
        majority=source.labels("majority", _WORDS),
    )
