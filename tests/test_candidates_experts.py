"""Labels of people: AMi-Br and MIDOG 2025 as their authors wrote them, and whose labels are votes."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import program_files as made
from tests.points_fuzz import MANY, SLIDE, positions, refusal, slide_of
from wsiamf.candidates import read_candidates
from wsiamf.errors import ConfigError

AMI_BR = "crops/AMi-Br/AMI-BR.csv"
MIDOG25 = "annotations/MIDOG25_Atypical_Classification_Train_Set.csv"
HEADER = "slide,dataset,uid,x,y,expert1_atypical,expert2_atypical,expert3_atypical,majority_atypical\n"

CLASS = {True: "AMF", False: "NMF"}


def rows_of(path: Path, column: str, slide: str) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if row[column] == slide]


def test_the_real_ami_br(shared_data: Path) -> None:
    path = shared_data / AMI_BR
    for name in ("094.tiff", "04_stitched1.tif", "47.tif"):
        expected = rows_of(path, "slide", name)
        found = read_candidates(path, slide_of(name, 100_000, 100_000))
        assert found.format == "ami-br-csv"
        assert positions(found) == [(float(row["x"]), float(row["y"])) for row in expected]
        assert found.table["candidate_id"].tolist() == [f"{row['dataset']}_{row['uid']}" for row in expected]
        words = {"True": "AMF", "False": "NMF"}
        assert found.table["source_label"].tolist() == [words[row["majority_atypical"]] for row in expected]
        for number in (1, 2, 3):
            assert list(found.votes[f"expert{number}"]) == [words[row[f"expert{number}_atypical"]] for row in expected]
        assert found.table["by_person"].all()
        assert (found.table["status"] == "ok").all()


labelled = st.tuples(
    st.sampled_from([SLIDE.name, "case_1.tiff", "002.tiff"]),
    st.sampled_from(["MIDOG21", "TUPAC16"]),
    st.integers(0, 8),  # the same in both parts
    st.integers(0, 19_999),
    st.integers(0, 9_999),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)


@MANY
@given(others=st.lists(labelled, max_size=20, unique_by=lambda row: row[1:3]), at=st.integers(0, 20))
def test_figures_and_votes_come_back(tmp_path: Path, others: list[Any], at: int) -> None:
    certain = (SLIDE.name, "MIDOG21", 9, 5, 7, (True, False, True))  # a slide without rows is refused
    rows = [*others[:at], certain, *others[at:]]
    path = tmp_path / "points.csv"
    path.write_text(made.ami_br(rows))
    found = read_candidates(path, SLIDE)
    own = [row for row in rows if row[0] == SLIDE.name]
    assert found.format == "ami-br-csv"
    assert positions(found) == [(x, y) for _, _, _, x, y, _ in own]
    assert found.table["candidate_id"].tolist() == [f"{dataset}_{uid}" for _, dataset, uid, *_ in own]
    assert found.table["source_row"].tolist() == [n for n, row in enumerate(rows, start=1) if row in own]
    assert found.table["source_label"].tolist() == [CLASS[sum(votes) >= 2] for *_, votes in own]
    assert found.votes == {
        f"expert{number + 1}": tuple(CLASS[votes[number]] for *_, votes in own) for number in range(3)
    }
    assert found.table["by_person"].all()
    assert (found.table["status"] == "ok").all()  # however close: people's figures are never merged


def test_the_real_midog25_keeps_its_votes(shared_data: Path) -> None:
    path = shared_data / MIDOG25
    expected = rows_of(path, "filename", "201.tiff")
    found = read_candidates(path, slide_of("201.tiff"))
    assert list(found.votes["expert1"]) == [row["expert1"] for row in expected]
    third = Counter(row["expert3"] or None for row in expected)
    assert Counter(found.votes.get("expert3", (None,) * len(expected))) == third


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("case_1.svs,MIDOG21,6,1,2,False,True,,maybe", "row 1: majority_atypical is 'maybe', not True or False"),
        ("case_1.svs,MIDOG21,6,1,2,NMF,True,,True", "row 1: expert1_atypical is 'NMF', not True or False"),
        ("case_1.svs,MIDOG21,6,,2,False,True,,True", "row 1: x is missing"),
    ],
)
def test_a_wrong_word_is_named(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(HEADER + row + "\n")
    assert said in refusal(path)


def test_votes_follow_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("x,y,label,expert1\n1,2,hard negative,AMF\n300,4,NMF,NMF\nbad,4,AMF,\n900,4,AMF,AMF\n")
    found = read_candidates(path, SLIDE, skip_bad_points=True)
    assert found.table["source_row"].tolist() == [2, 3, 4]
    assert found.votes == {"expert1": ("NMF", None, "AMF")}


def test_raters_choose_whose_labels_are_votes(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("x,y,expert1,expert2\n1,2,AMF,NMF\n")
    assert read_candidates(path, SLIDE, raters=("expert2",)).votes == {"expert2": ("NMF",)}
    with pytest.raises(ConfigError, match=r"--raters Bob: points\.csv has no labels of that name.*expert1, expert2"):
        read_candidates(path, SLIDE, raters=("Bob",))
    path.write_text("x,y\n1,2\n")
    with pytest.raises(ConfigError, match="it has those of nobody"):
        read_candidates(path, SLIDE, raters=("Bob",))
