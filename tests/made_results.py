"""Made folders of results as screenings leave them, and the plan that asks for them; no pixel is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from tests.made_predictions import made_table
from wsiamf.bundle import open_bundle
from wsiamf.cohort.items import Item
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import Plan
from wsiamf.config import ScreenOptions
from wsiamf.files import dump_json
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.predictions import write_predictions
from wsiamf.regions import Region
from wsiamf.screen.key import ALGORITHM_VERSION, key_options
from wsiamf.summary import SummaryRules, apply_thresholds, summarize

FRAME = SlideFrame(width=20_000, height=20_000, mpp=0.25, bounds=Bounds(0, 0, 20_000, 20_000))
REGION = Region(shapely.MultiPolygon([shapely.box(0, 0, 20_000, 20_000)]), "tissue")  # 25 mm2
RULES = SummaryRules(0.4, "count", 0.5, "ami-br-2025", experts=("ami-br/1", "ami-br/2", "ami-br/3"))
OPTIONS: dict[str, Any] = ScreenOptions().model_dump(mode="json")


def made_item(row: int, **values: Any) -> Item:
    """A row of the manifest; ``values`` are fields of ``Item``."""
    item = Item(row=row, slide_id=f"s{row}", slide=Path(f"/made/slides/s{row}.svs"), points=Path("/made/points.csv"))
    return replace(item, **values)


def write_plan(places: Places, items: Sequence[Item], **changes: Any) -> Plan:
    """``plan.json``; ``changes`` are fields of ``Plan``."""
    manifest = {"name": "manifest.csv", "sha256": "ab" * 32}
    compute = {"backend": "auto", "device": "auto", "batch_size": None, "precision": "auto"}
    plan = replace(Plan(manifest, None, None, OPTIONS, compute, tuple(items)), **changes)
    places.state.mkdir(parents=True, exist_ok=True)
    values = asdict(plan) | {"items": [item.as_json() for item in plan.items]}
    places.plan.write_text(dump_json(values), "utf-8")
    return plan


def write_failure(places: Places, slide_id: str, **values: Any) -> None:
    """The engine's record of a slide whose last try failed."""
    places.failures.mkdir(parents=True, exist_ok=True)
    stated = {
        "schema": "wsiamf.cohort-failure/1",
        "slide_id": slide_id,
        "kind": "error",
        "reason": "bad",
        "attempts": 1,
    }
    places.failure(slide_id).write_text(dump_json(stated | values), "utf-8")


def write_result(places: Places, item: Item, n_amf: int, n_nmf: int, **changes: Any) -> None:
    """A slide's folder: so many figures on a diagonal, and ``changes`` to its ``run.json``."""
    folder = places.folder(item.slide_id)
    folder.mkdir(parents=True)
    summary, table = _summarized(item, n_amf, n_nmf)
    write_predictions(table, folder, n_experts=3)
    (folder / "summary.json").write_text(dump_json(summary), "utf-8")
    (folder / "run.json").write_text(dump_json(made_record(item) | changes), "utf-8")


def made_record(item: Item) -> dict[str, Any]:
    """The content of a slide's ``run.json``."""
    bundle = open_bundle()
    key: dict[str, Any] = {"slide": item.slide_id, "points": "cd" * 32, "regions": None, "model": bundle.sha256}
    own = {} if item.mpp is None else {"mpp": item.mpp}
    key |= {"options": key_options(OPTIONS | own), "error_rates": None, "algorithm_version": ALGORITHM_VERSION}
    computed = {"backend": "openvino", "precision": "f32", "device_class": "cpu"}
    return {
        "schema": "wsiamf.run/1",
        "algorithm_version": ALGORITHM_VERSION,
        "wsiamf": "0.1.0",
        "versions": {"python": "3.11.7"},
        "slide": {"name": item.slide.name, "mpp": FRAME.mpp, "mpp_source": "aperio.MPP"},
        "reading": {"level": 0, "resampled": False, "upsampled": False},
        "model": {"title": bundle.title, "sha256": bundle.sha256},
        **computed,
        "warnings": [],
        "times": {"started": "2025-01-01T00:00:00+00:00", "seconds": 1.5},
        "key": key | computed,
    }


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that holds neither NaN nor Infinity."""

    def refuse(text: str) -> None:
        raise AssertionError(f"{path.name} holds {text}")

    values: dict[str, Any] = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    return values


def _summarized(item: Item, n_amf: int, n_nmf: int) -> tuple[dict[str, Any], pd.DataFrame]:
    n = n_amf + n_nmf
    table = made_table(n + 2).iloc[[row for row in range(n + 2) if row not in {3, n + 1}]][:n].reset_index(drop=True)
    place = 500.0 + 20 * np.arange(n)
    table = table.assign(x=place, y=place, p_atypical=np.where(np.arange(n) < n_amf, 0.8, 0.1))
    table = apply_thresholds(table, threshold=RULES.threshold, hard_threshold=RULES.hard_threshold)
    facts = {"name": item.slide.name, "mpp": FRAME.mpp, "mpp_source": "aperio.MPP"}
    return summarize(table, FRAME, REGION, RULES, slide_facts=facts)
