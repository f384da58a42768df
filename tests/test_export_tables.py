"""``hard_cases.csv``."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.made_predictions import made_table
from wsiamf.export.tables import write_hard_cases
from wsiamf.predictions import read_predictions, write_predictions
from wsiamf.statuses import OK

HEADER = (
    "rank,candidate_id,uuid,x,y,x_um,y_um,x_qupath,y_qupath,label,p_atypical,p_hard,"
    "p_atypical_expert_1,p_atypical_expert_2,p_atypical_expert_3,score,reason,in_hotspot"
)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_hard_cases_stand_by_rank(tmp_path: Path) -> None:
    table = made_table(60)
    path = tmp_path / "hard_cases.csv"
    write_hard_cases(path, table)
    hard = table[(table["status"] == OK) & (table["p_hard"] >= 0.5)].sort_values("review_rank")
    assert path.read_text(encoding="utf-8").splitlines()[0] == HEADER
    assert [row["candidate_id"] for row in _rows(path)] == hard["candidate_id"].tolist()
    assert [int(row["rank"]) for row in _rows(path)] == hard["review_rank"].tolist()
    assert 0 < len(hard) < 58


def test_numbers_are_rounded_and_nulls_are_empty(tmp_path: Path) -> None:
    table = made_table()
    table["hard"] = False
    table.loc[0, "hard"] = True
    table.loc[0, ["x", "y", "x_um", "y_um"]] = [12345.678, 2.0, 3086.4195, 0.5]
    table.loc[0, ["x_qupath", "y_qupath", "p_atypical", "p_hard"]] = [11345.678, -1998.0, 0.123456, None]
    table.loc[0, ["p_atypical_expert_1", "p_atypical_expert_2", "p_atypical_expert_3"]] = [0.1, 0.20004, 0.99999]
    table.loc[0, ["score", "review_rank", "label"]] = [None, 3, "NMF"]
    table.loc[0, "review_reason"] = 'near, "very" near (0.12 against 0.13)'
    table.loc[0, "in_hotspot"] = True
    path = tmp_path / "hard_cases.csv"
    write_hard_cases(path, table)
    assert list(_rows(path)[0].values()) == [
        "3",
        "MF-000001",
        table.loc[0, "uuid"],
        "12345.68",
        "2",
        "3086.42",
        "0.5",
        "11345.68",
        "-1998",
        "NMF",
        "0.1235",
        "",
        "0.1",
        "0.2",
        "1",
        "",
        'near, "very" near (0.12 against 0.13)',
        "true",
    ]
    assert "nan" not in path.read_text(encoding="utf-8").lower()


def test_without_hard_cases_the_header_stands_alone(tmp_path: Path) -> None:
    table = made_table()
    table["hard"] = False
    write_hard_cases(tmp_path / "hard_cases.csv", table)
    assert (tmp_path / "hard_cases.csv").read_text(encoding="utf-8") == HEADER + "\n"
    write_hard_cases(tmp_path / "empty.csv", table.iloc[:0])
    assert (tmp_path / "empty.csv").read_bytes() == (tmp_path / "hard_cases.csv").read_bytes()


def test_a_table_read_back_gives_the_same_file(tmp_path: Path) -> None:
    table = made_table(60)
    write_predictions(table, tmp_path, n_experts=3)
    write_hard_cases(tmp_path / "a.csv", table)
    write_hard_cases(tmp_path / "b.csv", read_predictions(tmp_path))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
