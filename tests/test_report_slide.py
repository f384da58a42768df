"""A slide's page: what it says, that it says nothing else, and that it is whole whatever stands in names and ids."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.made_material import AREA, made_material
from tests.made_predictions import FRAME, made_table
from tests.page_reader import check_page, read_page
from wsiamf.report import Pictures, Reference, render_slide, select_galleries

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{ 7*7 }}\u202e\x07"


def said(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " "))


@pytest.fixture(scope="module")
def page() -> str:
    return render_slide(made_material())


def test_the_page_is_accessible_small_and_offline(page: str) -> None:
    found = check_page(page)
    assert len(found.all("img")) > 40
    words = said(found.words)
    for heading in ("Result", "How sure is the fraction", "Where the figures lie", "Crops", "Provenance"):
        assert heading in words


def test_equal_input_gives_equal_bytes(page: str) -> None:
    assert render_slide(made_material()) == page


def test_only_the_measured_interval_is_called_a_95_per_cent_interval(page: str) -> None:
    summary = made_material().summary
    low, high = (100 * summary["amf_fraction_expected_interval95"][end] for end in ("low", "high"))
    words = said(read_page(page).words)
    stated = set(re.findall(r"95 % interval (\d+\.\d) to (\d+\.\d)", words))
    assert stated == {(f"{low:.1f}", f"{high:.1f}")}
    wilson = summary["amf_fraction_sampling_interval"]
    assert f"sampling interval {100 * wilson['low']:.1f} to {100 * wilson['high']:.1f} %" in words
    assert "not the classifier's errors" in words
    assert "measured on AMi-Br (low end) and on AtNorM-MD (high end)" in words


def test_nothing_of_host_user_path_or_time_is_shown(page: str) -> None:
    for secret in ("secret-host", "secret-platform", "secret-user", "2031", "1.234"):
        assert secret not in page


def test_names_and_ids_are_escaped_wherever_they_stand() -> None:
    table = made_table(40).assign(candidate_id=HOSTILE, review_reason=HOSTILE)
    record = {
        "warnings": [HOSTILE],
        "points": {"name": HOSTILE, "sha256": HOSTILE, "format": HOSTILE, "frame": HOSTILE},
    }
    material = made_material(table, name=HOSTILE)
    references = [Reference(0.2, HOSTILE, "fraction")]
    material = replace(material, record={**material.record, **record}, notes=[HOSTILE], references=references)
    text = render_slide(material)
    found = check_page(text)
    assert len(found.all("script")) == 1
    assert all(image.attributes["src"].startswith("data:image/jpeg;base64,") for image in found.all("img"))
    assert "{{ 7*7 }}" in found.words
    assert "49" not in [one.text for one in found.all("h1")]
    assert "\u202e" not in text
    assert "\x07" not in text


def test_a_slide_without_figures_has_a_page_that_says_so() -> None:
    nothing = made_table(12)
    nothing["hard"] = nothing["hard"].astype("boolean")
    nothing["in_hotspot"] = nothing["in_hotspot"].astype("boolean")
    unknown = [name for name in map(str, nothing.columns) if name.startswith("p_")]
    for name in (*unknown, "label", "hard", "review_rank", "review_reason", "in_hotspot", "conformal"):
        nothing[name] = None
    nothing["status"] = "outside_roi"
    words = said(check_page(render_slide(made_material(nothing, pictures=None))).words)
    assert "Not estimable: no figure counts" in words
    assert "no crops to show" in words


@pytest.mark.parametrize(
    "name",
    [
        *("amf_fraction_sampling_interval", "amf_fraction_expected_interval95", "n_amf_expected_interval95"),
        "mf_per_mm2_sampling_interval",
    ],
)
def test_no_interval_is_made_up_where_a_result_lacks_it(name: str) -> None:
    material = made_material()
    with pytest.raises(KeyError, match=name):
        render_slide(replace(material, summary={**material.summary, name: None}))


def test_a_page_without_slide_model_or_outline_says_what_is_missing() -> None:
    notes = ("the slide was not found, so that there are no pictures of it.",)
    page = check_page(render_slide(made_material(pictures=None, area=None, spec=None, card="", notes=notes)))
    assert page.all("img") == []
    words = said(page.words)
    assert notes[0] in words
    assert "no picture" in words
    assert "bundle was not at hand" in words


def test_there_is_no_reference_line_unless_one_is_given(page: str) -> None:
    assert "manual counts" not in read_page(page).words
    assert not [one for one in read_page(page).all("line") if one.attributes.get("class") == "reference"]
    drawn = check_page(render_slide(made_material(references=[Reference(0.27, "Somebody 2020", "fraction")])))
    words = said(drawn.words)
    assert "AMF fraction 27.0 %, which is an AMF : NMF ratio of 0.37" in words
    assert "Source: Somebody 2020; manual counts, not validated for this model" in words
    assert len([one for one in drawn.all("line") if one.attributes.get("class") == "reference"]) >= 4


def test_the_largest_slide_keeps_within_two_megabytes() -> None:
    rng = np.random.default_rng(0)
    table = pd.concat([made_table(4000)] * 5, ignore_index=True)
    table["x"] = rng.uniform(2_000, 48_000, len(table))
    table["y"] = rng.uniform(3_000, 40_000, len(table))
    table["review_rank"] = pd.Series(np.arange(1, len(table) + 1), dtype="Int64").where(table["status"] == "ok")
    page = check_page(render_slide(made_material(table)))
    assert re.search(r"12,000 of 19,9\d\d figures that count, drawn at random", said(page.words))


def test_the_galleries_hold_what_they_say() -> None:
    table = made_material().table
    hard, atypical, random = select_galleries(table, 0)
    counted = table[table["status"] == "ok"]
    assert list(hard.rows) == counted[counted["hard"].astype(bool)].sort_values("review_rank").index[:40].tolist()
    amf = counted[counted["label"] == "AMF"].sort_values("p_atypical", ascending=False, kind="stable")
    assert list(atypical.rows) == amf.index[:40].tolist()
    assert len(set(random.rows)) == 25
    assert set(random.rows) <= set(counted.index)
    assert select_galleries(table, 1)[2].rows != random.rows


def test_named_fields_are_shown_with_their_counts() -> None:
    material = made_material()
    field: dict[str, Any] = {
        **material.summary["hotspots"][0],
        "name": "field <A>",
        "area_mm2": 2.0,
        "share_in_area": 1.0,
    }
    summary = {**material.summary, "regions": [field]}
    page = check_page(render_slide(replace(material, summary=summary, fields=[("field <A>", AREA)])))
    assert "field <A>" in [one.text for one in page.all("th")]


def test_the_scale_bar_is_ten_um_of_the_crop() -> None:
    material = made_material()
    assert material.pictures is not None
    page = render_slide(replace(material, pictures=Pictures(None, material.pictures.crops, 0.5)))
    assert ".bar{width:15.62%}" in page  # 10 um of 128 px at 0.5 um/px


def test_a_model_without_a_head_for_difficulty_has_a_page() -> None:
    table = made_table(30)
    for name in ("p_hard", "hard", "conformal"):
        table[name] = None
    material = made_material(table)
    nothing_hard = replace(
        material, table=material.table.assign(hard=None), summary={**material.summary, "n_hard": None}
    )
    words = said(check_page(render_slide(nothing_hard)).words)
    assert "First for review" in words
    assert "These 10 come first by the order of review" in words


def test_the_map_shows_the_part_of_the_slide_that_holds_pixels() -> None:
    pixels_of_all = np.zeros((80, 100, 3), dtype=np.uint8)
    bounds = FRAME.bounds
    scale = 100 / FRAME.width
    rows, columns = slice(round(bounds.y * scale), None), slice(round(bounds.x * scale), None)
    pixels_of_all[rows, columns] = 255
    page = read_page(render_slide(made_material(pictures=Pictures(pixels_of_all, {}))))
    (picture,) = [one for one in page.all("image") if one.attributes["href"].startswith("data:image/jpeg")]
    content = base64.b64decode(picture.attributes["href"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert pixels.min() > 250  # nothing of the black rim
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(bounds.width / bounds.height, rel=0.03)
