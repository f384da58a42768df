"""A plain CSV of labelled crops: ``file``, and ``label`` or ``vote_<rater>`` columns or both; the rest is optional.

Optional are ``slide, case, group, domain, x, y`` (centre in level-0 px) and ``weight`` (in the loss, 1 where empty). ``group``
names what a split may not tear apart where that is neither the case nor the slide.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pandas as pd

from wsiamf.config import SetConfig
from wsiamf.errors import TrainingError
from wsiamf.training.readers.label_rows import LabelRows, describe_rows
from wsiamf.training.readers.label_table import LabelTable
from wsiamf.training.readers.places import crops_folder, set_table

_VOTE: Final = "vote_"
# "1.0" is what pandas makes of a column of 1 and 0 that has gaps.
_AMF: Final = ("amf", "atypical", "1", "1.0")
_NMF: Final = ("nmf", "normal", "0", "0.0")
_WORDS: Final = dict.fromkeys(_AMF, 1.0) | dict.fromkeys(_NMF, 0.0)


def read_manifest(config: SetConfig, root: Path) -> LabelRows:
    """Read a manifest.

    Raises:
        TrainingError: It has neither labels nor votes, or a row has neither a label nor a majority of votes.
    """
    source = LabelTable.read(set_table(config, root), ["file"])
    name = config.name or source.path.stem
    folder = crops_folder(config, root)
    columns = {key: source.names(key) for key in ("slide", "case", "group", "domain")}
    columns |= {key: source.numbers(key) for key in ("x", "y")}
    votes = _votes(source, name)
    return describe_rows(
        source,
        {"set": name, "file": _files(source, folder), "weight": _weights(source), **columns},
        folder=folder,
        file_column="file",
        votes=votes,
        majority=_majority(source, votes),
    )


def _files(source: LabelTable, folder: Path) -> pd.Series[str]:
    # As they are seen from the folder, so that no output names a place on this machine.
    return source.filled("file").map(lambda file: Path(os.path.relpath(folder / file, folder)).as_posix())


def _weights(source: LabelTable) -> pd.Series[float]:
    weights = source.numbers("weight", default=1.0)
    source.refuse(weights <= 0, "weight", "is not above 0")
    return weights


def _votes(source: LabelTable, set_name: str) -> pd.DataFrame:
    """One column a rater id; without any votes, the label is the one vote there is."""
    columns = {str(name).removeprefix(_VOTE): str(name) for name in source.cells if str(name).startswith(_VOTE)}
    if not columns and "label" not in source.cells:
        raise TrainingError(f"{source.path}: has neither a column label nor any column {_VOTE}<rater>.")
    return pd.DataFrame(
        {
            rater if "/" in rater else f"{set_name}/{rater}": source.classes(column, _WORDS)
            for rater, column in (columns or {"label": "label"}).items()
        }
    )


def _majority(source: LabelTable, votes: pd.DataFrame) -> pd.Series[float]:
    """The label where there is one, else what most raters voted."""
    share = votes.mean(axis=1)
    majority = (share > 0.5).astype(float).where(share.notna() & (share != 0.5))
    labels = source.classes("label", _WORDS) if "label" in source.cells else pd.Series(float("nan"), index=share.index)
    found = labels.fillna(majority)
    source.refuse(found.isna(), "file", "has no label, and its votes are none or a tie; give it a label")
    return found
