"""The predictions table on disk: schema, nulls, equal bytes, versions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.made_predictions import made_table
from wsiamf.errors import OutputError
from wsiamf.predictions import SCHEMA, arrow_schema, arrow_table, expert_columns, read_predictions, write_predictions

COLUMNS = [  # the contract with every reader: only ever appended to
    *("candidate_id", "uuid", "source_row", "source_label", "x", "y", "x_um", "y_um", "x_qupath", "y_qupath", "score"),
    *("status", "duplicate_of", "p_atypical", "p_hard"),
    *("p_atypical_expert_1", "p_atypical_expert_2", "p_atypical_expert_3"),
    *("label", "hard", "review_rank", "review_reason", "crop_coverage", "in_hotspot", "conformal"),
]


def _restated(path: Path, schema: bytes | None) -> Path:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"schema": schema} if schema else {}), path)
    return path


def test_columns_stand_in_the_order_of_the_contract(tmp_path: Path) -> None:
    table = made_table()
    write_predictions(table[table.columns[::-1]], tmp_path, n_experts=3)  # whatever order the caller has
    assert pq.read_schema(tmp_path / "predictions.parquet").names == COLUMNS
    assert (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()[0] == ",".join(COLUMNS)


def test_experts_stand_in_the_order_of_the_model(tmp_path: Path) -> None:
    table = made_table(n_experts=11)
    for k in range(1, 12):
        table[f"p_atypical_expert_{k}"] = k / 100
    write_predictions(table, tmp_path, n_experts=11)
    read = read_predictions(tmp_path)
    experts = [name for name in read.columns if name.startswith("p_atypical_expert_")]
    assert experts == expert_columns(11) == [f"p_atypical_expert_{k}" for k in range(1, 12)]
    assert [read.loc[0, name] for name in experts] == [k / 100 for k in range(1, 12)]


def test_columns_beyond_the_schema_are_not_written(tmp_path: Path) -> None:
    table = made_table()
    table["sharpness"] = 1.0
    write_predictions(table, tmp_path, n_experts=3)
    assert "sharpness" not in read_predictions(tmp_path)


def test_values_come_back(tmp_path: Path) -> None:
    table = made_table(500)
    write_predictions(table, tmp_path, n_experts=3)
    read = read_predictions(tmp_path / "predictions.parquet")
    for name in table.columns:
        known = table[name].notna()
        assert (read[name].notna() == known).all(), name
        assert read.loc[known, name].tolist() == table.loc[known, name].tolist(), name


def test_nulls_are_nulls_in_both_files(tmp_path: Path) -> None:
    write_predictions(made_table(), tmp_path, n_experts=3)
    parquet = pq.read_table(tmp_path / "predictions.parquet")
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        last = list(csv.DictReader(stream))[-1]
    unknown = set(COLUMNS) - {"candidate_id", "uuid", "source_row", "status"}
    assert {name for name in COLUMNS if parquet[name][-1].as_py() is None} == unknown
    assert {name for name, cell in last.items() if cell == ""} == unknown
    assert "nan" not in (tmp_path / "predictions.csv").read_text(encoding="utf-8").lower()


def test_nan_becomes_null() -> None:
    table = made_table()
    table["score"], table["p_hard"] = np.nan, float("nan")
    arrow = arrow_table(table, 3)
    assert arrow["score"].null_count == arrow["p_hard"].null_count == 12


def test_types_hold_for_a_table_without_a_single_value() -> None:
    table = made_table().iloc[-1:]
    assert arrow_table(table, 3).schema == arrow_schema(3)
    assert arrow_table(made_table().iloc[:0], 3).schema == arrow_schema(3)


def test_ids_stay_text(tmp_path: Path) -> None:
    table = made_table()
    table["candidate_id"] = [f"00{row}" for row in range(12)]
    write_predictions(table, tmp_path, n_experts=3)
    assert read_predictions(tmp_path)["candidate_id"].tolist() == table["candidate_id"].tolist()


def test_commas_quotes_and_line_ends_survive_the_csv(tmp_path: Path) -> None:
    table = made_table()
    table["source_label"] = 'a "b", c\nd; µ'
    write_predictions(table, tmp_path, n_experts=3)
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["source_label"] for row in rows] == ['a "b", c\nd; µ'] * 12


def test_equal_tables_are_equal_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    table = made_table(70_000)  # more than one row group
    write_predictions(table, tmp_path / "a", n_experts=3)
    write_predictions(read_predictions(tmp_path / "a"), tmp_path / "b", n_experts=3)
    for name in ("predictions.parquet", "predictions.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert pq.ParquetFile(tmp_path / "a" / "predictions.parquet").num_row_groups == 2


def test_the_schema_is_stated() -> None:
    assert SCHEMA == "wsiamf.predictions/1"
    assert arrow_schema(3).metadata == {b"schema": b"wsiamf.predictions/1"}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (b"wsiamf.predictions/2", "newer than wsiamf.predictions/1; update wsiamf"),
        (b"wsiamf.summary/1", "not a table of predictions"),
        (b"wsiamf.predictions/one", "not a table of predictions"),
        (None, r"not a table of predictions \(schema none\)"),
    ],
)
def test_other_schemas_are_refused(schema: bytes | None, message: str, tmp_path: Path) -> None:
    write_predictions(made_table(), tmp_path, n_experts=3)
    path = _restated(tmp_path / "predictions.parquet", schema)
    with pytest.raises(OutputError, match=message) as caught:
        read_predictions(path)
    assert "predictions.parquet" in str(caught.value)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such predictions table"):
        read_predictions(tmp_path)
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(OutputError, match="not a readable Parquet file"):
        read_predictions(tmp_path)


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_predictions(made_table(), tmp_path / "absent", n_experts=3)
    assert list(tmp_path.iterdir()) == []


def test_a_value_of_the_wrong_type_leaves_no_file(tmp_path: Path) -> None:
    table = made_table().astype({"source_row": object})
    table.loc[0, "source_row"] = "second"
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write_predictions(table, tmp_path, n_experts=3)
    assert list(tmp_path.iterdir()) == []


def test_reading_gives_a_frame(tmp_path: Path) -> None:
    write_predictions(made_table(), tmp_path, n_experts=3)
    assert isinstance(read_predictions(tmp_path), pd.DataFrame)
