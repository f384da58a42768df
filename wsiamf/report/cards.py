"""The cards of a gallery: a crop with its scale bar, what the model says of it, and why it should be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from markupsafe import Markup

from wsiamf.report.galleries import Gallery
from wsiamf.report.wording import decimals_or_nothing
from wsiamf.summary.conformal import CANNOT_TELL

BAR_UM: Final = 10.0
_LONGEST_ID: Final = 60
_COLUMNS: Final = (
    "candidate_id",
    "label",
    "p_atypical",
    "p_hard",
    "hard",
    "review_rank",
    "review_reason",
    "in_hotspot",
)
_PLACE: Final = ("x_um", "y_um", "conformal")


@dataclass(frozen=True)
class Card:
    """One figure.

    Args:
        candidate_id: Cut where it is very long; ``whole_id`` is not.
        label: AMF or NMF.
        picture: Its crop; None where there is none.
        alt: The picture in words.
        p_atypical, p_hard: With two decimals.
        sort_p, sort_hard: With all their decimals, for the page's script.
        rank: For review, from 1.
        reason: Why it should be looked at.
        in_hotspot, is_hard: As the table says.
        place: Its position in um.
        cannot_tell: Whether the conformal column says so.
    """

    candidate_id: str
    whole_id: str
    label: str
    picture: Markup | None
    alt: str
    p_atypical: str
    p_hard: str
    sort_p: float
    sort_hard: float
    rank: int
    reason: str
    in_hotspot: bool
    is_hard: bool
    place: str
    cannot_tell: bool


@dataclass(frozen=True)
class Shelf:
    """A gallery with its cards."""

    gallery: Gallery
    cards: tuple[Card, ...]


def shelves(galleries: Sequence[Gallery], table: pd.DataFrame, pictures: Mapping[int, Markup]) -> list[Shelf]:
    """The galleries with their cards.

    Args:
        galleries: Of this table.
        table: The predictions.
        pictures: Addresses of crops by row.
    """
    made: dict[int, Card] = {}
    wanted = sorted({row for gallery in galleries for row in gallery.rows})
    rows = table.iloc[wanted][[*_COLUMNS, *_PLACE]].to_dict("records")
    for position, row in zip(wanted, rows, strict=True):
        made[position] = _card({str(name): value for name, value in row.items()}, pictures.get(position))
    return [Shelf(gallery, tuple(made[row] for row in gallery.rows)) for gallery in galleries]


def _card(row: Mapping[str, Any], picture: Markup | None) -> Card:
    p, p_hard = float(row["p_atypical"]), _known(row["p_hard"])
    whole_id, label = str(row["candidate_id"]), str(row["label"])
    return Card(
        candidate_id=whole_id if len(whole_id) <= _LONGEST_ID else f"…{whole_id[-_LONGEST_ID:]}",
        whole_id=whole_id,
        label=label,
        picture=picture,
        alt=f"Crop with candidate {whole_id} in the middle, called {label}, probability of atypical {p:.2f}",
        p_atypical=f"{p:.2f}",
        p_hard=decimals_or_nothing(p_hard, 2),
        sort_p=round(p, 6),
        sort_hard=-1.0 if p_hard is None else round(p_hard, 6),
        rank=int(row["review_rank"]),
        reason="" if pd.isna(row["review_reason"]) else str(row["review_reason"]),
        in_hotspot=_true(row["in_hotspot"]),
        is_hard=_true(row["hard"]),
        place=f"x {float(row['x_um']):,.0f}, y {float(row['y_um']):,.0f} µm",
        cannot_tell=not pd.isna(row["conformal"]) and row["conformal"] == CANNOT_TELL,
    )


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _true(value: Any) -> bool:
    return not pd.isna(value) and bool(value)
