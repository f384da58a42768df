"""Plots of the figures as SVG text: the same input gives the same bytes, whatever the user's matplotlib settings."""

from __future__ import annotations

import io
from typing import Any, Final

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from wsiamf.classes import AMF, CLASS_COLORS, HARD_CASE_COLOR, HOTSPOT_COLOR, NMF
from wsiamf.summary.intervals import LEVEL
from wsiamf.training.figures.interval_coverage import ALL, ENOUGH, HERE, WHOLE
from wsiamf.training.figures.labelled_rows import column, has_folds
from wsiamf.training.figures.slide_agreement import MIN_FIGURES, class_name
from wsiamf.training.figures.tables import Figures

_STYLE: Final[dict[str, Any]] = {
    "svg.hashsalt": "wsiamf",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "axes.titlesize": 9,
}


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in rgb)


_RED, _BLUE = _hex(CLASS_COLORS[AMF]), _hex(CLASS_COLORS[NMF])
_ORANGE, _GREEN, _GREY = _hex(HARD_CASE_COLOR), _hex(HOTSPOT_COLOR), "#8c8c8c"
_THRESHOLD_COLORS: Final = {"balanced": _RED, "count": _BLUE, "given": _GREEN}
_ORDER_COLORS: Final = {"p_hard": _ORANGE, "doubt": _BLUE, "review": _GREEN}


def draw_plots(table: pd.DataFrame, figures: Figures) -> dict[str, str]:
    """SVG text of every plot that can be drawn, by name.

    Args:
        table: Labelled predictions, checked.
        figures: Measured on them.
    """
    with matplotlib.style.context(["default", _STYLE]):
        plots = {"reliability": _reliability(figures), "confusion": _confusion(figures)}
        if figures.at("balanced")["status"] == "ok":
            plots = {"roc": _roc(table, figures), **plots, "risk_coverage": _risk_coverage(figures)}
        if len(figures.slides) > 1:
            plots["slides"] = _slides(figures)
        if "coverage" in figures.interval_coverage:
            plots["interval_coverage"] = _interval_coverage(figures)
        return {name: _svg(figure) for name, figure in plots.items()}


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _axes(width: float = 4.4, height: float = 3.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, aspect="equal")


def _roc(table: pd.DataFrame, figures: Figures) -> Figure:
    figure, axes = _axes()
    if has_folds(table):
        for _, rows in table.groupby("fold", sort=True):
            if rows["amf"].nunique() == 2:
                axes.plot(*_rates(rows), color=_GREY, linewidth=0.6, alpha=0.7)
        axes.plot([], [], color=_GREY, linewidth=0.6, label="each fold")
    auc = figures.at("balanced")["auc"]
    axes.plot(*_rates(table), color="black", linewidth=1.4, label=f"all, AUC {auc:.3f}")
    for row in figures.pooled.to_dict("records"):
        name = str(row["threshold_name"])
        place = (1 - row["specificity"], row["sensitivity"])
        axes.plot(*place, "o", color=_THRESHOLD_COLORS[name], label=f"threshold {name}")
    axes.axline((0, 0), slope=1, color=_GREY, linewidth=0.6, linestyle=":")
    _unit_square(axes, "1 - specificity (NMF called AMF)", "sensitivity (AMF called AMF)")
    axes.legend(loc="lower right")
    return figure


def _rates(rows: pd.DataFrame) -> tuple[Any, Any]:
    false_positive, true_positive, _ = roc_curve(column(rows, "amf"), column(rows, "p_atypical"))
    return false_positive, true_positive


def _reliability(figures: Figures) -> Figure:
    figure = Figure(figsize=(4.4, 4.6), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    bins = figures.reliability
    observed = bins["amf_fraction"]
    errors = np.clip([observed - bins["amf_fraction_low"], bins["amf_fraction_high"] - observed], 0, None)
    axes.axline((0, 0), slope=1, color=_GREY, linewidth=0.6, linestyle=":")
    axes.errorbar(bins["mean_probability"], observed, yerr=errors, fmt="o", color=_RED, capsize=2, linewidth=1)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="AMF by the majority")
    counts.bar(bins["from"] + 0.05, bins["n"], width=0.09, color=_BLUE)
    for row in bins.to_dict("records"):
        counts.annotate(str(row["n"]), (row["from"] + 0.05, row["n"]), ha="center", va="bottom", fontsize=7)
    counts.set(xlabel="p_atypical", ylabel="figures", ylim=(0, 1.25 * float(bins["n"].max())))
    return figure


def _confusion(figures: Figures) -> Figure:
    matrices = figures.confusion.to_dict("records")
    figure = Figure(figsize=(2.9 * len(matrices), 2.7), layout="constrained")
    for place, row in zip(np.ravel(figure.subplots(1, len(matrices))), matrices, strict=True):
        _matrix(place, row)
    return figure


def _matrix(axes: Axes, row: dict[Any, Any]) -> None:
    counts = np.array([[row[f"{truth}_called_{call}"] for call in ("amf", "nmf")] for truth in ("amf", "nmf")])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.3)
    for (y, x), n in np.ndenumerate(counts):
        axes.annotate(f"{n}\n{shares[y, x]:.0%}", (x, y), ha="center", va="center")
    axes.set(title=f"threshold {row['threshold_name']}", xlabel="called", ylabel="majority")
    axes.set_xticks([0, 1], [AMF, NMF])
    axes.set_yticks([0, 1], [AMF, NMF])
    axes.grid(visible=False)


def _risk_coverage(figures: Figures) -> Figure:
    figure, axes = _axes(5.2, 3.6)
    for name, rows in figures.risk_coverage.groupby("left_out_by", sort=False):
        axes.plot(rows["coverage"], rows["balanced_accuracy"], color=_ORDER_COLORS[str(name)], label=f"by {name}")
    axes.axvline(0.8, color=_GREY, linewidth=0.6, linestyle=":")
    axes.set(xlabel="share of the figures that is kept", ylabel="balanced accuracy of these", xlim=(1.01, 0.49))
    axes.legend(title="hardest left out", title_fontsize=8)
    return figure


def _slides(figures: Figures) -> Figure:
    figure = Figure(figsize=(7.6, 3.9), layout="constrained")
    slides = figures.slides
    pairs = (("fraction_count", "share called AMF at count"), ("expected", "mean p_atypical"))
    for axes, (name, words) in zip(figure.subplots(1, 2), pairs, strict=True):
        axes.axline((0, 0), slope=1, color=_GREY, linewidth=0.6, linestyle=":")
        axes.scatter(slides["amf_fraction"], slides[name], s=3 * slides["n"], color=_BLUE, alpha=0.45, linewidth=0)
        _unit_square(axes, "AMF fraction by the majority", words)
    figure.suptitle("one disc a slide, its area the number of figures", fontsize=8)
    return figure


def _interval_coverage(figures: Figures) -> Figure:
    figure = Figure(figsize=(7.6, 3.5), layout="constrained")
    table = figures.interval_coverage
    usable = table[table["threshold_name"].isin(["", "count"]) & (table["status"] == "ok")]
    names = [class_name(place) for place in range(len(MIN_FIGURES))]
    colors = dict(zip(table["interval"].unique(), (_GREEN, _RED, _BLUE, _ORANGE, _GREY), strict=True))
    for axes, truth in zip(figure.subplots(1, 2, sharey=True), (HERE, WHOLE), strict=True):
        for name, color in colors.items():
            rows = usable[(usable["truth"] == truth) & (usable["interval"] == name) & (usable["figures"] != ALL)]
            places = [names.index(str(label).split(" ")[0]) for label in rows["figures"]]
            axes.plot(places, rows["coverage"], "o-", color=color, label=str(name), markersize=4)
        axes.axhline(LEVEL, color="black", linewidth=0.8)
        axes.axhline(ENOUGH, color=_RED, linewidth=0.8, linestyle="--")
        axes.set(title=f"truth: {truth}", xlabel="figures", xlim=(-0.2, len(names) - 0.8), ylim=(0, 1.02))
        axes.set_xticks(range(len(names)), names)
    figure.axes[0].set(ylabel="coverage (threshold count)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
