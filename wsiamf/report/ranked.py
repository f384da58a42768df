"""The slides of a cohort side by side, by their AMF fraction, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wsiamf.report.fractions import FractionRow, axis_end, ticks
from wsiamf.report.reference import Reference
from wsiamf.report.wording import counted, percent, percent_range

Row = Mapping[str, Any]

_LARGEST_RADIUS: Final = 4.5
_DENSE_FROM: Final = 150
_MOST_TITLED: Final = 1500
"""With more slides than this the marks have no words of their own, which take 250 bytes each; the table has them."""


@dataclass(frozen=True)
class Mark:
    """One slide; places are per cent of the plot, upright ones from the top."""

    x: str
    expected: str
    low: str
    high: str
    counted: str
    few: bool
    words: str
    link: str


@dataclass(frozen=True)
class RankedPlot:
    """The plot.

    Args:
        marks: From the lowest to the highest expected fraction.
        axis: (place from the top, label).
        references: Places from the top.
        radius: Of a mark, px.
        is_dense: Whether marks are so close that their lines are drawn thin.
        words: The plot for who cannot see it.
        n_left_out: Slides without a fraction.
    """

    marks: tuple[Mark, ...]
    axis: tuple[tuple[str, str], ...]
    references: tuple[str, ...]
    radius: float
    is_dense: bool
    words: str
    n_left_out: int


def ranked_plot(rows: Sequence[Row], references: Sequence[Reference], link: Callable[[str], str]) -> RankedPlot | None:
    """Place the slides; None where none has a fraction.

    Args:
        rows: Of ``cohort.csv``.
        references: Lines to draw.
        link: A slide's id to the address of its page, empty where it has none.
    """
    known = [row for row in rows if row.get("amf_fraction_expected") is not None]
    if not known:
        return None
    known.sort(key=lambda row: (row["amf_fraction_expected"], row["amf_fraction"], str(row["slide_id"])))
    ends = [FractionRow("", "", "", "", at=row["amf_fraction"], ends=_ends(row)) for row in known]
    end = axis_end(ends, references)
    titled = len(known) <= _MOST_TITLED
    marks = tuple(_mark(row, k, len(known), end, link, titled=titled) for k, row in enumerate(known))
    return RankedPlot(
        marks=marks,
        axis=tuple((_from_top(0.01 * float(label), end), label) for _, label in ticks(end)),
        references=tuple(_from_top(one.fraction, end) for one in references),
        radius=round(max(1.4, min(_LARGEST_RADIUS, 350 / len(known))), 1),
        is_dense=len(known) > _DENSE_FROM,
        words=(
            f"{counted(len(known), 'slide')} by expected AMF fraction, from {percent(known[0]['amf_fraction_expected'])} "
            f"to {percent(known[-1]['amf_fraction_expected'])}; the table of slides has the numbers."
        ),
        n_left_out=len(rows) - len(known),
    )


def _mark(row: Row, k: int, n: int, end: float, link: Callable[[str], str], *, titled: bool) -> Mark:
    low, high = _ends(row)
    words = (
        f"{row['slide_id']}: expected {percent(row['amf_fraction_expected'])}, 95 % interval {percent_range(low, high)}; "
        f"counted {percent(row['amf_fraction'])} of {counted(row['n_ok'], 'figure')}"
    )
    return Mark(
        x=f"{100 * (k + 0.5) / n:.4g}%",
        expected=_from_top(row["amf_fraction_expected"], end),
        low=_from_top(low, end),
        high=_from_top(high, end),
        counted=_from_top(row["amf_fraction"], end),
        few=row["status"] == "few",
        words=words if titled else "",
        link=link(str(row["slide_id"])),
    )


def _ends(row: Row) -> tuple[float, float]:
    low, high = (row[f"amf_fraction_expected_interval95_{end}"] for end in ("low", "high"))
    return float(low), float(high)


def _from_top(share: float, end: float) -> str:
    return f"{round(100 * (1 - min(share, end) / end), 2):g}%"
