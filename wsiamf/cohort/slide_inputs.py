"""Whether the files that a result was made from are still what they were, where they can be found."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from wsiamf.addresses import Address, Url, parse_address
from wsiamf.bundle import open_bundle
from wsiamf.candidates.own_rows import own_rows_sha256
from wsiamf.cohort.faults import Faults, problem, warning
from wsiamf.cohort.slide_files import INPUT_NAMES
from wsiamf.errors import WsiamfError
from wsiamf.files import sha256_file
from wsiamf.slides import read_fingerprint

_OLDER: Final = "written by an older version"

Record = dict[str, Any]


class Inputs:
    """Compares the inputs of slides with the keys of their results; a model is read once, however many slides it made."""

    def __init__(self) -> None:
        self._model_now = cache(_model_sha256)

    def check(self, record: Record, where: str) -> Faults:
        """Each of slide, points, regions, named regions and model that the record names."""
        paths = record["host"].get("paths") or {}
        for name in INPUT_NAMES:
            if not paths.get(name):
                continue
            path = parse_address(paths[name]) if name == "slide" else Path(paths[name])
            if isinstance(path, Path) and not path.exists():
                yield warning(where, f"the {name} file is not found here, so it could not be checked against the key")
                continue
            yield from self._compare(record, name, path, where)

    def _compare(self, record: Record, name: str, path: Address, where: str) -> Faults:
        due = _due(record, name)
        if due is None:
            yield warning(where, f"the hash of {name} could not be checked: {_OLDER}")
            return
        try:
            now = self._now(record, name)(path)
        except (WsiamfError, OSError) as error:
            # an address was recorded without credentials, so that being refused says nothing of the slide
            kind = warning if isinstance(path, Url) else problem
            yield kind(where, f"{name}: {error}")
            return
        if now != due:
            yield problem(where, f"{path.name} ({name}) is not what the result was made from; run again")

    def _now(self, record: Record, name: str) -> Callable[[Any], str]:
        if name == "slide":
            return read_fingerprint
        if name == "points":
            return lambda path: own_rows_sha256(path, record["slide"]["name"], record["options"]["points_format"])
        return self._model_now if name == "model" else sha256_file


def _due(record: Record, name: str) -> str | None:
    """The hash that an input had."""
    key = record.get("key") or {}
    if name in key:
        return key[name]  # type: ignore[no-any-return]
    field = {"slide": "fingerprint", "points": "rows_sha256"}.get(name, "sha256")
    found: str | None = (record.get(name) or {}).get(field)
    return found


def _model_sha256(path: Path) -> str:
    bundle = open_bundle(path)
    bundle.checked_weights()
    return bundle.sha256
