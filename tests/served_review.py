"""A made folder of results under review, over slides whose pixels are there, and a server for it in this process."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
import uvicorn

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from tests.made_predictions import EXPERTS
from tests.made_result_folder import table_at, write_results
from tests.run_processes import wait_until
from wsiamf.export.results import find_results
from wsiamf.files import dump_json, sha256_file
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.predictions import write_predictions
from wsiamf.review.figures import load_figures
from wsiamf.review.server.front_end import STATIC, built_files
from wsiamf.review.server.gate import Gate
from wsiamf.review.server.running import listening
from wsiamf.review.worklist import Worklist, make_worklist
from wsiamf.slides import open_slide, read_fingerprint

SAMPLE: Final = Path(__file__).resolve().parent.parent / "sample_data"
TOKEN: Final = "only-for-tests"  # noqa: S105 - the secret of a server that lives for a test
CODED_SIZE: Final = (1500, 1100)
LONGEST_WAIT_S: Final = 60
"""For what must come, on a machine that is busy with other work; on an idle one it comes in a tenth of that at most."""
REQUIRED: Final = os.environ.get("WSIAMF_REQUIRE_FRONTEND") == "1"

_HOTSPOT: Final = {"rank": 1, "x_px": 540.5, "y_px": 497.5, "width_px": 1460.5, "height_px": 1095.5}
_THRESHOLDS: Final = {"p_atypical": 0.5, "p_hard": 0.5, "p_atypical_experts": [0.5, 0.5, 0.5]}


def made_out(out: Path, *, coded: bool = True) -> Path:
    """Results of ``sample.tiff`` with its points and regions, and of a slide whose colours name each pixel's place."""
    points = pd.read_csv(SAMPLE / "points.csv")
    _write_slide(out / "sample", SAMPLE / "sample.tiff", points["x"].to_numpy(float), points["y"].to_numpy(float))
    if coded:
        slide = write_pyramid_tiff(out.parent / "coded.tiff", coordinate_coded(*CODED_SIZE), 0.25)
        grid = np.arange(100.0, 1000.0, 200.0)
        _write_slide(out / "coded", slide, grid, grid)
    return out


def worklist_of(out: Path, budget: int = 30) -> Worklist:
    """A worklist of the figures of a folder of results."""
    return make_worklist(load_figures(find_results(out)), budget=budget)


def screen_again(out: Path, n_gone: int = 5) -> None:
    """Results of the sample as from another list of points: its first figures are gone, and all others numbered anew."""
    folder = out / "sample"
    (result,) = (one for one in find_results(out) if one.folder == folder)
    write_predictions(result.table().iloc[n_gone:], folder, n_experts=len(EXPERTS))


@contextmanager
def serving(app: Gate, port: int = 0) -> Iterator[int]:
    """A real server on a port, a free one for 0, which is given."""
    listener = listening("127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started, "the server did not start"
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def page_files() -> dict[str, Path]:
    """The built page; skips where there is none, unless it is required."""
    if not (STATIC / "index.html").is_file() and not REQUIRED:
        pytest.skip("the review page is not built: python hatch_build.py (needs Node.js)")
    return built_files()


def _write_slide(folder: Path, slide: Path, x: np.ndarray, y: np.ndarray) -> None:
    with open_slide(slide) as opened:
        width, height = opened.dimensions
    frame = SlideFrame(width, height, 0.25, Bounds(0, 0, width, height))
    table = table_at(x, y, frame)
    ranks = table["review_rank"].rank().astype("Int64")
    write_results(
        folder,
        table.assign(review_rank=ranks),
        frame,
        slide=slide,
        vendor="generic-tiff",
        fingerprint=read_fingerprint(slide),
    )
    regions = SAMPLE / "regions.geojson" if slide.name == "sample.tiff" else None
    _extend(
        folder / "summary.json",
        {"thresholds": _THRESHOLDS, "experts": list(EXPERTS), "hotspots": [_HOTSPOT] if regions else []},
    )
    record = json.loads((folder / "run.json").read_text("utf-8"))
    paths = record["host"]["paths"] | {"regions": None if regions is None else str(regions)}
    stated = None if regions is None else {"name": regions.name, "sha256": sha256_file(regions)}
    options = {"include_classes": ["Tumor"], "exclude_classes": ["Necrosis"]}
    _extend(folder / "run.json", {"host": {"paths": paths}, "regions": stated, "options": options})


def _extend(path: Path, values: dict[str, Any]) -> None:
    path.write_text(dump_json(json.loads(path.read_text("utf-8")) | values), "utf-8")
