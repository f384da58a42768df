"""One self-contained HTML page of the figures: plots inlined, nothing fetched, no date in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from wsiamf.training.figures.metrics import FIGURES
from wsiamf.training.figures.page_text import HEADERS, TEXT
from wsiamf.training.figures.tables import Figures

_TEMPLATES: Final = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Tile:
    """A number in large type."""

    name: str
    value: str
    interval: str


@dataclass(frozen=True)
class Cell:
    """A table's cell; ``limits`` in small type behind it."""

    text: str
    limits: str = ""


@dataclass(frozen=True)
class Grid:
    """A table; ``numbers`` are the columns that are set flush right."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int]


@dataclass(frozen=True)
class Plot:
    """An inlined SVG."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    title: str
    text: str
    """A paragraph a line."""
    plots: Sequence[Plot] = ()
    grids: Sequence[Grid] = ()


def render_page(figures: Figures, plots: Mapping[str, str], *, title: str, notes: Sequence[str]) -> str:
    """The page's text.

    Args:
        figures: What was measured.
        plots: SVG text by name, from ``plots.draw_plots``.
        title: Its heading.
        notes: Shown before the figures.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("figures.html")
    sections = [section for section in _sections(figures, plots) if section.grids or section.plots]
    return template.render(title=title, notes=notes, lead=_lead(figures), tiles=_tiles(figures), sections=sections)


def _lead(figures: Figures) -> str:
    counts = figures.counts
    parts = [f"{counts['n']} mitotic figures, {counts['n_amf']} of them AMF by the experts' majority"]
    if counts["n_slides"]:
        parts.append(f"on {counts['n_slides']} slides")
    if counts["n_predictions"] > counts["n"]:
        parts.append(
            f"each predicted by the networks of {counts['n_folds']} folds: figures are those of one such network"
        )
    elif counts["n_folds"]:
        parts.append(f"in {counts['n_folds']} folds, each predicted by the network that was trained without its fold")
    return ", ".join(parts) + "."


def _tiles(figures: Figures) -> list[Tile]:
    balanced = figures.at("balanced")
    tiles = [
        _tile("balanced accuracy", balanced, "balanced_accuracy"),
        _tile("AUC", balanced, "auc"),
        _tile("ECE", balanced, "ece"),
        _tile("mean p - observed", balanced, "probability_excess"),
    ]
    hardness = figures.by_votes.iloc[0].to_dict()
    return [*tiles, _tile("hardness AUC", hardness, "hardness_auc")]


def _tile(name: str, row: Mapping[Any, Any], figure: str) -> Tile:
    low, high = row[f"{figure}_low"], row[f"{figure}_high"]
    return Tile(name, _number(row[figure]), "" if pd.isna(low) else f"{_number(low)} to {_number(high)}")


def _sections(figures: Figures, plots: Mapping[str, str]) -> Iterable[Section]:
    def drawn(*names: str) -> list[Plot]:
        return [Plot(_inline(plots[name]), "") for name in names if name in plots]

    yield Section("All figures", TEXT["pooled"], drawn("roc", "reliability", "confusion"), _by_call(figures.pooled))
    yield Section("By fold", "", (), _by_call(figures.by_fold))
    yield Section("By domain", "", (), _by_call(figures.by_domain))
    yield Section("Difficulty", TEXT["votes"], (), _grids(figures.by_votes))
    yield Section("Leaving the hardest out", TEXT["gain"], drawn("risk_coverage"), _grids(figures.risk_coverage_gain))
    yield Section("Heads and experts", TEXT["raters"], (), _grids(figures.by_rater))
    yield Section("Phases", TEXT["phases"], (), _grids(figures.phases))
    yield Section("Slides", TEXT["slides"], drawn("slides"), _grids(figures.slide_agreement))
    coverage = _coverage_grids(figures.interval_coverage)
    yield Section("Coverage of printed intervals", TEXT["coverage"], drawn("interval_coverage"), coverage)
    yield Section("What may be called a 95 % interval", TEXT["verdicts"], (), _grids(figures.interval_verdicts))


def _inline(svg: str) -> Markup:
    """The drawing without XML prolog and DOCTYPE, which HTML does not allow inside."""
    return Markup(svg[svg.index("<svg") :])  # noqa: S704 - drawn here, from numbers and names that matplotlib escapes


def _by_call(table: pd.DataFrame) -> list[Grid]:
    """Two grids: figures that depend on the call, and those of p_atypical alone, which are the same at every threshold."""
    if table.empty:
        return []
    of_p = [name for name in FIGURES if name in ("auc", "ece", "brier", "probability_excess")]
    of_p += ["mean_probability", "amf_fraction"]
    limited = [f"{name}{end}" for name in of_p for end in ("_low", "_high")]
    once = table[table["threshold_name"] == table["threshold_name"].iloc[0]]
    ends = [name for name in limited if name in table]
    calls = table.drop(columns=[*of_p, *ends])
    named = [name for name in ("domain", "fold", "n", "n_amf", "n_groups") if name in table]
    return [*_grids(calls), *_grids(once[[*named, *of_p, *ends, "status"]])]


def _coverage_grids(coverage: pd.DataFrame) -> list[Grid]:
    """One row an interval and truth, one column a class of n; empty where there are too few slides."""
    if "coverage" not in coverage:
        return []
    classes = [str(name) for name in coverage["figures"].unique() if "drawn" not in str(name)]
    rows = []
    for (interval, threshold, truth), some in coverage.groupby(["interval", "threshold_name", "truth"], sort=False):
        cells = {str(row["figures"]).split(" ")[0]: _cell(row, "coverage") for row in some.to_dict("records")}
        claimed = f"{truth} (its claim)" if some["claimed"].any() else str(truth)
        named = [Cell(str(interval)), Cell(str(threshold)), Cell(claimed)]
        rows.append((*named, *(cells.get(name, Cell("")) for name in classes)))
    header = ("interval", "threshold", "truth", *(f"n {name}" for name in classes))
    return [Grid(header, tuple(rows), frozenset(range(3, len(header))))]


def _grids(table: pd.DataFrame) -> list[Grid]:
    """The table as one grid, none where it has no rows; limits stand in their figure's cell, ``status`` only where not ok."""
    if table.empty:
        return []
    hidden = {name for name in table if str(name).endswith(("_low", "_high"))}
    if "status" in table and (table["status"] == "ok").all():
        hidden.add("status")
    names = [str(name) for name in table if name not in hidden]
    rows = tuple(tuple(_cell(row, name) for name in names) for row in table.to_dict("records"))
    numbers = frozenset(k for k, name in enumerate(names) if _is_number(table[name]))
    return [Grid(tuple(HEADERS.get(name, name.replace("_", " ")) for name in names), rows, numbers)]


def _is_number(values: pd.Series[Any]) -> bool:
    return is_numeric_dtype(values) and not is_bool_dtype(values)


def _cell(row: Mapping[Any, Any], name: str) -> Cell:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    limits = "" if low is None or pd.isna(low) else f"{_number(low)} to {_number(high)}"
    return Cell("" if name == "status" and row[name] == "ok" else _number(row[name]), limits)


def _number(value: Any) -> str:
    if value is None or pd.isna(value):
        return "–"  # noqa: RUF001 - an en dash, where nothing can be told
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{round(value, 3) + 0.0:.3f}" if isinstance(value, float) else str(value)  # + 0.0: no minus before a nought
