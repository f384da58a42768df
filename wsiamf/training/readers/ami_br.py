"""AMi-Br as its authors publish it: ``AMI-BR.csv`` and ``patches/<atypical or normal>/<dataset>_<uid>.png``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from wsiamf.classes import PHASES
from wsiamf.config import SetConfig
from wsiamf.training.readers.label_rows import LabelRows, describe_rows
from wsiamf.training.readers.label_table import LabelTable
from wsiamf.training.readers.places import set_folder

_VOTES: Final = {f"ami-br/{k}": f"expert{k}_atypical" for k in (1, 2, 3)}
_PHASES: Final = ("expert1_label", "expert2_label")
_MAJORITY: Final = "majority_atypical"
_WORDS: Final = {"true": 1.0, "false": 0.0}
_PHASE_WORDS: Final = {name.casefold(): float(index) for index, name in enumerate(PHASES)} | {
    "amf bipolar assymetric": float(PHASES.index("AMF bipolar asymmetric"))  # the file's spelling
}


def read_ami_br(config: SetConfig, root: Path) -> LabelRows:
    """Read the table in an AMi-Br folder."""
    needed = ["slide", "dataset", "uid", "x", "y", *_PHASES, *_VOTES.values(), _MAJORITY]
    source = LabelTable.read(set_folder(config, root) / "AMI-BR.csv", needed)
    majority = source.labels(_MAJORITY, _WORDS)
    dataset = source.filled("dataset")
    side = majority.map({1.0: "atypical", 0.0: "normal"})
    columns = {
        "set": config.name or "AMi-Br",
        "file": "patches/" + side + "/" + dataset + "_" + source.filled("uid") + ".png",
        "slide": dataset + "/" + source.filled("slide"),
        "domain": "human breast (" + dataset + ")",
        "x": source.numbers("x"),
        "y": source.numbers("y"),
    }
    phases = pd.DataFrame({column: source.classes(column, _PHASE_WORDS) for column in _PHASES})
    return describe_rows(
        source,
        columns,
        folder=source.path.parent,
        file_column="uid",
        votes=pd.DataFrame({rater: source.classes(column, _WORDS) for rater, column in _VOTES.items()}),
        majority=majority,
        phases_NR=phases.fillna(-1).to_numpy(dtype="int64"),
    )
