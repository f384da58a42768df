"""The run record: what was done, with what, to what; and whose folder it is."""

from __future__ import annotations

import json
import platform
import socket
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from wsiamf._version import __version__
from wsiamf.errors import OutputExistsError
from wsiamf.files import RUN_RECORD
from wsiamf.screen.key import ALGORITHM_VERSION

SCHEMA: Final = "wsiamf.run/1"

_LIBRARIES: Final = (
    "imagecodecs",
    "numpy",
    "openslide-bin",
    "openslide-python",
    "openvino",
    "pandas",
    "pillow",
    "pyarrow",
    "safetensors",
    "scipy",
    "shapely",
    "simplejpeg",
    "tifffile",
    "timm",
    "torch",
    "torchvision",
)


def program_facts() -> dict[str, Any]:
    """What of the record is the same for every slide that this installation screens."""
    return {
        "algorithm_version": ALGORITHM_VERSION,
        "wsiamf": __version__,
        "versions": {"python": platform.python_version(), **_library_versions()},
    }


@cache
def _library_versions() -> dict[str, str]:
    """Kept, since reading them takes as long as the tables of a small slide, and a process may screen thousands."""
    return {name: version(name) for name in _LIBRARIES}


def run_record(facts: dict[str, Any], *, started: datetime, host_paths: dict[str, str | None]) -> dict[str, Any]:
    """The content of ``run.json``; all that differs between two runs on one input stands under ``times`` and ``host``.

    Args:
        facts: Options, hashes, slide, model, backend, warnings and outputs.
        started: When the run began.
        host_paths: Absolute paths of what was read and written.
    """
    ended = datetime.now(UTC)
    return {
        "schema": SCHEMA,
        **program_facts(),
        **facts,
        "times": {
            "started": started.isoformat(timespec="seconds"),
            "ended": ended.isoformat(timespec="seconds"),
            "seconds": round((ended - started).total_seconds(), 3),
        },
        "host": {"name": socket.gethostname(), "platform": platform.platform(), "paths": host_paths},
    }


def check_own_folder(folder: Path, fingerprint: str, *, or_name: str | None = None) -> None:
    """Raise unless a folder holds wsiamf's results of this very slide and nothing else.

    Args:
        folder: The results.
        fingerprint: Of the slide's content.
        or_name: File name by which a slide of other content is taken for an earlier file of the same slide; None for no such.

    Raises:
        OutputExistsError: It is not ours, holds another slide's results, or files that wsiamf did not write.
    """
    record = _read_record(folder)
    if record is not None and record["schema"] != SCHEMA:
        raise OutputExistsError(
            f"{folder}: written by another version ({record['schema']}, here {SCHEMA}); choose another --out."
        )
    if record is None:
        raise OutputExistsError(
            f"{folder}: holds no {RUN_RECORD} of wsiamf, so --overwrite does not touch it; choose another --out."
        )
    slide = record.get("slide", {})
    if slide.get("fingerprint") != fingerprint and (or_name is None or slide.get("name") != or_name):
        raise OutputExistsError(
            f"{folder}: holds the results of another slide ({slide.get('name')}); "
            "give this one another id (--slide-id, or slide_id in the manifest)."
        )
    written = {RUN_RECORD, *record.get("outputs", [])}
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in written)
    if foreign:
        raise OutputExistsError(
            f"{folder}: holds {', '.join(foreign[:3])}, which wsiamf did not write; move it away, then --overwrite."
        )


def _read_record(folder: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / RUN_RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(record, dict) and str(record.get("schema", "")).startswith("wsiamf.run/")
    return record if ours else None
