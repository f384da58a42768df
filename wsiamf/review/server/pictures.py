"""Pictures as bytes: tiles, and the crop and its surroundings with a scale bar."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw

from wsiamf.crops.plan import CROP_PX, plan_reading
from wsiamf.crops.reading import read_crop
from wsiamf.review.server.pyramid import Pyramid, read_tile
from wsiamf.slides import Slide

VIEW_MPP: Final = 0.25
"""um per px at which crops are cut, as the network sees them."""

_TOLERANCE: Final = 0.1
_TILE_QUALITY: Final = 85
_CROP_QUALITY: Final = 95
_MARGIN_SHARE: Final = 0.035  # of the picture's side, which a page shows at half its size or less
_BAR_SHARE: Final = 0.018
_WHITE: Final = (255, 255, 255)
_DARK: Final = (20, 24, 28)


@dataclass(frozen=True)
class View:
    """A square round a figure.

    Args:
        side_px: Its side in px at ``VIEW_MPP``.
        shown_px: Side of the picture.
        bar_um: Length of the scale bar; 0 for none.
    """

    side_px: int
    shown_px: int
    bar_um: int

    @property
    def um_per_px(self) -> float:
        """um per px of the picture."""
        return VIEW_MPP * self.side_px / self.shown_px


VIEWS: Final[dict[str, View]] = {
    "crop": View(CROP_PX, 3 * CROP_PX, 10),
    "context": View(4 * CROP_PX, 4 * CROP_PX, 25),
    "thumb": View(96, 96, 0),
}
"""The crop as the network saw it, four times as much of the tissue round it, and the figure alone for lists."""


def tile_jpeg(slide: Slide, pyramid: Pyramid, level: int, box: tuple[int, int, int, int]) -> bytes:
    """A tile as JPEG.

    Raises:
        SlideReadError: The pixels could not be decoded.
    """
    return _jpeg(read_tile(slide, pyramid, level, box), _TILE_QUALITY, subsampling=2)


def view_jpeg(slide: Slide, center: tuple[float, float], view: View) -> bytes:
    """A square round a point as JPEG with a scale bar; the surroundings show the outline of the crop.

    Args:
        center: (x, y) in level-0 px.
        view: One of ``VIEWS``.

    Raises:
        SlideReadError: The pixels could not be decoded.
    """
    plan = plan_reading(slide.mpp, slide.level_downsamples, target_mpp=VIEW_MPP, tolerance=_TOLERANCE)
    picture = Image.fromarray(read_crop(slide, center, plan, view.side_px))
    if view.side_px != view.shown_px:
        picture = picture.resize((view.shown_px, view.shown_px), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    if view.side_px > CROP_PX:
        _draw_corners(draw, view)
    if view.bar_um:
        _draw_bar(draw, view)
    return _jpeg(picture, _CROP_QUALITY, subsampling=0)


def _draw_corners(draw: ImageDraw.ImageDraw, view: View) -> None:
    """The corners of the crop's outline, which hide nothing of the figure."""
    low, high = (view.side_px - CROP_PX) // 2, (view.side_px + CROP_PX) // 2
    arm = CROP_PX // 8
    for width, color in ((7, _DARK), (3, _WHITE)):
        for x, to_x in ((low, arm), (high, -arm)):
            for y, to_y in ((low, arm), (high, -arm)):
                draw.line((x + to_x, y, x, y, x, y + to_y), fill=color, width=width, joint="curve")


def _draw_bar(draw: ImageDraw.ImageDraw, view: View) -> None:
    """A white bar with a dark rim, so that it is seen on dark and on pale tissue; the page says how long it is."""
    side = view.shown_px
    right = bottom = side - round(_MARGIN_SHARE * side)
    box = (right - round(view.bar_um / view.um_per_px), bottom - round(_BAR_SHARE * side), right, bottom)
    rim = 2
    draw.rectangle((box[0] - rim, box[1] - rim, box[2] + rim, box[3] + rim), fill=_DARK)
    draw.rectangle(box, fill=_WHITE)


def _jpeg(picture: Image.Image, quality: int, *, subsampling: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()
