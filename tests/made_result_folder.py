"""A made folder of results, as ``screen`` leaves it, without a slide or a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tests.made_predictions import EXPERTS, FINGERPRINT, FRAME, MODEL, made_table
from wsiamf.export.qupath import write_detections, write_review
from wsiamf.files import dump_json, write_text
from wsiamf.geometry import SlideFrame
from wsiamf.predictions import write_predictions

_CUTS = {"name": "count", "p_atypical": 0.4}


def table_at(x: NDArray[np.float64], y: NDArray[np.float64], frame: SlideFrame = FRAME) -> pd.DataFrame:
    """A made table whose rows all count and lie at given level-0 px."""
    table = made_table(len(x) + 2)
    table = table[table["status"] == "ok"].head(len(x)).reset_index(drop=True)
    x_qupath, y_qupath = frame.qupath_from_level0(x, y)
    return table.assign(
        x=x, y=y, x_um=frame.um_from_px(x), y_um=frame.um_from_px(y), x_qupath=x_qupath, y_qupath=y_qupath
    )


def write_results(
    folder: Path,
    table: pd.DataFrame,
    frame: SlideFrame = FRAME,
    *,
    slide: Path = Path("slides/case 1.svs"),
    vendor: str = "aperio",
    fingerprint: str = FINGERPRINT,
) -> Path:
    """Write the tables, both GeoJSON files, the summary's facts of the slide and the run record; returns the folder."""
    folder.mkdir(parents=True)
    write_predictions(table, folder, n_experts=len(EXPERTS))
    write_detections(folder / "detections.geojson", table, frame=frame, model=MODEL, experts=EXPERTS)
    named = {"frame": frame, "fingerprint": fingerprint, "model": MODEL, "experts": EXPERTS}
    write_review(folder / "review.geojson", table, None, **named)  # type: ignore[arg-type]
    bounds = frame.bounds
    facts = {
        "name": slide.name,
        "vendor": vendor,
        "width": frame.width,
        "height": frame.height,
        "mpp": frame.mpp,
        "mpp_stated": None if frame.stated_mpp_xy is None else list(frame.stated_mpp_xy),
        "bounds": {"x": bounds.x, "y": bounds.y, "width": bounds.width, "height": bounds.height},
        "fingerprint": fingerprint,
    }
    write_text(folder / "summary.json", dump_json({"schema": "wsiamf.summary/1", "slide": facts, "thresholds": _CUTS}))
    record = {
        "schema": "wsiamf.run/1",
        "slide": {"name": slide.name, "fingerprint": fingerprint, "mpp": frame.mpp},
        "model": {"title": MODEL},
        "host": {"paths": {"slide": str(slide.absolute())}},
    }
    write_text(folder / "run.json", dump_json(record))
    return folder
