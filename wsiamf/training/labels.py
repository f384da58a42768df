"""Labelled crops: one set, whatever its layout, and the union of several with one vote column per rater.

Shapes: N = crops, S = crop side in px, K = raters, R = raters who gave a phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.config import SetConfig
from wsiamf.crops import crop_hash
from wsiamf.errors import TrainingError
from wsiamf.training.readers import READERS, hardness

__all__ = ["LabelledCrops", "hardness", "read_labelled_set", "union"]


@dataclass(frozen=True)
class LabelledCrops:
    """Crops with what the experts said of each.

    Args:
        crops_NSS3: RGB uint8, padding painted white.
        table: One row a crop: ``set`` (its name), ``file``, ``slide`` and ``case`` (None unknown), ``group`` (what to split by
            in their place, None for none), ``domain`` (None unknown), ``x, y`` (centre in level-0 px, NaN unknown), ``weight``
            in the loss, ``amf`` (majority, 0/1), ``hard`` (1 the raters disagreed, 0 they agreed, NaN below two votes),
            ``n_votes`` (of all raters).
        votes: One column a rater id: 1 AMF, 0 NMF, NaN no vote.
        phases_NR: Index into ``classes.PHASES``, -1 where none was given.
    """

    crops_NSS3: NDArray[np.uint8]
    table: pd.DataFrame
    votes: pd.DataFrame
    phases_NR: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def raters(self) -> tuple[str, ...]:
        """Rater ids in the order of the vote columns."""
        return tuple(self.votes.columns)

    @property
    def amf(self) -> NDArray[np.float64]:
        """1 AMF, 0 NMF by majority, (N,)."""
        return self.table["amf"].to_numpy(dtype=np.float64)

    @property
    def groups(self) -> pd.Series[str]:
        """What may not be torn apart by a split or a bootstrap: the given group, else the case, the slide, the crop itself."""
        part = self.table["file"].astype(object)
        for column in ("slide", "case", "group"):
            if column in self.table:
                part = self.table[column].fillna(part)
        return self.table["set"] + "/" + part

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """``crops.crop_hash`` of each crop."""
        return tuple(crop_hash(crop) for crop in self.crops_NSS3)

    def subset(self, rows: NDArray[np.intp]) -> LabelledCrops:
        """The given rows, in their order, with all raters' columns."""
        return LabelledCrops(
            self.crops_NSS3[rows],
            self.table.iloc[rows].reset_index(drop=True),
            self.votes.iloc[rows].reset_index(drop=True),
            self.phases_NR[rows],
        )


def read_labelled_set(config: SetConfig, root: Path) -> LabelledCrops:
    """Read one set: all its crops, the votes of the raters that the configuration names, its weight on every crop.

    Majority and hardness are those of all raters; a crop on which none of the named ones voted stays.

    Args:
        config: Its layout and place.
        root: The data folder.

    Raises:
        TrainingError: The set, its table or a crop is missing or malformed, or a rater is unknown; names the file and the row.
    """
    rows = READERS[config.kind](config, root)
    votes = _chosen(rows.votes, config)
    table = rows.table.assign(weight=rows.table["weight"] * config.weight)
    return LabelledCrops(rows.read_crops(), table, votes, rows.phases_NR)


def _chosen(votes: pd.DataFrame, config: SetConfig) -> pd.DataFrame:
    if config.raters is None:
        return votes
    if unknown := [rater for rater in config.raters if rater not in votes]:
        known = ", ".join(votes.columns)
        raise TrainingError(f"{config.path}: raters: there is no {unknown[0]}; the set's raters are {known}.")
    return votes[list(dict.fromkeys(config.raters))]


def union(sets: Sequence[LabelledCrops]) -> LabelledCrops:
    """All crops of several sets, one vote column per rater of any; a rater who did not see a set has no vote there."""
    return LabelledCrops(
        np.concatenate([one.crops_NSS3 for one in sets]),
        pd.concat([one.table for one in sets], ignore_index=True),
        pd.concat([one.votes for one in sets], ignore_index=True),
        np.concatenate([one.phases_NR for one in sets]),
    )
