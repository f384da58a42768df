"""``contact_sheet.png``: one look shows whether the points sit on cells, and what the model makes of them.

Sections of crops, each with a frame in the colour of its label, a 10 um scale bar, its candidate id and its
probabilities; the four ticks of the frame point at the candidate. The crops are chosen beforehand
(``select_for_sheet``), so that a run has to read only these few again. Equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wsiamf.classes import AMF, CLASS_COLORS, NMF
from wsiamf.export.rows import counted_positions
from wsiamf.files import atomic_file
from wsiamf.summary import random_rows

Sections = dict[str, list[int]]

RANDOM_CROPS: Final = 25
TOP_CROPS: Final = 10
SCALE_BAR_UM: Final = 10.0

_COLUMNS: Final = 10
_CROP_PX: Final = 160  # side of a crop on the sheet: 128 px crops at 1.25, ten of them in the width of a screen
_FRAME_PX: Final = 4
_GAP_PX: Final = 14
_MARGIN_PX: Final = 28
_CAPTION_PX: Final = 44
_HEADER_PX: Final = 84
_TITLE_PX: Final = 40
_TICK_PX: Final = 7
_BAR_PX: Final = 3

_COMPRESSION: Final = 1  # 40 % of the time of zlib's own 6, for a file 3 % larger

_PAPER: Final = (255, 255, 255)
_INK: Final = (33, 37, 41)
_FAINT: Final = (108, 117, 125)
_UNLABELLED: Final = (173, 181, 189)

_MAX_CHARACTERS: Final = 100  # more than fit a caption
_CELL_PX: Final = _CROP_PX + 2 * _FRAME_PX
_WIDTH: Final = 2 * _MARGIN_PX + _COLUMNS * _CELL_PX + (_COLUMNS - 1) * _GAP_PX


@dataclass(frozen=True)
class _Cell:
    """What stands under and round one crop."""

    crop: NDArray[np.uint8]
    color: tuple[int, int, int]
    lines: tuple[str, str]


def select_for_sheet(table: pd.DataFrame, seed: int) -> Sections:
    """Choose the crops of the sheet among the rows that count.

    Args:
        table: The predictions table, ranked.
        seed: Of the random choice.

    Returns:
        Title of each section -> row positions (from 0) in the order of display: 25 at random, in the order of the
        table; the 10 of highest ``p_atypical``; the 10 of highest ``p_hard``, or of first ``review_rank`` where the
        model has no hardness head. Fewer where the table has fewer; no sections where nothing counts.
    """
    positions = counted_positions(table)
    if not len(positions):
        return {}
    counted = table.iloc[positions]
    chosen = random_rows(len(positions), RANDOM_CROPS, seed)
    top_title, top = _extreme("highest P(atypical)", _column(counted, "p_atypical"))
    hard_title, hardest = _hardest(counted)
    whole = len(chosen) == len(positions)
    random_title = f"All {len(chosen)} that count" if whole else f"{len(chosen)} at random of {len(positions):,}"
    sections = {random_title: chosen, top_title: top, hard_title: hardest}
    return {title: positions[rows].tolist() for title, rows in sections.items()}


def _hardest(counted: pd.DataFrame) -> tuple[str, NDArray[np.intp]]:
    p_hard = _column(counted, "p_hard")
    if np.isnan(p_hard).all():
        return _extreme("first for review", -_column(counted, "review_rank"))
    return _extreme("hardest, by P(hard)", p_hard)


def _extreme(words: str, value: NDArray[np.float64]) -> tuple[str, NDArray[np.intp]]:
    """The section's title and the rows of the highest values, ties by the order of the table, null last."""
    rows = np.argsort(-value, kind="stable")[:TOP_CROPS]
    return f"{len(rows)} {words}", rows


def _column(counted: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return pd.to_numeric(counted[name]).to_numpy(dtype=np.float64, na_value=np.nan)


def write_contact_sheet(
    path: Path,
    sections: Mapping[str, Sequence[int]],
    crops: Mapping[int, NDArray[np.uint8]],
    table: pd.DataFrame,
    *,
    crop_mpp: float,
) -> None:
    """Draw the sheet and write it as PNG.

    Args:
        path: The PNG file.
        sections: Title -> row positions, as ``select_for_sheet`` gives them; a sheet that says so where there are none.
        crops: Row position -> crop (height, width, 3), RGB uint8, square; one for every position of ``sections``.
        table: The predictions table.
        crop_mpp: um per pixel of the crops.

    Raises:
        OutputError: The file cannot be written.
    """
    n_counted = len(counted_positions(table))
    shown = {position for rows in sections.values() for position in rows}
    cells = {position: _cell(table.iloc[position], crops[position]) for position in sorted(shown)}
    drawn = {title: [cells[position] for position in rows] for title, rows in sections.items()}
    image = _draw_sheet(drawn, n_counted, crop_mpp)
    with atomic_file(path) as temporary:
        image.save(temporary, format="PNG", optimize=False, compress_level=_COMPRESSION)


def _cell(row: pd.Series, crop: NDArray[np.uint8]) -> _Cell:
    label = row["label"]
    hard = "" if pd.isna(row["p_hard"]) else f"   hard {row['p_hard']:.2f}"
    return _Cell(
        crop=crop,
        color=CLASS_COLORS.get(label, _UNLABELLED),
        lines=(str(row["candidate_id"]), f"{label}  p {row['p_atypical']:.2f}{hard}"),
    )


def _draw_sheet(sections: Mapping[str, Sequence[_Cell]], n_counted: int, crop_mpp: float) -> Image.Image:
    height = _HEADER_PX + sum(_section_height(cells) for cells in sections.values()) + _MARGIN_PX
    if not sections:
        height += _TITLE_PX
    image = Image.new("RGB", (_WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(image)
    _draw_header(draw, n_counted)
    top = _HEADER_PX
    for title, cells in sections.items():
        draw.text((_MARGIN_PX, top + 8), title, fill=_INK, font=_font(20))
        _draw_cells(image, cells, top + _TITLE_PX, crop_mpp)
        top += _section_height(cells)
    if not sections:
        draw.text((_MARGIN_PX, top), "No candidates: nothing on this slide counts.", fill=_INK, font=_font(20))
    return image


def _section_height(cells: Sequence[_Cell]) -> int:
    n_rows = -(-len(cells) // _COLUMNS)
    return _TITLE_PX + n_rows * (_CELL_PX + _CAPTION_PX + _GAP_PX)


def _draw_header(draw: ImageDraw.ImageDraw, n_counted: int) -> None:
    draw.text((_MARGIN_PX, 22), "Candidate mitotic figures", fill=_INK, font=_font(28))
    facts = f"{n_counted:,} figures count   |   white bar {SCALE_BAR_UM:.0f} um   |   ticks point at the candidate"
    legend = "p: probability of atypical   |   hard: probability that experts disagree   |   research use only"
    draw.text((_MARGIN_PX, 58), f"{facts}   |   {legend}", fill=_FAINT, font=_font(15))
    left = _WIDTH - _MARGIN_PX
    for label, words in ((NMF, "NMF, normal"), (AMF, "AMF, atypical")):
        left -= int(draw.textlength(words, font=_font(17)))
        draw.text((left, 30), words, fill=_INK, font=_font(17))
        left -= 30
        draw.rectangle((left, 30, left + 20, 50), outline=CLASS_COLORS[label], width=_FRAME_PX)
        left -= 30


def _draw_cells(image: Image.Image, cells: Sequence[_Cell], top: int, crop_mpp: float) -> None:
    for index, cell in enumerate(cells):
        row, column = divmod(index, _COLUMNS)
        x = _MARGIN_PX + column * (_CELL_PX + _GAP_PX)
        y = top + row * (_CELL_PX + _CAPTION_PX + _GAP_PX)
        _draw_cell(image, cell, (x, y), crop_mpp)


def _draw_cell(image: Image.Image, cell: _Cell, corner: tuple[int, int], crop_mpp: float) -> None:
    draw = ImageDraw.Draw(image)
    x, y = corner
    draw.rectangle((x, y, x + _CELL_PX - 1, y + _CELL_PX - 1), fill=cell.color)
    picture = Image.fromarray(cell.crop).resize((_CROP_PX, _CROP_PX), Image.Resampling.LANCZOS)
    image.paste(picture, (x + _FRAME_PX, y + _FRAME_PX))
    _draw_ticks(draw, corner, cell.color)
    um_per_sheet_px = crop_mpp * cell.crop.shape[1] / _CROP_PX
    _draw_scale_bar(draw, (x + _CELL_PX - _FRAME_PX - 8, y + _CELL_PX - _FRAME_PX - 8), um_per_sheet_px)
    for line, (text, ink) in enumerate(zip(cell.lines, (_INK, _FAINT), strict=True)):
        draw.text((x, y + _CELL_PX + 4 + line * 19), _fitted(draw, text), fill=ink, font=_font(15))


def _draw_ticks(draw: ImageDraw.ImageDraw, corner: tuple[int, int], color: tuple[int, int, int]) -> None:
    """Four ticks inwards from the middle of each side of the frame."""
    x, y = corner
    middle, depth, far = _CELL_PX // 2, _FRAME_PX + _TICK_PX, _CELL_PX - 1
    for start, end in (
        ((middle, 0), (middle, depth)),
        ((middle, far - depth), (middle, far)),
        ((0, middle), (depth, middle)),
        ((far - depth, middle), (far, middle)),
    ):
        draw.line((x + start[0], y + start[1], x + end[0], y + end[1]), fill=color, width=2)


def _draw_scale_bar(draw: ImageDraw.ImageDraw, right_bottom: tuple[int, int], um_per_px: float) -> None:
    """A white bar of 10 um with a dark rim, so that it is seen on dark and on pale tissue."""
    right, bottom = right_bottom
    length = round(SCALE_BAR_UM / um_per_px)
    box = (right - length + 1, bottom - _BAR_PX + 1, right, bottom)
    draw.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), fill=_INK)
    draw.rectangle(box, fill=_PAPER)
    label = f"{SCALE_BAR_UM:.0f} um"
    place = (right + 1, bottom - _BAR_PX - 3)
    draw.text(place, label, fill=_PAPER, font=_font(13), anchor="rs", stroke_width=2, stroke_fill=_INK)


def _fitted(draw: ImageDraw.ImageDraw, text: str) -> str:
    """The text, or its end after three dots where it is wider than a crop (ids differ at their end)."""
    text = " ".join(text.split())
    if len(text) > _MAX_CHARACTERS:
        text = f"...{text[-_MAX_CHARACTERS:]}"
    if draw.textlength(text, font=_font(15)) <= _CELL_PX:
        return text
    rest = text
    while rest and draw.textlength(f"...{rest}", font=_font(15)) > _CELL_PX:
        rest = rest[1:]
    return f"...{rest}"


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)
