"""AtNorM-MD as its authors publish it: ``AtNorM-MD_expert_votes.csv`` and ``<Atypical or Normal>/<Filename>``; no slides."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from wsiamf.config import SetConfig
from wsiamf.training.readers.label_rows import LabelRows, describe_rows
from wsiamf.training.readers.label_table import LabelTable
from wsiamf.training.readers.places import set_folder

_NAME: Final = "AtNorM-MD"
_VOTES: Final = {f"atnorm-md/{k}": f"Expert_{k}" for k in range(1, 6)}
_WORDS: Final = {"atypical": 1.0, "normal": 0.0}


def read_atnorm_md(config: SetConfig, root: Path) -> LabelRows:
    """Read the table in an AtNorM-MD folder."""
    folder = set_folder(config, root)
    source = LabelTable.read(folder / "AtNorM-MD_expert_votes.csv", ["Filename", *_VOTES.values(), "Majority"])
    majority = source.labels("Majority", _WORDS)
    side = majority.map({1.0: "Atypical", 0.0: "Normal"})
    return describe_rows(
        source,
        {"set": config.name or _NAME, "file": side + "/" + source.filled("Filename"), "domain": _NAME},
        folder=folder,
        file_column="Filename",
        votes=pd.DataFrame({rater: source.classes(column, _WORDS) for rater, column in _VOTES.items()}),
        majority=majority,
    )
