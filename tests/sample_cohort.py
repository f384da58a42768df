"""Small cohorts made by hand: real results of the sample slide, and a plan over them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsiamf.cohort.items import Item
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import SCHEMA
from wsiamf.config import ScreenOptions
from wsiamf.files import dump_json

OPTIONS = ScreenOptions(hotspot_mm2=0.1).model_dump(mode="json")


def made_item(sample_data: Path, row: int, slide_id: str, *, points: bool = True) -> Item:
    """A row of the manifest over the sample slide."""
    files = {"slide": sample_data / "sample.tiff", "points": sample_data / "points.csv" if points else None}
    return Item(row=row, slide_id=slide_id, **files)  # type: ignore[arg-type]


def write_made_plan(out: Path, items: Sequence[Item], **changes: Any) -> Places:
    """Write ``plan.json`` as the contract has it."""
    places = Places(out)
    for folder in (places.locks, places.failures, places.logs):
        folder.mkdir(parents=True, exist_ok=True)
    plan: dict[str, Any] = {
        "schema": SCHEMA,
        "manifest": {"name": "manifest.csv", "sha256": "0" * 64},
        "model": None,
        "error_rates": None,
        "options": OPTIONS,
        "compute": {"backend": "auto", "device": "auto", "batch_size": None, "precision": "auto"},
        "items": [item.as_json() for item in items],
    }
    places.plan.write_text(dump_json(plan | changes))
    return places


def fail(places: Places, slide_id: str, reason: str) -> None:
    """Write the record of a failed slide."""
    record = {
        "schema": "wsiamf.cohort-failure/1",
        "slide_id": slide_id,
        "kind": "error",
        "reason": reason,
        "attempts": 1,
    }
    places.failure(slide_id).write_text(json.dumps(record))


def copy_result(result: Path, target: Path) -> Path:
    """A slide's folder again."""
    shutil.copytree(result, target)
    return target
