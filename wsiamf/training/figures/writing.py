"""Figures of a labelled predictions table: measured once, written as JSON, CSV tables, plots and one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd
from pandas.api.types import is_float_dtype

from wsiamf.files import dump_json, output_errors, write_text
from wsiamf.spec import ErrorRates
from wsiamf.training.figures.labelled_rows import check_rows
from wsiamf.training.figures.page import render_page
from wsiamf.training.figures.plots import draw_plots
from wsiamf.training.figures.tables import Figures, measure

METRICS: Final = "metrics.json"
PAGE: Final = "figures.html"
_DECIMALS: Final = 4
_CSV: Final = ("by_fold", "by_domain", "by_votes", "by_rater", "slides", "interval_coverage")


def write_figures(
    table: pd.DataFrame,
    folder: Path,
    title: str,
    notes: Sequence[str] = (),
    *,
    seed: int = 0,
    error_rates: Sequence[ErrorRates] = (),
) -> Figures:
    """Measure a table and write ``metrics.json``, CSV tables, plots (SVG) and ``figures.html`` into a folder, made if missing.

    Args:
        table, seed, error_rates: As for ``measure``.
        folder: Files of these names are replaced, one by one; others are left alone.
        title: Of the page.
        notes: What a reader must know before the figures; shown first.

    Raises:
        TrainingError: As ``measure``.
        OutputError: The folder cannot be written to.
    """
    figures = measure(table, seed=seed, error_rates=error_rates)
    plots = draw_plots(check_rows(table), figures)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {**_csv_tables(figures), **{f"{name}.svg": svg for name, svg in plots.items()}}.items():
            write_text(folder / name, text)
        write_text(folder / PAGE, render_page(figures, plots, title=title, notes=notes))
        write_text(folder / METRICS, dump_json({"title": title, "notes": list(notes), **figures.to_json()}))
    return figures


def _csv_tables(figures: Figures) -> dict[str, str]:
    """File name to text of every table that has rows."""
    tables = {name: getattr(figures, name) for name in _CSV}
    return {f"{name}.csv": _csv(table) for name, table in tables.items() if not table.empty}


def _csv(table: pd.DataFrame) -> str:
    rounded = table.round({name: _DECIMALS for name in table if is_float_dtype(table[name])})
    text: str = rounded.to_csv(index=False, lineterminator="\n")
    return text
