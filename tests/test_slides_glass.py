"""The frame of a slide: what its file says of the axes and of its place on the glass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wsiamf.slides import Slide, open_slide
from wsiamf.slides.base import DescribedSlide, SlideDescription
from wsiamf.slides.glass import centre_offset_nm
from wsiamf.slides.resolution import Resolution, given_resolution

NDPI = {
    "openslide.mpp-x": "0.22753128555176336",
    "openslide.mpp-y": "0.22794621643472748",
    "hamamatsu.XOffsetFromSlideCentre": "-1234567",
    "hamamatsu.YOffsetFromSlideCentre": "2345678",
}


class StandIn(DescribedSlide):
    """A slide without pixels, with the properties of some file."""

    def __init__(self, properties: dict[str, str], given: Resolution | None = None) -> None:
        description = SlideDescription("hamamatsu", ((2000, 1000),), (1.0,), (None,), properties)
        super().__init__(Path("case_1.ndpi"), description, given)

    @property
    def backend(self) -> str:
        return "none"

    def _read_pixels(self, x: int, y: int, level: int, width: int, height: int) -> NDArray[np.uint8]:
        raise NotImplementedError

    def duplicate(self) -> Slide:
        raise NotImplementedError

    def _release(self) -> None:
        return


def test_an_ndpi_says_where_it_lies() -> None:
    frame = StandIn(NDPI).frame
    assert frame.centre_offset_nm == (-1_234_567.0, 2_345_678.0)
    assert frame.mpp_xy == frame.stated_mpp_xy == (0.22753128555176336, 0.22794621643472748)
    assert frame.mpp == pytest.approx(sum(frame.mpp_xy) / 2)


def test_a_given_resolution_leaves_what_the_file_states() -> None:
    frame = StandIn(NDPI, given_resolution(0.5)).frame
    assert (frame.mpp, frame.mpp_xy[0]) == (0.5, 0.22753128555176336)
    silent = StandIn({}, given_resolution(0.5)).frame
    assert (silent.stated_mpp_xy, silent.mpp_xy, silent.centre_offset_nm) == (None, (0.5, 0.5), None)
    nonsense = StandIn({"openslide.mpp-x": "0", "openslide.mpp-y": "inf"}, given_resolution(0.5)).frame
    assert nonsense.stated_mpp_xy is None


@pytest.mark.parametrize("text", ["", "a few", "nan", "inf"])
def test_an_offset_that_is_no_number_is_none(text: str) -> None:
    assert centre_offset_nm(NDPI | {"hamamatsu.YOffsetFromSlideCentre": text}) is None


def test_a_real_slide(shared_data: Path) -> None:
    with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        frame = slide.frame
    assert (frame.stated_mpp_xy, frame.centre_offset_nm) == ((0.499, 0.499), None)
