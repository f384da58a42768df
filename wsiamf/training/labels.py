"""Labelled sets of crops: one reader per layout, and their union with one vote column per rater.

Shapes: N = crops, S = crop side in px, K = raters, R = raters who gave a phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import PHASES
from wsiamf.config import SetConfig
from wsiamf.crops import CROP_PX, paint_padding_white, read_crop_image
from wsiamf.errors import CropError, TrainingError

SET_NAMES: Final = {"ami-br": "AMi-Br", "atnorm-md": "AtNorM-MD"}
_PHASE_INDEX: Final = {name: index for index, name in enumerate(PHASES)} | {
    "AMF bipolar assymetric": PHASES.index("AMF bipolar asymmetric")  # AMi-Br's spelling
}


@dataclass(frozen=True)
class LabelledCrops:
    """Crops with what the experts said of each.

    Args:
        crops_NSS3: RGB uint8, padding painted white.
        table: One row a crop: ``set`` (its name), ``file``, ``slide`` (None where the set has none), ``amf`` (majority, 0/1),
            ``hard`` (1 the raters disagreed, 0 they agreed, NaN below two votes).
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
        """What may not be torn apart by a split or a bootstrap: ``set/slide``, or the crop itself where there is no slide."""
        part = self.table["slide"].fillna(self.table["file"])
        return self.table["set"] + "/" + part

    def subset(self, rows: NDArray[np.intp]) -> LabelledCrops:
        """The given rows, in their order, with all raters' columns."""
        return LabelledCrops(
            self.crops_NSS3[rows],
            self.table.iloc[rows].reset_index(drop=True),
            self.votes.iloc[rows].reset_index(drop=True),
            self.phases_NR[rows],
        )


def read_labelled_set(config: SetConfig, root: Path) -> LabelledCrops:
    """Read one set.

    Raises:
        TrainingError: The folder, its table or a crop is missing or malformed; names the file and the row.
    """
    folder = root / config.path
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder of crops; name the data folder with --data or WSIAMF_DATA.")
    return _READERS[config.kind](folder)


def union(sets: Sequence[LabelledCrops]) -> LabelledCrops:
    """All crops of several sets, one vote column per rater of any; a rater who did not see a set has no vote there."""
    return LabelledCrops(
        np.concatenate([one.crops_NSS3 for one in sets]),
        pd.concat([one.table for one in sets], ignore_index=True),
        pd.concat([one.votes for one in sets], ignore_index=True),
        np.concatenate([one.phases_NR for one in sets]),
    )


def _read_ami_br(folder: Path) -> LabelledCrops:
    rows = _read_table(folder / "AMI-BR.csv", ["slide", "dataset", "uid", "majority_atypical"])
    votes = pd.DataFrame(
        {f"ami-br/{k}": _votes(rows, f"expert{k}_atypical", {"True": 1.0, "False": 0.0}) for k in (1, 2, 3)}
    )
    majority = _votes(rows, "majority_atypical", {"True": 1.0, "False": 0.0})
    side = majority.map({1.0: "atypical", 0.0: "normal"})
    files = "patches/" + side + "/" + rows["dataset"] + "_" + rows["uid"] + ".png"
    slides = rows["dataset"] + "/" + rows["slide"]
    phases = np.stack([_phases(rows, f"expert{k}_label") for k in (1, 2)], axis=1)
    return _labelled("AMi-Br", folder, files, slides, votes, majority, phases)


def _read_atnorm_md(folder: Path) -> LabelledCrops:
    rows = _read_table(folder / "AtNorM-MD_expert_votes.csv", ["Filename", "Majority"])
    words = {"Atypical": 1.0, "Normal": 0.0}
    votes = pd.DataFrame({f"atnorm-md/{k}": _votes(rows, f"Expert_{k}", words) for k in range(1, 6)})
    majority = _votes(rows, "Majority", words)
    files = majority.map({1.0: "Atypical", 0.0: "Normal"}) + "/" + rows["Filename"]
    slides = pd.Series([None] * len(rows), dtype=object)
    phases = np.full((len(rows), 2), -1, dtype=np.int64)
    return _labelled("AtNorM-MD", folder, files, slides, votes, majority, phases)


_READERS: Final[dict[str, Callable[[Path], LabelledCrops]]] = {"ami-br": _read_ami_br, "atnorm-md": _read_atnorm_md}


def _labelled(
    name: str,
    folder: Path,
    files: pd.Series[str],
    slides: pd.Series[str],
    votes: pd.DataFrame,
    majority: pd.Series[float],
    phases_NR: NDArray[np.int64],
) -> LabelledCrops:
    if majority.isna().any():
        raise TrainingError(f"{folder.name}: row {int(np.argmax(majority.isna())) + 1} has no majority label.")
    table = pd.DataFrame({"set": name, "file": files, "slide": slides, "amf": majority, "hard": hardness(votes)})
    crops = np.stack([_read_crop(folder / file, row) for row, file in enumerate(files, start=1)])
    return LabelledCrops(paint_padding_white(crops), table, votes, phases_NR)


def hardness(votes: pd.DataFrame) -> pd.Series[float]:
    """1 where the votes present differ, 0 where they agree, NaN below two votes."""
    split = votes.max(axis=1) > votes.min(axis=1)
    return split.astype(float).where(votes.notna().sum(axis=1) >= 2)


def _read_table(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: not a readable CSV: {error}.") from error
    if missing := [name for name in needed if name not in rows]:
        raise TrainingError(f"{path.name}: lacks the column(s) {', '.join(missing)}; has {', '.join(rows.columns)}.")
    if rows.empty:
        raise TrainingError(f"{path.name}: has no rows.")
    return rows


def _votes(rows: pd.DataFrame, column: str, words: dict[str, float]) -> pd.Series[float]:
    if column not in rows:
        raise TrainingError(f"column {column} is missing; the set's table has {', '.join(rows.columns)}.")
    votes = rows[column].map(words)
    wrong = votes.isna() & (rows[column] != "")
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TrainingError(f"{column}, row {row + 1}: {rows[column][row]!r} is none of {', '.join(words)}.")
    return votes


def _phases(rows: pd.DataFrame, column: str) -> NDArray[np.int64]:
    return rows[column].map(_PHASE_INDEX).fillna(-1).to_numpy(dtype=float).astype(np.int64)


def _read_crop(path: Path, row: int) -> NDArray[np.uint8]:
    try:
        crop = read_crop_image(path)
    except CropError as error:
        raise TrainingError(f"row {row}: {error}") from error
    if crop.shape != (CROP_PX, CROP_PX, 3):
        raise TrainingError(f"row {row}: {path.name} is {crop.shape[1]}x{crop.shape[0]} px, not {CROP_PX}x{CROP_PX}.")
    return crop
