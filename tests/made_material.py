"""What a slide's page is made of, without a slide or a model."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import shapely

from tests.made_predictions import EXPERTS, FINGERPRINT, FRAME, MODEL, made_table
from wsiamf.bundle import open_bundle
from wsiamf.config import ScreenOptions
from wsiamf.regions import Region
from wsiamf.report import Pictures, SlideMaterial, select_galleries
from wsiamf.spec import ErrorRates
from wsiamf.summary import SummaryRules, apply_thresholds, summarize

AREA = shapely.MultiPolygon([shapely.box(2_000, 3_000, 48_000, 40_000)])
RATES = (
    ErrorRates(domain="AMi-Br", threshold="count", n_amf=60, n_nmf=240, sensitivity=0.8, specificity=0.9),
    ErrorRates(domain="AtNorM-MD", threshold="count", n_amf=60, n_nmf=240, sensitivity=0.6, specificity=0.9),
)
RULES = SummaryRules(0.4, "count", 0.5, "ami-br-2025", experts=EXPERTS, error_rates=RATES)


def made_material(table: pd.DataFrame | None = None, *, name: str = "case 1.svs", **changes: Any) -> SlideMaterial:
    """The material of a table; ``changes`` are fields of ``SlideMaterial``."""
    table = made_table(60) if table is None else table
    table = apply_thresholds(table, threshold=RULES.threshold, hard_threshold=RULES.hard_threshold)
    size = {"width": FRAME.width, "height": FRAME.height, "bounds": asdict(FRAME.bounds)}
    facts = {"name": name, **size, "mpp": FRAME.mpp, "fingerprint": FINGERPRINT}
    summary, table = summarize(table, FRAME, Region(AREA, "roi"), RULES, slide_facts=facts)
    summary |= {"regions": None, "label_agreement": None}
    bundle = open_bundle()
    material = SlideMaterial(
        summary=summary,
        table=table,
        record=made_run_record(name),
        area=AREA,
        spec=bundle.spec,
        card=bundle.read_card(),
        pictures=Pictures(noise(600, 800), noise_crops(table)),
    )
    return replace(material, **changes)


def made_run_record(name: str) -> dict[str, Any]:
    """A run record with everything that may not be published beside what may."""
    return {
        "wsiamf": "0.1.0",
        "algorithm_version": 2,
        "versions": {"python": "3.11.7"},
        "slide": {"name": name, "fingerprint": FINGERPRINT, "mpp": FRAME.mpp, "mpp_source": "aperio.MPP"},
        "reading": {"level": 0, "resampled": False, "upsampled": False},
        "points": {"name": "points.csv", "sha256": "a" * 64, "format": "csv", "frame": "level0"},
        "regions": {"name": "regions.geojson", "sha256": "b" * 64},
        "named_regions": None,
        "model": {"title": MODEL, "sha256": "c" * 64},
        "options": ScreenOptions().model_dump(mode="json"),
        "error_rates": None,
        "backend": "openvino",
        "precision": "f32",
        "device_class": "cpu",
        "warnings": ["points.csv: 1 row outside the regions of interest not counted"],
        "times": {"started": "2031-04-05T06:07:08+00:00", "ended": "2031-04-05T06:07:09+00:00", "seconds": 1.234},
        "host": {
            "name": "secret-host",
            "platform": "secret-platform",
            "paths": {"slide": f"/home/secret-user/{name}", "out": "/home/secret-user/out"},
        },
    }


def noise(height: int, width: int, *, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture that compresses worst."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def noise_crops(table: pd.DataFrame) -> dict[int, np.ndarray[Any, np.dtype[np.uint8]]]:
    """A crop of noise for each figure that the galleries show."""
    rows = {row for gallery in select_galleries(table, 0) for row in gallery.rows}
    return {row: noise(128, 128, seed=row) for row in sorted(rows)}
