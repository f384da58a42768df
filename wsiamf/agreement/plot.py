"""Bland and Altman's plot: difference against mean, a panel a measure, a colour a reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsiamf.agreement.comparing import MEASURES, POOLED
from wsiamf.files import atomic_file
from wsiamf.summary.json_fields import Fields

_TITLES: Final = {"mc": "Mitotic figures", "amc": "Atypical mitotic figures"}
_DPI: Final = 150
_COLORS: Final = "tab10"  # ten readers before a colour comes again
_GREY: Final = "#6c757d"


def write_plot(path: Path, found: Fields) -> None:
    """Draw what ``compare`` found, and write it as PNG.

    Bias and limits are those of the readers' mean, or of the reader where there is one.

    Raises:
        OutputError: The file cannot be written.
    """
    measures = [measure for measure in MEASURES if any(one["measure"] == measure for one in found["comparisons"])]
    with matplotlib.style.context(["default", {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}]):
        figure = Figure(figsize=(5.2 * len(measures), 4.2), layout="constrained")
        panels = figure.subplots(1, len(measures), squeeze=False)[0]
        for axes, measure in zip(panels, measures, strict=True):
            _panel(axes, measure, found)
        with atomic_file(path) as temporary:
            # no version of matplotlib in the file: equal counts, equal bytes
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})


def _panel(axes: Axes, measure: str, found: Fields) -> None:
    pairs = [pair for pair in found["pairs"] if pair[measure] is not None]
    colors = matplotlib.colormaps[_COLORS]
    for number, reader in enumerate(sorted({pair["reader"] for pair in pairs})):
        theirs, own = _values([pair for pair in pairs if pair["reader"] == reader], measure)
        axes.scatter((theirs + own) / 2, own - theirs, s=16, alpha=0.7, color=colors(number % 10), label=reader)
    lines = next((one for one in _of(found, measure) if one["reader"] == POOLED), _of(found, measure)[0])
    _lines(axes, lines)
    axes.set(title=_TITLES[measure], xlabel="mean of wsiamf and reader", ylabel="wsiamf less reader")
    axes.legend(frameon=False, fontsize=8)


def _of(found: Fields, measure: str) -> list[Fields]:
    return [one for one in found["comparisons"] if one["measure"] == measure]


def _values(pairs: Sequence[dict[str, Any]], measure: str) -> tuple[Any, Any]:
    own = np.array([pair[f"{measure}_wsiamf"] for pair in pairs], dtype=np.float64)
    return np.array([pair[measure] for pair in pairs], dtype=np.float64), own


def _lines(axes: Axes, one: Fields) -> None:
    """Bias and limits of agreement, each with the band of its 95 % interval."""
    axes.axhline(0, color="#d0d0d0", linewidth=0.8, zorder=0)
    for name in ("bias", "lower_limit", "upper_limit"):
        if one[name] is None:
            continue
        interval = one[f"{name}_interval"]
        axes.axhspan(interval["low"], interval["high"], color=_GREY, alpha=0.12, linewidth=0, zorder=0)
        axes.axhline(one[name], color=_GREY, linewidth=1, linestyle="-" if name == "bias" else "--", zorder=1)
