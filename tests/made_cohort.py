"""A small cohort of real slide files and the tiny model, for tests of the engine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from wsiamf.cohort.child_process import ChildSettings
from wsiamf.cohort.items import Item
from wsiamf.cohort.running import Orders
from wsiamf.config import ScreenOptions

ROOT = Path(__file__).resolve().parent.parent
HOOKS = Path(__file__).resolve().parent / "child_hooks"
TIMES = ("times", "host")
"""What of ``run.json`` differs between runs."""
TABLES = ("cohort.csv", "cohort.parquet")
"""What holds a column of seconds."""


def hooked_path() -> str:
    """``PYTHONPATH`` with the misbehaving slides of ``child_hooks`` and this tree."""
    return os.pathsep.join([str(HOOKS), str(ROOT)])


def make_items(folder: Path, names: list[str]) -> list[Item]:
    """One small pyramid and three points for each name; what a slide does follows from its name (``child_hooks``)."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for row, name in enumerate(names, start=1):
        slide = write_pyramid_tiff(folder / f"{name}.tiff", coordinate_coded(600 + 8 * row, 500), 0.25)
        points = folder / f"{name}.csv"
        points.write_text(f"id,x,y\na,200,200\nb,{300 + row},300\nc,400,110\n")
        items.append(Item(row, name, slide, points))
    return items


def make_orders(out: Path, model: Path, **changes: Any) -> Orders:
    """Orders of a run with the tiny model; fields of ``ChildSettings`` and ``Orders`` by name."""
    child = {name: changes.pop(name) for name in list(changes) if name in ChildSettings.__dataclass_fields__}
    settings = ChildSettings(str(out), model=str(model), device="cpu", **child)
    return Orders(settings, ScreenOptions().model_dump(mode="json"), **changes)


def results(out: Path) -> dict[str, str]:
    """Hash of every file of results and failures, without the times and hosts of ``run.json``; locks and logs left out."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        if not path.is_file() or {"locks", "logs"} & set(name.parts):
            continue
        content = path.read_bytes()
        if path.name == "run.json":
            record = json.loads(content)
            content = json.dumps({key: record[key] for key in record if key not in TIMES}).encode()
        found[str(name)] = hashlib.sha256(content).hexdigest()
    return found


def untimed(out: Path) -> dict[str, Any]:
    """``results`` of a cohort with its tables; those with a column of seconds by their content without it."""
    found: dict[str, Any] = {name: value for name, value in results(out).items() if name not in TABLES}
    for name in TABLES:
        table = pd.read_csv(out / name) if name.endswith("csv") else pd.read_parquet(out / name)
        assert table.columns[-1] == "seconds"
        found[name] = table.drop(columns="seconds").to_csv()
    return found


def write_manifest(path: Path, items: list[Item]) -> Path:
    """The items as a user lists them."""
    rows = [f"{item.slide},{item.points},{item.slide_id}" for item in items]
    path.write_text("\n".join(["slide,points,slide_id", *rows]) + "\n")
    return path
