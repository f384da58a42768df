"""``summarize``: one slide's predictions table to ``summary.json`` (schema ``wsiamf.summary/1``).

Every value that may be null has a ``<field>_status`` beside it: ``ok``, or why there is none. Numbers are rounded to six
significant digits, coordinates to a thousandth of a px or um, so that equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import AMF
from wsiamf.geometry import SlideFrame, hotspot_sides_um
from wsiamf.predictions import expert_columns
from wsiamf.regions import Region
from wsiamf.statuses import OK, STATUSES
from wsiamf.summary.estimates import (
    density_fields,
    error_adjusted_fields,
    error_range_fields,
    expected_fields,
    expert_fields,
    fraction_fields,
    ratio_fields,
)
from wsiamf.summary.hotspot import MIN_SHARE, Rectangle, find_hotspots
from wsiamf.summary.json_fields import NO_FIGURES, STATUS_OK, Fields, nullable, position, significant
from wsiamf.summary.thresholds import SummaryRules, column_of_floats

SCHEMA: Final = "wsiamf.summary/1"
N_HOTSPOTS: Final = 3
FEW: Final = 10
"""Fewer counted figures than this are flagged."""

FEW_FLAG: Final = f"n<{FEW}"
NOT_ESTIMABLE_FLAG: Final = "not_estimable"

_USED_COLUMNS: Final = ("x", "y", "score", "p_atypical", "label", "hard")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Counted:
    """The rows that count, as arrays of one length; x and y in level-0 px, NaN for a null probability or score."""

    x: Floats
    y: Floats
    scores: Floats
    p_atypical: Floats
    is_amf: NDArray[np.bool_]
    p_experts: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.x)


def summarize(
    table: pd.DataFrame,
    frame: SlideFrame,
    region: Region,
    rules: SummaryRules,
    *,
    slide_facts: Mapping[str, Any],
    flags: Sequence[str] = (),
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Count a slide's figures and say how sure the numbers are.

    Args:
        table: Predictions with ``label`` and ``hard`` set (``apply_thresholds``); rows of ``status`` ok count.
        frame: The slide's.
        region: Where figures count; densities and hotspots go by its area.
        rules: Thresholds, hotspot area, error rates, experts.
        slide_facts: JSON-ready facts of the slide, with ``mpp`` and where it came from.
        flags: Further flags, for example ``upsampled``.

    Returns:
        The JSON-ready summary, which holds no NaN or Infinity; and a copy of the table with ``in_hotspot``: true for the
        figures in the first hotspot, false for all others that count, null for rows that do not.
    """
    is_counted = (table["status"] == OK).to_numpy(dtype=bool)
    rows = table.loc[is_counted, [*_USED_COLUMNS, *expert_columns(len(rules.experts))]]
    counted = _counted(rows, rules.experts)
    hotspots, hotspots_status = _find(counted, frame, region, rules.hotspot_mm2)
    summary: Fields = {
        "schema": SCHEMA,
        "use": "research use only",
        "slide": dict(slide_facts),
        "definition": rules.definition,
        "thresholds": _thresholds(rules),
        "flags": _flags(len(counted), flags),
        "n_candidates": len(table),
        "n_ok": len(counted),
        "n_by_status": {status: int((table["status"] == status).sum()) for status in STATUSES},
        **_count_fields(rows, counted, rules),
        **_area_fields(counted, frame, region, rules.hotspot_mm2),
        "hotspots": _hotspot_list(hotspots, counted, frame, rules.hotspot_mm2),
        "hotspots_status": hotspots_status,
    }
    return summary, _with_in_hotspot(table, is_counted, counted, hotspots)


def _counted(rows: pd.DataFrame, experts: Sequence[str]) -> _Counted:
    p_atypical = column_of_floats(rows, "p_atypical")
    assert not np.isnan(p_atypical).any(), "a row that counts has a probability"
    columns = zip(experts, expert_columns(len(experts)), strict=True)
    return _Counted(
        x=column_of_floats(rows, "x"),
        y=column_of_floats(rows, "y"),
        scores=column_of_floats(rows, "score"),
        p_atypical=p_atypical,
        is_amf=(rows["label"] == AMF).to_numpy(dtype=bool),
        p_experts={expert: column_of_floats(rows, column) for expert, column in columns},
    )


def _thresholds(rules: SummaryRules) -> Fields:
    return {
        "name": rules.threshold_name,
        "p_atypical": rules.threshold,
        "p_hard": rules.hard_threshold,
        "p_atypical_experts": list(rules.expert_cut_offs),
    }


def _flags(n: int, further: Sequence[str]) -> list[str]:
    own = [flag for flag, holds in ((FEW_FLAG, n < FEW), (NOT_ESTIMABLE_FLAG, n == 0)) if holds]
    return list(dict.fromkeys([*own, *further]))


def _count_fields(rows: pd.DataFrame, counted: _Counted, rules: SummaryRules) -> Fields:
    n, n_amf = len(counted), int(counted.is_amf.sum())
    return {
        "n_amf": n_amf,
        "n_nmf": n - n_amf,
        **nullable("n_hard", _n_hard(rows), "the model has no hard/easy head"),
        **fraction_fields(n_amf, n),
        **ratio_fields(n_amf, n - n_amf),
        **expected_fields(counted.p_atypical),
        **expert_fields(counted.p_experts, rules.expert_cut_offs),
        **error_range_fields(n_amf, n, rules.error_rates),
        **error_adjusted_fields(n_amf, n, rules.own_error_rates, seed=rules.seed),
    }


def _n_hard(rows: pd.DataFrame) -> int | None:
    hard = rows["hard"].astype("boolean")
    return int(hard.sum()) if hard.notna().any() or not len(rows) else None


def _area_fields(counted: _Counted, frame: SlideFrame, region: Region, hotspot_mm2: float) -> Fields:
    """Densities over the whole area, which no selection has raised."""
    area_mm2 = region.area_mm2(frame.mpp)
    n, n_amf = len(counted), int(counted.is_amf.sum())
    per_hotspot = significant(n / area_mm2 * hotspot_mm2) if area_mm2 > 0 else None
    return {
        "area_mm2": significant(area_mm2),
        "area_kind": region.kind,
        "n_ok_outside_area": int((~region.contains(counted.x, counted.y)).sum()),
        **density_fields("mf", n, area_mm2),
        **density_fields("amf", n_amf, area_mm2),
        "hotspot_mm2": hotspot_mm2,
        "hotspot_min_share_in_area": MIN_SHARE,
        **nullable("mf_per_hotspot_area_on_average", per_hotspot, "not estimable: the area is empty"),
    }


def _find(counted: _Counted, frame: SlideFrame, region: Region, hotspot_mm2: float) -> tuple[list[Rectangle], str]:
    """The hotspots, and their status: ok, or why there are none or fewer than three."""
    if region.area_mm2(frame.mpp) < hotspot_mm2:
        return [], "the area is smaller than a hotspot"
    if not len(counted):
        return [], NO_FIGURES
    long_um, short_um = hotspot_sides_um(hotspot_mm2)
    found = find_hotspots(
        counted.x,
        counted.y,
        counted.scores,
        region.geometry,
        sides_px=(long_um / frame.mpp, short_um / frame.mpp),
        n_hotspots=N_HOTSPOTS,
    )
    if not found:
        return [], f"no rectangle round a counted figure lies {MIN_SHARE:.0%} in the area"
    return found, STATUS_OK if len(found) == N_HOTSPOTS else f"only {len(found)} of {N_HOTSPOTS} fit without overlap"


def _hotspot_list(
    hotspots: Sequence[Rectangle], counted: _Counted, frame: SlideFrame, area_mm2: float
) -> list[Fields] | None:
    ranked = enumerate(hotspots, start=1)
    return [_hotspot_fields(rank, hotspot, counted, frame, area_mm2) for rank, hotspot in ranked] or None


def _hotspot_fields(rank: int, hotspot: Rectangle, counted: _Counted, frame: SlideFrame, area_mm2: float) -> Fields:
    inside = hotspot.contains(counted.x, counted.y)
    n_amf = int(counted.is_amf[inside].sum())
    selected = {"after_selection": True}
    mean_score = None if hotspot.mean_score is None else significant(hotspot.mean_score)
    return {
        "rank": rank,
        **_place(hotspot, frame),
        "area_mm2": area_mm2,
        "share_in_area": significant(hotspot.share_in_area),
        "n": hotspot.n,
        "n_amf": n_amf,
        "n_nmf": hotspot.n - n_amf,
        "amc": n_amf,
        "after_selection": True,
        **fraction_fields(n_amf, hotspot.n, **selected),
        **ratio_fields(n_amf, hotspot.n - n_amf),
        **density_fields("mf", hotspot.n, area_mm2, **selected),
        **density_fields("amf", n_amf, area_mm2, **selected),
        **nullable("mean_score", mean_score, "no figure has a detector score"),
    }


def _place(hotspot: Rectangle, frame: SlideFrame) -> Fields:
    """Upper left corner and size in every frame."""
    x_qupath, y_qupath = frame.qupath_from_level0(hotspot.x, hotspot.y)
    lengths = {"x": hotspot.x, "y": hotspot.y, "width": hotspot.width, "height": hotspot.height}
    return {
        "corner": "upper left",
        **{f"{name}_px": position(value) for name, value in lengths.items()},
        **{f"{name}_um": position(value * frame.mpp) for name, value in lengths.items()},
        "x_qupath": position(float(x_qupath)),
        "y_qupath": position(float(y_qupath)),
    }


def _with_in_hotspot(
    table: pd.DataFrame, is_counted: NDArray[np.bool_], counted: _Counted, hotspots: Sequence[Rectangle]
) -> pd.DataFrame:
    inside = np.zeros(len(table), dtype=bool)
    if hotspots:
        inside[is_counted] = hotspots[0].contains(counted.x, counted.y)
    return table.assign(in_hotspot=pd.Series(inside, index=table.index, dtype="boolean").where(is_counted))
