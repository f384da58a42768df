"""Made figures, answers and folders of results for the tests of the review; no model, no pixel but the sample slide's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.made_predictions import FINGERPRINT, FRAME
from tests.made_result_folder import table_at, write_results
from wsiamf.export.uuids import assign_uuids
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.review.answers import Answer, Decision
from wsiamf.slides import read_fingerprint

SAMPLE_FRAME = SlideFrame(width=3072, height=2560, mpp=0.25, bounds=Bounds(0, 0, 3072, 2560))
_SECONDS = count()


def made_figures(n: int = 60, n_slides: int = 3, *, seed: int = 0) -> pd.DataFrame:
    """Figures 100 um apart, as ``load_figures`` gives them; the slides in turn, one case each."""
    rng = np.random.default_rng(seed)
    slides = [f"s{row % n_slides}" for row in range(n)]
    p_atypical = rng.random(n)
    return pd.DataFrame(
        {
            "slide_id": slides,
            "fingerprint": [f"mark-{name}" for name in slides],
            "case_id": [f"case-{name}" for name in slides],
            "uuid": [f"uuid-{row}" for row in range(n)],
            "candidate_id": [f"c{row}" for row in range(n)],
            "x": 400.0 * np.arange(n),
            "y": 800.0,
            "x_um": 100.0 * np.arange(n),
            "y_um": 200.0,
            "score": rng.random(n),
            "p_atypical": p_atypical,
            "p_hard": rng.random(n),
            "label": np.where(p_atypical >= 0.5, "AMF", "NMF").astype(object),
            "hard": pd.Series(rng.random(n) < 0.2, dtype="boolean"),
            "review_rank": pd.Series(np.arange(n) + 1, dtype="Int64"),
            "review_reason": "made",
            "in_hotspot": pd.Series(rng.random(n) < 0.2, dtype="boolean"),
            "review_score": rng.random(n),
        }
    )


def decided(figure: Any, reader: str, answer: Answer, **changes: Any) -> Decision:
    """A reader's answer to a figure (a row), each one later than the one before."""
    at = f"2026-01-01T{next(_SECONDS) // 3600:02d}:00:00.{next(_SECONDS):06d}+00:00"
    decision = Decision(
        slide_id=str(figure.slide_id),
        fingerprint=str(figure.fingerprint),
        x_um=float(figure.x_um),
        y_um=float(figure.y_um),
        kind="figure",
        reader=reader,
        answer=answer,
        blinded=False,
        source="browser",
        candidate_uuid=str(figure.uuid),
        seconds=1.5,
        time=at,
    )
    return replace(decision, **changes)


def all_decided(figures: pd.DataFrame, reader: str, answers: Iterable[Answer]) -> list[Decision]:
    """A reader's answers to figures, in their order."""
    return [decided(row, reader, answer) for row, answer in zip(figures.itertuples(), answers, strict=True)]


def made_out(out: Path, sample_data: Path, *, n: int = 30) -> Path:
    """An OUT of two slides: the sample with its own points, and one whose file is nowhere; with a ``cohort.csv``."""
    slide = sample_data / "sample.tiff"
    points = pd.read_csv(sample_data / "points.csv").head(n)
    fingerprint = read_fingerprint(slide)
    table = _identified(
        table_at(points["x"].to_numpy(dtype=np.float64), points["y"].to_numpy(dtype=np.float64), SAMPLE_FRAME),
        fingerprint,
    )
    write_results(out / "sample", table, SAMPLE_FRAME, slide=slide, fingerprint=fingerprint)
    place = 2_000.0 + 100 * np.arange(n, dtype=np.float64)
    gone = _identified(table_at(place, place, FRAME), FINGERPRINT)
    write_results(out / "gone", gone, FRAME, slide=Path("/nowhere/gone.svs"))
    (out / "cohort.csv").write_text("slide_id,case_id\nsample,animal 1\ngone,\n")
    return out


def _identified(table: pd.DataFrame, fingerprint: str) -> pd.DataFrame:
    """The table with the UUIDs of its slide and places."""
    return table.assign(uuid=assign_uuids(fingerprint, "detection", table["x_um"], table["y_um"]))
