"""Facts for JSON, resolution, bounds, transparency, and the files that make up a slide."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from tests.coordinate_slide import coordinate_coded, write_plain_tiff, write_pyramid_tiff
from wsiamf.errors import MppError
from wsiamf.geometry import Bounds
from wsiamf.slides import open_slide, slide_facts
from wsiamf.slides.base import DescribedSlide, SlideDescription
from wsiamf.slides.openslide_slide import lay_over
from wsiamf.slides.parts import slide_parts
from wsiamf.slides.resolution import Resolution, stated_resolution


class MadeSlide(DescribedSlide):
    """A slide of nothing but a header, for what no file at hand states."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        super().__init__(
            Path("made.mrxs"), SlideDescription("mirax", ((1000, 800),), (1.0,), (None,), properties), None
        )

    @property
    def backend(self) -> str:
        return "made"

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        return np.zeros((height, width, 3), np.uint8)

    def duplicate(self) -> MadeSlide:
        return MadeSlide(self.properties)

    def _release(self) -> None:
        pass


def bounds_properties(x: str, y: str, width: str, height: str) -> dict[str, str]:
    values = {"x": x, "y": y, "width": width, "height": height}
    return {f"openslide.bounds-{key}": value for key, value in values.items()}


def test_facts_of_a_real_slide(shared_data: Path) -> None:
    with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        facts = slide_facts(slide)
        assert facts == {
            "name": "CMU-1-Small-Region.svs",
            "vendor": "aperio",
            "backend": "openslide",
            "width": 2220,
            "height": 2967,
            "mpp": 0.499,
            "mpp_status": "ok",
            "mpp_source": "openslide.mpp-x",
            "mpp_stated": [0.499, 0.499],
            "objective_power": 20.0,
            "levels": [{"width": 2220, "height": 2967, "downsample": 1.0, "tile_width": 240, "tile_height": 240}],
            "bounds": {"x": 0, "y": 0, "width": 2220, "height": 2967},
            "background": [255, 255, 255],
            "fingerprint": slide.fingerprint,
        }


@pytest.mark.parametrize(
    ("mpp", "status", "stated"),
    [(None, "missing", None), (100.0, "absurd", [100.0, 100.0]), ((0.2, 0.25), "anisotropic", [0.2, 0.25])],
)
def test_facts_of_a_slide_without_a_usable_mpp(
    tmp_path: Path, mpp: float | tuple[float, float] | None, status: str, stated: list[float] | None
) -> None:
    for write in (write_pyramid_tiff, write_plain_tiff):
        path = write(tmp_path / "a.tif", coordinate_coded(600, 500), mpp)
        with open_slide(path) as slide:
            facts = slide_facts(slide)
        assert (facts["mpp"], facts["mpp_status"], facts["mpp_source"]) == (None, status, "none")
        assert facts["mpp_stated"] == (None if stated is None else pytest.approx(stated))


def test_facts_of_a_slide_with_a_given_mpp_show_what_the_file_states(tmp_path: Path) -> None:
    path = write_pyramid_tiff(tmp_path / "a.tif", coordinate_coded(600, 500), (0.2, 0.25))
    with open_slide(path, mpp=0.22) as slide:
        facts = slide_facts(slide)
    assert (facts["mpp"], facts["mpp_status"], facts["mpp_source"]) == (0.22, "ok", "given")
    assert facts["mpp_stated"] == pytest.approx([0.2, 0.25])


def test_facts_hold_no_path_and_are_json(tmp_path: Path) -> None:
    path = write_plain_tiff(tmp_path / "region.tif", coordinate_coded(60, 50), description="user = A. Name")
    with open_slide(path) as slide:
        text = json.dumps(slide_facts(slide), allow_nan=False)
    assert str(tmp_path) not in text
    assert "A. Name" not in text


@pytest.mark.parametrize(("stated", "power"), [("20", 20.0), ("nan", None), ("0", None), ("x20", None)])
def test_objective_power_is_a_number_or_null(stated: str, power: float | None, tmp_path: Path) -> None:
    slide = MadeSlide({"openslide.objective-power": stated})
    slide._fingerprint = "0" * 64
    assert slide_facts(slide)["objective_power"] == power


def test_bounds_that_the_file_names() -> None:
    slide = MadeSlide(bounds_properties("100", "200", "300", "400"))
    assert slide.bounds == Bounds(100, 200, 300, 400)


@pytest.mark.parametrize(
    "values", [("100", "200", "901", "400"), ("-1", "0", "5", "5"), ("0", "0", "0", "5"), ("a",) * 4]
)
def test_bounds_beyond_the_slide_are_not_believed(values: tuple[str, str, str, str]) -> None:
    assert MadeSlide(bounds_properties(*values)).bounds == Bounds(0, 0, 1000, 800)


@pytest.mark.parametrize(
    ("x", "y", "usable"),
    [("0.25", "0.25", 0.25), ("0.25", "0.2549", 0.25245), ("0.05", "0.05", 0.05), ("20", "20", 20.0)],
)
def test_a_resolution_that_is_believed(x: str, y: str, usable: float) -> None:
    resolution = stated_resolution({"openslide.mpp-x": x, "openslide.mpp-y": y})
    assert resolution.mpp("a.svs") == pytest.approx(usable)
    assert resolution.source == "openslide.mpp-x"


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ("0.25", "0.2552", r"not square.*0\.25 x 0\.2552"),
        ("0", "0", "no microscope's"),
        ("nan", "0.25", "no microscope's"),
        ("inf", "inf", "no microscope's"),
        ("0.049", "0.049", r"0\.049 x 0\.049"),
        ("20.1", "20.1", r"20\.1 x 20\.1"),
        ("quarter", "0.25", "states no resolution"),
    ],
)
def test_a_resolution_that_is_not_believed(x: str, y: str, message: str) -> None:
    resolution = stated_resolution({"openslide.mpp-x": x, "openslide.mpp-y": y})
    with pytest.raises(MppError, match=rf"^a\.svs: .*{message}.*--mpp"):
        resolution.mpp("a.svs")
    assert resolution.source == "none"


def test_tiff_tags_stand_in_where_openslide_derives_nothing() -> None:
    tags = {"tiff.XResolution": "101600", "tiff.YResolution": "101600", "tiff.ResolutionUnit": "inch"}
    assert stated_resolution(tags).mpp("a.tif") == pytest.approx(0.25)
    assert stated_resolution(tags).source == "tiff resolution tag"
    assert stated_resolution(tags | {"tiff.ResolutionUnit": "none"}) == Resolution()
    assert stated_resolution(tags | {"tiff.XResolution": "0"}) == Resolution()


@given(st_numpy.arrays(np.uint8, (5, 7, 4)), st.sampled_from([(255, 255, 255), (240, 235, 0)]))
def test_transparent_pixels_over_a_colour(rgba: NDArray[np.uint8], colour: tuple[int, int, int]) -> None:
    laid = lay_over(rgba, colour)
    for row in range(5):
        for column in range(7):
            alpha = int(rgba[row, column, 3]) / 255
            for channel in range(3):
                exact = alpha * int(rgba[row, column, channel]) + (1 - alpha) * colour[channel]
                assert abs(int(laid[row, column, channel]) - exact) <= 0.5 + 1e-9


def test_a_dicom_slide_is_its_whole_series(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "slides"
    for name in ("boxes_0.dcm", "boxes_1.dcm", "small_dicom.dcm", "CMU-1-Small-Region.svs"):
        shutil.copyfile(source / name, tmp_path / name)
    (tmp_path / "sub").mkdir()
    with open_slide(tmp_path / "boxes_0.dcm") as first, open_slide(tmp_path / "boxes_1.dcm") as second:
        parts = slide_parts(tmp_path / "boxes_0.dcm", "dicom", first.properties)
        assert sorted(part.name for part in parts) == ["boxes_0.dcm", "boxes_1.dcm"]
        assert first.fingerprint == second.fingerprint
        together = first.fingerprint
    (tmp_path / "boxes_1.dcm").unlink()
    with open_slide(tmp_path / "boxes_0.dcm") as alone:
        assert alone.fingerprint != together


def test_a_mirax_slide_is_its_index_and_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    made = [tmp_path / "a.mrxs", tmp_path / "a" / "Slidedat.ini", tmp_path / "a" / "Data0000.dat"]
    for path in [*made, tmp_path / "b.mrxs"]:
        path.touch()
    assert sorted(slide_parts(made[0], "mirax", {})) == sorted(made)


def test_a_vms_slide_is_its_index_and_the_images_it_names(tmp_path: Path) -> None:
    index = tmp_path / "a.vms"
    index.write_text("[Virtual Microscope Specimen]\nImageFile=a.jpg\nImageFile(1,0)=b.jpg\nNoLayers=1\nMapFile=\n")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    assert {part.name for part in slide_parts(index, "hamamatsu", {})} == {"a.vms", "a.jpg", "b.jpg"}


def test_any_other_slide_is_one_file() -> None:
    assert slide_parts(Path("a.svs"), "aperio", {}) == [Path("a.svs")]
