"""A labelled set's CSV: cells as text, read into classes, numbers and names, each wrong cell named by column and row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.candidates.programs import LABELLED_BY, is_own
from wsiamf.errors import TrainingError

_SEPARATORS: Final = ",;\t"


def and_more(n: int) -> str:
    """How many more rows have the same fault."""
    return f" (and {n} more row{'s' if n > 1 else ''})" if n else ""


@dataclass(frozen=True)
class LabelTable:
    """The cells of a CSV, all of them text; rows are counted from 1, below the header.

    Args:
        path: The file.
        cells: One column a column of the file, outer blanks removed; empty text where nothing stands.
    """

    path: Path
    cells: pd.DataFrame

    def __len__(self) -> int:
        return len(self.cells)

    @classmethod
    def read(cls, path: Path, needed: Sequence[str]) -> LabelTable:
        """Read a comma, semicolon or tab separated file.

        Raises:
            TrainingError: It is missing, no such text, lacks a needed column, has no rows, or a model of wsiamf labelled some.
        """
        try:
            with path.open(encoding="utf-8-sig") as stream:
                header = stream.readline()
            separator = max(_SEPARATORS, key=header.count)
            cells = pd.read_csv(
                path, sep=separator, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise TrainingError(f"{path}: not a readable CSV: {reason}.") from error
        cells = cells.fillna("").apply(lambda column: column.str.strip())  # a short row's missing cells are NaN
        cells.columns = cells.columns.str.strip()
        if missing := [name for name in needed if name not in cells]:
            raise TrainingError(f"{path}: lacks the column(s) {', '.join(missing)}; has {', '.join(cells.columns)}.")
        if cells.empty:
            raise TrainingError(f"{path}: has no rows.")
        table = cls(path, cells)
        if LABELLED_BY in cells:
            by_model = cells[LABELLED_BY].map(is_own)
            table.refuse(
                by_model,
                LABELLED_BY,
                "gave this label, and no person; correct it and empty the cell, or leave the row out",
            )
        return table

    def names(self, column: str) -> pd.Series[Any]:
        """A column of names, None where a cell is empty or there is no such column."""
        if column not in self.cells:
            return pd.Series([None] * len(self), dtype=object)
        return self.cells[column].astype(object).where(self.cells[column] != "", None)

    def filled(self, column: str) -> pd.Series[str]:
        """A column of names that every row must have."""
        self.refuse(self.cells[column] == "", column, "is no name")
        return self.cells[column]

    def classes(self, column: str, words: Mapping[str, float]) -> pd.Series[float]:
        """A column of class words as numbers, NaN where a cell is empty; upper and lower case are alike.

        Args:
            column: Its name.
            words: Lower-case word -> 1 AMF, 0 NMF.
        """
        classes = self.cells[column].str.casefold().map(words).astype(np.float64)
        self.refuse(classes.isna() & (self.cells[column] != ""), column, f"is none of {', '.join(words)}")
        return classes

    def labels(self, column: str, words: Mapping[str, float]) -> pd.Series[float]:
        """As ``classes``, of a column in which every row must have one."""
        labels = self.classes(column, words)
        self.refuse(labels.isna(), column, "is no label")
        return labels

    def numbers(self, column: str, default: float = np.nan) -> pd.Series[float]:
        """A column of finite numbers; the default where a cell is empty or there is no such column."""
        if column not in self.cells:
            return pd.Series(default, index=self.cells.index, dtype=np.float64)
        cells = self.cells[column]
        numbers = pd.to_numeric(cells, errors="coerce").astype(np.float64)
        self.refuse(~numbers.between(-np.inf, np.inf, inclusive="neither") & (cells != ""), column, "is no number")
        return numbers.fillna(default)

    def refuse(self, wrong: pd.Series[bool], column: str, reason: str) -> None:
        """Raise a ``TrainingError`` that names the first wrong row, its cell, and how many more there are."""
        rows: NDArray[np.intp] = np.flatnonzero(wrong.to_numpy(dtype=bool))
        if len(rows):
            row = int(rows[0])
            cell = self.cells[column].iloc[row]
            raise TrainingError(
                f"{self.path.name}: {column}, row {row + 1}: {cell!r} {reason}{and_more(len(rows) - 1)}."
            )
