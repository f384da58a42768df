"""The number that is published is the slide's: its share of AMF as wsiamf would print it, against the experts' majority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.training.figures.labelled_rows import called, column, parts, threshold_names
from wsiamf.training.figures.metrics import ratio
from wsiamf.training.figures.resampling import Floats, Resampling, estimates

MIN_FIGURES: Final = (1, 5, 10, 20)
EXPECTED: Final = "expected"
"""The mean calibrated probability, beside the shares that thresholds give."""
_AGREEMENT: Final = ("bias", "mean_absolute_error", "concordance")


def held_out_slides(table: pd.DataFrame) -> pd.DataFrame:
    """One row a slide whose name is known.

    Where several networks said something of the same crops (a test set of a cross-validation), one row a slide and network.

    Returns:
        ``slide_row`` (its number), ``set, slide, case, group, part`` (the fold, or the part that stands for one), ``n, n_amf``
        (by majority), ``amf_fraction``, ``expected`` (mean p_atypical), ``n_amf_<threshold>`` and ``fraction_<threshold>``.
    """
    rows = _with_slide_rows(table)
    if rows.empty:
        return pd.DataFrame()
    by_slide = rows.groupby("slide_row", sort=True)
    slides = by_slide[["set", "slide", "case", "group", "part"]].first()
    slides["n"] = by_slide.size()
    slides["n_amf"] = by_slide["amf"].sum().astype(int)
    slides["amf_fraction"] = by_slide["amf"].mean()
    slides[EXPECTED] = by_slide["p_atypical"].mean()
    for name in threshold_names(table):
        is_amf = pd.Series(called(rows, name), index=rows.index).groupby(rows["slide_row"])
        slides[f"n_amf_{name}"] = is_amf.sum().astype(int)
        slides[f"fraction_{name}"] = is_amf.mean()
    return slides.reset_index()


def rows_of_slides(table: pd.DataFrame) -> list[NDArray[np.intp]]:
    """Positions in the table of each slide's figures, in the order of ``held_out_slides``."""
    rows = _with_slide_rows(table)
    return [np.asarray(positions) for _, positions in rows.groupby("slide_row", sort=True)["position"]]


def _with_slide_rows(table: pd.DataFrame) -> pd.DataFrame:
    rows = table.assign(position=np.arange(len(table)), part=parts(table))
    keys = ["set", "slide"]
    if "fold" in rows and rows.duplicated(["set", "file"]).any():
        keys.append("fold")
    rows = rows[rows["slide"].notna()]
    return rows.assign(slide_row=rows.groupby(keys, sort=True).ngroup())


def slide_agreement(slides: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Bias, mean absolute error and Lin's concordance of slides' shares against the majority's, with bootstrap intervals.

    Args:
        slides: From ``held_out_slides``.
        seed: Of the bootstrap over cases (slides where no case is known).

    Returns:
        ``predicted`` (count, balanced, given, expected), ``min_figures``, ``n_slides``, the three figures with limits,
        ``status``.
    """
    if slides.empty:
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    names = [f"fraction_{name}" for name in ("count", "balanced", "given") if f"fraction_{name}" in slides]
    for column_name in [*names, EXPECTED]:
        for least in MIN_FIGURES:
            some = slides[slides["n"] >= least]
            row = {"predicted": column_name.removeprefix("fraction_"), "min_figures": least}
            rows.append(row | {"n_slides": len(some)} | _agreement(some, column_name, seed))
    return pd.DataFrame(rows)


def _agreement(slides: pd.DataFrame, predicted: str, seed: int) -> dict[str, Any]:
    if len(slides) < 2:
        return {"status": "fewer than two slides"}
    observed, said = column(slides, "amf_fraction"), column(slides, predicted)
    draws = Resampling(slides["group"].to_numpy(dtype=np.str_), seed=seed)
    found = estimates(_AGREEMENT, lambda weights: weighted_agreement(said, observed, weights), draws, len(slides))
    undefined = np.isnan(found["concordance"])
    return found | {"status": "no concordance: neither differs between slides" if undefined else "ok"}


def weighted_agreement(said: Floats, observed: Floats, weights_BN: Floats) -> Floats:
    """Bias (said - observed), mean absolute error and Lin's concordance of weighted slides, (B, 3).

    Lin, Biometrics 1989, 45:255: 2 s_xy / (s_x^2 + s_y^2 + (x - y)^2), variances with 1/n; NaN where all slides are alike.
    """
    gap = said - observed
    moments = (said, observed, said**2, observed**2, said * observed, gap, np.abs(gap), np.ones_like(gap))
    *sums, n = (weights_BN @ np.stack(moments, axis=1)).T
    x, y, xx, yy, xy, bias, error = (total / n for total in sums)
    spread = np.clip(xx - x**2, 0, None) + np.clip(yy - y**2, 0, None) + (x - y) ** 2
    concordance = ratio(2 * (xy - x * y), np.where(spread > 1e-12, spread, 0))
    return np.stack([bias, error, concordance], axis=1)


def class_of_n(n: Sequence[int] | NDArray[np.int_]) -> NDArray[np.int_]:
    """Which of the classes 1-4, 5-9, 10-19, 20 and more each number of figures is in, 0..3."""
    places: NDArray[np.int_] = np.searchsorted(MIN_FIGURES, np.asarray(n), side="right").astype(np.int_) - 1
    return places


def class_name(place: int) -> str:
    """``1-4`` .. ``20+``."""
    least = MIN_FIGURES[place]
    return f"{least}+" if place + 1 == len(MIN_FIGURES) else f"{least}-{MIN_FIGURES[place + 1] - 1}"
