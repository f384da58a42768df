"""What is written and ranked in parts: equal to what is made at once, and memory that does not grow with the table."""

from __future__ import annotations

import tracemalloc
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from tests.made_predictions import EXPERTS, FINGERPRINT, FRAME, MODEL, made_table
from wsiamf import predictions
from wsiamf.export import rows, tables
from wsiamf.export.qupath import write_detections, write_review
from wsiamf.export.tables import write_hard_cases
from wsiamf.export.uuids import DETECTION, NAMESPACE, assign_uuids
from wsiamf.predictions import arrow_table, read_predictions, write_predictions
from wsiamf.summary import neighbours, rank_for_review, ranking
from wsiamf.summary.neighbours import nearest_beyond

Writer = Callable[[Path, pd.DataFrame], None]
Floats = NDArray[np.float64]
MIB = 1 << 20


def detections(folder: Path, table: pd.DataFrame) -> None:
    write_detections(folder / "detections.geojson", table, frame=FRAME, model=MODEL, experts=EXPERTS)


def review(folder: Path, table: pd.DataFrame) -> None:
    path = folder / "review.geojson"
    write_review(path, table, None, frame=FRAME, fingerprint=FINGERPRINT, model=MODEL, experts=EXPERTS)


def hard_cases(folder: Path, table: pd.DataFrame) -> None:
    write_hard_cases(folder / "hard_cases.csv", table)


def all_predictions(folder: Path, table: pd.DataFrame) -> None:
    write_predictions(table, folder, n_experts=3)


def contents(folder: Path, table: pd.DataFrame, *writers: Writer) -> dict[str, bytes]:
    folder.mkdir()
    for write in writers:
        write(folder, table)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def peak_mib(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("at_a_time", [1, 5, 40, 41])
def test_what_is_written_in_parts_equals_the_whole(
    at_a_time: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = made_table(41)
    whole = contents(tmp_path / "whole", table, detections, review, hard_cases)
    monkeypatch.setattr(rows, "ROWS_AT_A_TIME", at_a_time)
    monkeypatch.setattr(tables, "ROWS_AT_A_TIME", at_a_time)
    assert contents(tmp_path / "parts", table, detections, review, hard_cases) == whole


@pytest.mark.parametrize("n_rows", [0, 39, 40, 41, 81])
def test_tables_in_parts_equal_those_of_the_whole_arrow_table(
    n_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "ROWS_AT_A_TIME", 40)
    table = made_table(81).iloc[:n_rows]
    parts = contents(tmp_path / "parts", table, all_predictions)
    whole = arrow_table(table, 3)
    pq.write_table(whole, tmp_path / "whole.parquet", row_group_size=40, compression="zstd")
    options = pa_csv.WriteOptions(quoting_style="needed", quoting_header="none")
    pa_csv.write_csv(whole, tmp_path / "whole.csv", options)
    assert parts["predictions.parquet"] == (tmp_path / "whole.parquet").read_bytes()
    assert parts["predictions.csv"] == (tmp_path / "whole.csv").read_bytes()


def test_how_pandas_holds_a_column_does_not_show_in_the_files(tmp_path: Path) -> None:
    table = made_table(50).astype({"review_reason": "str"})
    pieces = table.assign(review_reason=pd.concat([table["review_reason"][:7], table["review_reason"][7:]]))
    assert contents(tmp_path / "a", table, all_predictions) == contents(tmp_path / "b", pieces, all_predictions)


def test_no_more_than_a_row_group_is_converted_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = []

    def counting(frame: pd.DataFrame, n_experts: int) -> pa.Table:
        converted.append(len(frame))
        return arrow_table(frame, n_experts)

    monkeypatch.setattr(predictions, "ROWS_AT_A_TIME", 40)
    monkeypatch.setattr(predictions, "arrow_table", counting)
    write_predictions(made_table(81), tmp_path, n_experts=3)
    assert converted == [40, 40, 1] * 2  # Parquet and CSV


@pytest.mark.parametrize("write", [detections, review, hard_cases])
def test_memory_does_not_grow_with_the_table(write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "ROWS_AT_A_TIME", 250)
    monkeypatch.setattr(tables, "ROWS_AT_A_TIME", 250)
    small = made_table(500).assign(hard=True)
    write(tmp_path, small)  # what is loaded at the first call is not counted
    large = pd.concat([small] * 6, ignore_index=True)
    a_row = 200 / MIB  # numbers of the rows, flags, places: far less than a row's values of Python, 3 KiB
    allowed = 1.2 * peak_mib(lambda: write(tmp_path, small)) + a_row * (len(large) - len(small))
    assert peak_mib(lambda: write(tmp_path, large)) < allowed


def n_chunks(table: pd.DataFrame, name: str) -> int:
    """Of a column as Arrow holds it; taking rows from one in many copies all of it."""
    return int(pa.chunked_array(table[name].array.__arrow_array__()).num_chunks)


def test_a_column_read_back_is_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "ROWS_AT_A_TIME", 40)
    write_predictions(made_table(81), tmp_path, n_experts=3)
    assert pq.ParquetFile(tmp_path / "predictions.parquet").num_row_groups == 3
    assert n_chunks(read_predictions(tmp_path), "uuid") == 1


def test_uuids_are_those_of_the_names_counted_one_by_one() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(-3, 3, (2, 500)) + rng.choice([0.0, 0.49, -0.5, np.nan], (2, 500), p=[0.5, 0.2, 0.2, 0.1])
    seen: Counter[str] = Counter()
    expected = []
    for place in zip(x.tolist(), y.tolist(), strict=True):
        words = "/".join("-" if np.isnan(value) else str(int(np.floor(value + 0.5))) for value in place)
        expected.append(str(uuid.uuid5(NAMESPACE, f"{DETECTION}/{FINGERPRINT}/{words}/{seen[words]}")))
        seen[words] += 1
    assert assign_uuids(FINGERPRINT, DETECTION, x, y) == expected


def test_reasons_in_parts_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    table = made_table(60)
    whole = rank_for_review(table, threshold=0.5)
    monkeypatch.setattr(ranking, "_ROWS_AT_A_TIME", 7)
    in_parts = rank_for_review(table, threshold=0.5)
    pd.testing.assert_frame_equal(in_parts, whole)
    counted = table[table["status"] == "ok"].reset_index(drop=True)  # whose reasons are not put to other rows
    assert len(counted) > 7
    assert n_chunks(rank_for_review(counted, threshold=0.5), "review_reason") == 1
    assert rank_for_review(table.iloc[:0], threshold=0.5)["review_reason"].dtype == whole["review_reason"].dtype


def brute_force(points: Floats, least: float, most: float) -> Floats:
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    in_range = np.where((apart >= least) & (apart <= most), apart, np.inf).min(axis=1, initial=np.inf)
    return np.where(np.isfinite(in_range), in_range, np.nan)


# places 2.5 um apart, so that repeats and distances of exactly 7.5 and 15 um are common, and some between
PLACE = st.one_of(st.integers(0, 24).map(lambda k: 2.5 * k), st.floats(0, 60))


@pytest.mark.parametrize(("crowd", "boxes"), [(2048, 1 << 15), (0, 1 << 15), (6, 3)])
@settings(max_examples=40)
@given(places=st.lists(st.tuples(PLACE, PLACE), max_size=40))
def test_neighbours_in_a_crowd_equal_brute_force(crowd: int, boxes: int, places: list[tuple[float, float]]) -> None:
    points = np.asarray(places, dtype=np.float64).reshape(-1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_CROWD", crowd)
        patch.setattr(neighbours, "_BOXES_AT_A_TIME", boxes)
        patch.setattr(neighbours, "_PAIRS_AT_A_TIME", 10)
        found = nearest_beyond(points[:, 0], points[:, 1], 7.5, 15.0)
    np.testing.assert_array_equal(found, brute_force(points, 7.5, 15.0))


def test_a_crowd_takes_no_list_of_its_pairs() -> None:
    x, y = np.random.default_rng(4).normal(0, 4, (2, 4000))  # 8 million pairs, 122 MiB as a list
    assert peak_mib(lambda: nearest_beyond(x, y, 7.5, 15.0)) < 40
