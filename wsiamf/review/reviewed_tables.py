"""A slide's reviewed files, beside its originals and never over them: the table, QuPath detections, added figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wsiamf.classes import CLASS_COLORS, NON_MITOTIC, NON_MITOTIC_COLOR, UNRESOLVED, UNRESOLVED_COLOR
from wsiamf.export.qupath import Feature, feature, measurements, square_ring, write_features
from wsiamf.export.results import SlideResult
from wsiamf.export.rows import Figure, counted_positions, figures_at
from wsiamf.files import atomic_file
from wsiamf.geometry import FIGURE_BOX_UM, SlideFrame
from wsiamf.predictions import ROWS_AT_A_TIME, arrow_table, write_csv
from wsiamf.review.answers import ADDED, FIGURE
from wsiamf.summary.ranking import expert_columns_in

TABLE: Final = "reviewed_predictions"
DETECTIONS: Final = "reviewed_detections.geojson"
ADDED_TABLE: Final = "added_figures.csv"
ADDED_BY_READER: Final = "added by a reader"
_COLORS: Final = {**CLASS_COLORS, NON_MITOTIC: NON_MITOTIC_COLOR, UNRESOLVED: UNRESOLVED_COLOR}
_APPENDED: Final = {
    "final_label": pa.string(),
    "n_readers": pa.int64(),
    "adjudicate": pa.bool_(),
    "reviewed": pa.bool_(),
}
_OF_ADDED: Final = ["uuid", "x", "y", "x_um", "y_um", "final_label", "n_readers", "adjudicate", "answers", "near_um"]


def write_reviewed(folder: Path, result: SlideResult, settled: pd.DataFrame) -> None:
    """Write a slide's reviewed table, detections and added figures into a new folder.

    Args:
        folder: Where to; it exists and is empty.
        result: The slide's results.
        settled: Its rows of ``Settled.table``.

    Raises:
        OutputError: A file cannot be written.
    """
    table = result.table()
    figures = settled[settled["kind"] == FIGURE]
    counted = counted_positions(table)
    assert table["uuid"].iloc[counted].tolist() == figures["uuid"].tolist(), "rows that count are the figures, in order"
    _write_table(folder, table, _appended(len(table), counted, figures))
    added = _placed(settled[settled["kind"] == ADDED], result.frame)
    write_features(folder / DETECTIONS, _features(table, counted, figures, added, result))
    with atomic_file(folder / ADDED_TABLE) as temporary:
        added[_OF_ADDED].to_csv(temporary, index=False, lineterminator="\n")


def _appended(n_rows: int, counted: np.ndarray, figures: pd.DataFrame) -> dict[str, pa.Array]:
    """The new columns over all rows of the table; rows that do not count have no label and no readers."""
    empty: dict[str, Any] = {"final_label": None, "n_readers": 0, "adjudicate": False, "reviewed": False}
    columns = {}
    for name, kind in _APPENDED.items():
        values = np.full(n_rows, empty[name], dtype=object)
        values[counted] = figures[name].astype(object).where(figures[name].notna(), None).to_numpy()
        columns[name] = pa.array(values.tolist(), type=kind)
    return columns


def _write_table(folder: Path, table: pd.DataFrame, columns: dict[str, pa.Array]) -> None:
    arrow = arrow_table(table, len(expert_columns_in(table)))
    for name, values in columns.items():
        arrow = arrow.append_column(name, values)
    arrow = arrow.combine_chunks()
    with atomic_file(folder / f"{TABLE}.parquet") as path:
        pq.write_table(arrow, path, compression="zstd", row_group_size=ROWS_AT_A_TIME)
    with atomic_file(folder / f"{TABLE}.csv") as path:
        write_csv([arrow], path)


def _placed(added: pd.DataFrame, frame: SlideFrame) -> pd.DataFrame:
    """Added figures with their place in every frame."""
    x, y = frame.px_from_um(added["x_um"]), frame.px_from_um(added["y_um"])
    x_qupath, y_qupath = frame.qupath_from_level0(x, y)
    return added.assign(x=x.round(3), y=y.round(3), x_qupath=x_qupath, y_qupath=y_qupath)


def _features(
    table: pd.DataFrame, counted: np.ndarray, figures: pd.DataFrame, added: pd.DataFrame, result: SlideResult
) -> Iterator[Feature]:
    side_px = FIGURE_BOX_UM / result.frame.mpp
    found = figures_at(table, counted, len(expert_columns_in(table)))
    for figure, row in zip(found, figures.itertuples(), strict=True):
        yield _detection(figure, row, side_px, result.model)
    for row in map(_as_any, added.itertuples()):
        properties = {
            "objectType": "detection",
            "name": "added",
            **_class_of(row.final_label),
            "measurements": {"Readers": int(row.n_readers)},
            "metadata": {
                "source": ADDED_BY_READER,
                "final_label": _class_of(row.final_label)["classification"]["name"],
                "answers": str(row.answers),
            },
        }
        yield feature(str(row.uuid), square_ring((float(row.x_qupath), float(row.y_qupath)), side_px), properties)


def _as_any(row: Any) -> Any:
    """A row of ``itertuples``, whose fields stubs do not know."""
    return row


def _detection(figure: Figure, row: Any, side_px: float, model: str) -> Feature:
    properties = {
        "objectType": "detection",
        "name": figure.candidate_id,
        **_class_of(row.final_label),
        "measurements": {**measurements(figure), "Readers": int(row.n_readers)},
        "metadata": {
            "candidate_id": figure.candidate_id,
            "model": model,
            "model_label": figure.label,
            "final_label": _class_of(row.final_label)["classification"]["name"],
            "label_from": str(row.source),
            "answers": str(row.answers),
        },
    }
    return feature(figure.uuid, square_ring((figure.x_qupath, figure.y_qupath), side_px), properties)


def _class_of(final_label: object) -> dict[str, Any]:
    name = final_label if isinstance(final_label, str) else UNRESOLVED
    return {"classification": {"name": name, "color": list(_COLORS[name])}}
