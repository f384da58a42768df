"""The contact sheet: which crops are chosen, and what the picture shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.made_predictions import made_table
from wsiamf.classes import CLASS_COLORS
from wsiamf.errors import OutputError
from wsiamf.export.contact_sheet import select_for_sheet, write_contact_sheet
from wsiamf.predictions import read_predictions, write_predictions
from wsiamf.statuses import OK

GREEN = (0, 160, 0)  # no colour of the sheet's own
Crops = dict[int, NDArray[np.uint8]]


def _crops(sections: dict[str, list[int]], side_px: int = 128) -> Crops:
    plain = np.full((side_px, side_px, 3), GREEN, dtype=np.uint8)
    return {position: plain for rows in sections.values() for position in rows}


def _sheet(folder: Path, table: pd.DataFrame, *, mpp: float = 0.25, side_px: int = 128) -> NDArray[np.uint8]:
    sections = select_for_sheet(table, 1)
    path = folder / "contact_sheet.png"
    write_contact_sheet(path, sections, _crops(sections, side_px), table, crop_mpp=mpp)
    return np.asarray(Image.open(path))


def _count(sheet: NDArray[np.uint8], color: tuple[int, int, int]) -> int:
    return int((sheet == color).all(axis=2).sum())


def test_25_at_random_10_most_atypical_10_hardest() -> None:
    table = made_table(300)
    counted = table[table["status"] == OK]
    random, top, hardest = select_for_sheet(table, 1).values()
    assert len(set(random)) == 25
    assert random == sorted(random)
    assert set(random) <= set(counted.index)
    assert top == counted["p_atypical"].sort_values(ascending=False).index[:10].tolist()
    assert hardest == counted["p_hard"].sort_values(ascending=False).index[:10].tolist()


def test_the_titles_tell_what_was_chosen() -> None:
    assert list(select_for_sheet(made_table(300), 1)) == [
        "25 at random of 298",
        "10 highest P(atypical)",
        "10 hardest, by P(hard)",
    ]
    assert list(select_for_sheet(made_table(5), 1)) == [
        "All 3 that count",
        "3 highest P(atypical)",
        "3 hardest, by P(hard)",
    ]


def test_the_random_crops_go_by_the_seed() -> None:
    table = made_table(300)
    assert select_for_sheet(table, 1) == select_for_sheet(table, 1)
    first, second = (select_for_sheet(table, seed)["25 at random of 298"] for seed in (1, 2))
    assert first != second


def test_the_random_crops_favour_no_part_of_the_table() -> None:
    table = made_table(102)
    drawn = [position for seed in range(200) for position in next(iter(select_for_sheet(table, seed).values()))]
    counts = np.bincount(drawn, minlength=102)[(table["status"] == OK).to_numpy()]
    assert counts.sum() == 5_000
    assert counts.min() > 20  # 50 are expected of each, sd 6
    assert counts.max() < 80


def test_without_hardness_head_the_first_for_review_are_shown() -> None:
    table = made_table(60)
    table["p_hard"] = None
    rows = select_for_sheet(table, 1)["10 first for review"]
    assert table.loc[rows, "review_rank"].tolist() == sorted(table["review_rank"].dropna())[:10]


def test_positions_are_places_whatever_the_index() -> None:
    table = made_table(60)
    assert select_for_sheet(table.set_axis(range(500, 560)), 1) == select_for_sheet(table, 1)


def test_no_candidates_make_a_sheet_that_says_so(tmp_path: Path) -> None:
    nothing = made_table().iloc[-1:]
    assert select_for_sheet(nothing, 1) == {}
    empty, few = _sheet(tmp_path, nothing), _sheet(tmp_path, made_table())
    assert empty.shape[1] == few.shape[1]
    words = empty[84:]  # below the header
    assert 0 < _count(words, (33, 37, 41)) < 5_000
    assert _count(empty, GREEN) == 0


def test_every_crop_is_framed_in_the_colour_of_its_label(tmp_path: Path) -> None:
    table = made_table(60)
    table.loc[table["status"] == OK, "label"] = "NMF"
    blue = _sheet(tmp_path, table)
    table.loc[table["status"] == OK, "label"] = "AMF"
    red = _sheet(tmp_path, table)
    legend = _count(red, CLASS_COLORS["NMF"])
    assert legend < 1_000
    frame = 168**2 - 160**2 + 4 * 2 * 7  # 4 px round 160, and four ticks 2 px wide and at least 7 long
    assert 45 * frame <= _count(red, CLASS_COLORS["AMF"]) <= 45 * (frame + 40) + legend
    assert _count(red, CLASS_COLORS["AMF"]) == _count(blue, CLASS_COLORS["NMF"])


def test_every_crop_is_drawn(tmp_path: Path) -> None:
    share = _count(_sheet(tmp_path, made_table(60)), GREEN) / (45 * 160**2)
    assert 0.85 < share < 1  # all but ticks, bar and its label


@pytest.mark.parametrize(("mpp", "side_px", "length"), [(0.25, 128, 50), (0.25, 64, 100), (0.5, 128, 25)])
def test_the_bar_is_10_um_long(tmp_path: Path, mpp: float, side_px: int, length: int) -> None:
    sheet = _sheet(tmp_path, made_table(60), mpp=mpp, side_px=side_px)
    # the first crop's picture: margin and header of the sheet, title and frame
    picture = sheet[84 + 40 + 4 :, 28 + 4 :][:160, :160]
    bars = [row for row in (picture == 255).all(axis=2) if row[-9]]  # rows that are white at the bar's right end
    assert [int(row.sum()) for row in bars[-3:]] == [length] * 3  # 160 px show mpp x side_px um


def test_equal_input_is_equal_bytes(tmp_path: Path) -> None:
    table = made_table(60)
    _sheet(tmp_path, table)
    first = (tmp_path / "contact_sheet.png").read_bytes()
    write_predictions(table, tmp_path, n_experts=3)
    _sheet(tmp_path, read_predictions(tmp_path))
    assert (tmp_path / "contact_sheet.png").read_bytes() == first
    assert b"tIME" not in first
    assert b"tEXt" not in first


def test_long_ids_stay_under_their_crop(tmp_path: Path) -> None:
    table = made_table(5)
    table["candidate_id"] = ["W" * 200, "x" * 500, "", "-", "-"]
    sheet = _sheet(tmp_path, table)
    captions = sheet[84 + 40 + 168 :][:44]
    assert (captions[:, 28 + 3 * 182 :] == 255).all()  # nothing runs on right of the third crop


def test_real_crops_come_through_unaltered_in_colour(tmp_path: Path, shared_data: Path) -> None:
    file = next((shared_data / "crops" / "AMi-Br" / "patches" / "normal").glob("*.png"))
    crop = np.asarray(Image.open(file).convert("RGB"))
    table = made_table(5)
    sections = {"One": [0]}
    write_contact_sheet(tmp_path / "sheet.png", sections, {0: crop}, table, crop_mpp=0.25)
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))[84 + 40 + 4 :, 28 + 4 :][:160, :160]
    whole, left_half = picture[20:120].mean(axis=(0, 1)), picture[20:120, 20:80].mean(axis=(0, 1))
    assert whole == pytest.approx(crop[16:96].mean(axis=(0, 1)), abs=1.5)
    assert left_half == pytest.approx(crop[16:96, 16:64].mean(axis=(0, 1)), abs=1.5)


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"contact_sheet\.png"):
        _sheet(tmp_path / "absent", made_table())
