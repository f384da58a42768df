"""Counts in regions that somebody named, as ``regions`` of ``summary.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import shapely

from wsiamf.classes import AMF
from wsiamf.geometry import SlideFrame
from wsiamf.regions import NamedRegion, Region
from wsiamf.statuses import OK
from wsiamf.summary.estimates import density_fields, fraction_fields, ratio_fields
from wsiamf.summary.json_fields import Fields, nullable, significant
from wsiamf.summary.thresholds import column_of_floats

_NOT_ASKED = "no regions were given: --regions"


def named_region_fields(
    table: pd.DataFrame, frame: SlideFrame, counting: Region, regions: Sequence[NamedRegion] | None
) -> dict[str, Any]:
    """``regions``: what counts in each, with intervals that no selection has raised, since the region was given.

    Args:
        table: Predictions with ``label``; rows of ``status`` ok count, a figure in two regions in both.
        frame: The slide's.
        counting: Where figures count at all; ``share_in_area`` is the share of a region inside it.
        regions: None where none were given.
    """
    if regions is None:
        return nullable("regions", None, _NOT_ASKED)
    counted = table.loc[table["status"] == OK, ["x", "y", "label"]]
    return nullable("regions", [_fields(one, counted, frame, counting) for one in regions], "")


def _fields(one: NamedRegion, counted: pd.DataFrame, frame: SlideFrame, counting: Region) -> Fields:
    region = one.region
    inside = region.contains(column_of_floats(counted, "x"), column_of_floats(counted, "y"))
    n, n_amf = int(inside.sum()), int((counted["label"] == AMF).to_numpy(dtype=bool)[inside].sum())
    area_mm2 = region.area_mm2(frame.mpp)
    shared = shapely.intersection(region.geometry, counting.geometry).area / region.geometry.area
    given = {"after_selection": False}
    return {
        "name": one.name,
        "selection": "given",
        "area_mm2": significant(area_mm2),
        "share_in_area": significant(shared),
        "n": n,
        "n_amf": n_amf,
        "n_nmf": n - n_amf,
        **fraction_fields(n_amf, n, **given),
        **ratio_fields(n_amf, n - n_amf),
        **density_fields("mf", n, area_mm2, **given),
        **density_fields("amf", n_amf, area_mm2, **given),
    }
