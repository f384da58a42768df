"""A made predictions table: every status, every kind of null, values that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wsiamf.export.uuids import assign_uuids
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.predictions import arrow_schema, expert_columns
from wsiamf.statuses import BAD_POINT, DUPLICATE, OK

FRAME = SlideFrame(width=100_000, height=80_000, mpp=0.25, bounds=Bounds(1_000, 2_000, 50_000, 40_000))
FINGERPRINT = "5e" * 32
EXPERTS = ("ami-br/1", "ami-br/2", "ami-br/3")
MODEL = "made-model@sha256:0123456789ab"


def made_table(n_rows: int = 12, *, seed: int = 7, n_experts: int = 3) -> pd.DataFrame:
    """Rows in the schema's columns; the fourth is a duplicate, the last a bad point without position or values."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(1_000, 50_000, n_rows), rng.uniform(2_000, 40_000, n_rows)
    p_atypical, p_hard = rng.random(n_rows), rng.random(n_rows)
    table = pd.DataFrame(
        {
            "candidate_id": [f"MF-{row:06d}" for row in range(1, n_rows + 1)],
            "source_row": np.arange(2, n_rows + 2),
            "source_label": None,
            "x": x,
            "y": y,
            "score": rng.random(n_rows),
            "status": OK,
            "duplicate_of": None,
            "p_atypical": p_atypical,
            "p_hard": p_hard,
            "label": np.where(p_atypical >= 0.5, "AMF", "NMF"),
            "hard": p_hard >= 0.5,
            "review_rank": pd.Series(rng.permutation(n_rows) + 1, dtype="Int64"),
            "review_reason": [f"likely a hard case ({p:.2f}); inside a hotspot" for p in p_hard],
            "crop_coverage": 1.0,
            "in_hotspot": rng.random(n_rows) < 0.3,
            "conformal": np.where(p_atypical >= 0.8, "AMF", np.where(p_atypical <= 0.2, "NMF", "cannot tell")),
        }
    )
    for name in expert_columns(n_experts):
        table[name] = rng.random(n_rows)
    _set_aside(table, 3, DUPLICATE, duplicate_of="MF-000001")
    _set_aside(table, n_rows - 1, BAD_POINT, x=None, y=None, score=None, crop_coverage=None)
    table["x_um"], table["y_um"] = FRAME.um_from_px(table["x"]), FRAME.um_from_px(table["y"])
    table["x_qupath"], table["y_qupath"] = FRAME.qupath_from_level0(table["x"], table["y"])
    table["uuid"] = assign_uuids(FINGERPRINT, "detection", table["x_um"], table["y_um"])
    names: list[str] = arrow_schema(n_experts).names
    return table[names]


def _set_aside(table: pd.DataFrame, row: int, status: str, **values: str | None) -> None:
    """Make a row one that does not count: no probabilities, label, rank or reason."""
    table["hard"] = table["hard"].astype("boolean")
    table["in_hotspot"] = table["in_hotspot"].astype("boolean")
    unknown = [name for name in table.columns if name.startswith("p_")]
    for name in (*unknown, "label", "hard", "review_rank", "review_reason", "in_hotspot", "conformal"):
        table.loc[row, name] = None
    table.loc[row, "status"] = status
    for name, value in values.items():
        table.loc[row, name] = value
