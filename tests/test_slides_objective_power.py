"""um per px guessed from the objective power: only where nothing else states it, and never without a word."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from tests.coordinate_slide import coordinate_coded
from tests.tiny_model import tiny_bundle
from wsiamf.cli.main import run
from wsiamf.errors import MppError
from wsiamf.inference import Classifier
from wsiamf.screen import screen_slide
from wsiamf.slides import open_slide, slide_facts
from wsiamf.slides.resolution import OBJECTIVE_POWER, Resolution, slide_resolution, stated_resolution

TAGS_OF_72_DPI = {"tiff.XResolution": "72", "tiff.YResolution": "72", "tiff.ResolutionUnit": "inch"}


def power(value: str) -> dict[str, str]:
    return {"openslide.objective-power": value}


@pytest.mark.parametrize(("stated", "mpp"), [("40", 0.25), ("20", 0.5), ("63", 10 / 63), ("2.5", 4.0)])
def test_ten_um_per_power(stated: str, mpp: float) -> None:
    resolution = slide_resolution(power(stated))
    assert resolution.mpp("a.svs") == pytest.approx(mpp)
    assert resolution.source == OBJECTIVE_POWER


@given(st.one_of(st.floats(), st.sampled_from(["", "x20", "1e400", "0", "-40"])))
def test_any_power_gives_a_believable_mpp_or_none(value: float | str) -> None:
    resolution = slide_resolution(power(str(value)))
    if resolution.status == "ok":
        assert 0.05 <= resolution.mpp("a.svs") <= 20
    else:
        assert resolution == Resolution()


def test_a_default_resolution_tag_does_not_hide_it() -> None:
    assert slide_resolution(TAGS_OF_72_DPI | power("40")).source == OBJECTIVE_POWER
    assert slide_resolution(TAGS_OF_72_DPI).source == "none"


@pytest.mark.parametrize(
    "stated",
    [
        {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5"},
        {"openslide.mpp-x": "0.2", "openslide.mpp-y": "0.25"},
        {"openslide.mpp-x": "0.001", "openslide.mpp-y": "0.001"},
        {"ome.mpp-x": "0.2", "ome.mpp-y": "0.25"},
        {"ngff.mpp-x": "0.5", "ngff.mpp-y": "0.5"},
        {"tiff.XResolution": "20000", "tiff.YResolution": "25000", "tiff.ResolutionUnit": "centimeter"},
    ],
)
def test_what_the_file_states_comes_first_and_anisotropy_is_never_mended(stated: dict[str, str]) -> None:
    assert slide_resolution(stated | power("40")) == stated_resolution(stated)


@pytest.fixture
def without_mpp(tmp_path: Path) -> Path:
    """An Aperio slide, as OpenSlide takes it, that states its power alone."""
    path = tmp_path / "old.svs"
    tifffile.imwrite(
        path,
        coordinate_coded(512, 384),
        photometric="rgb",
        tile=(128, 128),
        compression="jpeg",
        description="Aperio Image Library v10.0.50\r\n512x384 [0,0 512x384] (128x128) JPEG/RGB Q=70|AppMag = 40",
        metadata=None,
    )
    return path


def test_a_slide_tells_of_its_guess_and_other_programs_are_not_said_to_share_it(without_mpp: Path) -> None:
    with open_slide(without_mpp) as slide:
        assert (slide.vendor, slide.mpp, slide.mpp_source) == ("aperio", 0.25, "objective power")
        assert slide.mpp_warning is not None
        assert "old.svs: states no um per pixel; 0.25 is guessed from its objective power of 40x" in slide.mpp_warning
        assert "--mpp" in slide.mpp_warning
        assert slide.frame.stated_mpp_xy is None
        assert slide.frame.mpp_xy == (0.25, 0.25)
        facts = slide_facts(slide)
    assert (facts["mpp"], facts["mpp_source"], facts["mpp_stated"]) == (0.25, "objective power", None)
    with open_slide(without_mpp, mpp=0.262) as slide:
        assert (slide.mpp, slide.mpp_source, slide.mpp_warning) == (0.262, "given", None)


def test_a_slide_that_states_its_mpp_has_no_warning(shared_data: Path) -> None:
    with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        assert slide.mpp_warning is None


def test_an_absurd_power_leaves_the_slide_without_mpp(without_mpp: Path) -> None:
    data = without_mpp.read_bytes()
    without_mpp.write_bytes(data.replace(b"AppMag = 40", b"AppMag = 00"))
    with open_slide(without_mpp) as slide, pytest.raises(MppError, match="states no resolution"):
        _ = slide.mpp


def test_info_warns(without_mpp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(without_mpp), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["mpp_source"] == "objective power"
    assert "guessed from its objective power of 40x" in said.err
    assert run(["info", str(without_mpp), "--mpp", "0.25"]) == 0
    assert "guessed" not in capsys.readouterr().err


def test_points_in_um_are_placed_by_it_with_a_warning(
    without_mpp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.csv").write_text("x_um,y_um\n30,40\n")
    assert run(["points", "inspect", str(tmp_path / "p.csv"), "--slide", str(without_mpp)]) == 0
    assert "guessed from its objective power" in capsys.readouterr().err


def test_a_screening_records_it(without_mpp: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    points = tmp_path / "points.csv"
    rows = [f"{x:.1f},{y:.1f}" for x, y in rng.uniform((60, 60), (450, 320), (12, 2))]
    points.write_text("\n".join(["x,y", *rows]) + "\n")
    tiny = Classifier(tiny_bundle(tmp_path / "tiny"), device="cpu")
    with caplog.at_level(logging.WARNING, "wsiamf"):
        result = screen_slide(without_mpp, points, out=tmp_path / "out", model=tiny, force=True)
    assert "guessed from its objective power of 40x" in caplog.text
    assert any("guessed from its objective power" in text for text in result.warnings)
    record = json.loads((result.folder / "run.json").read_text("utf-8"))
    assert record["slide"]["mpp_source"] == "objective power"
    assert any("guessed from its objective power" in text for text in record["warnings"])
    assert "mpp_from_objective_power" in result.summary["flags"]  # a column of cohort.csv
