"""What became of one slide: its result, if it stands and is the plan's, or why there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wsiamf.bundle import open_bundle
from wsiamf.cohort.items import Item
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import Plan
from wsiamf.errors import BundleError, ConfigError
from wsiamf.files import dump_json, sha256_bytes
from wsiamf.screen.key import ALGORITHM_VERSION, comparable_key, key_options
from wsiamf.spec import load_error_rates

PREDICTIONS: Final = "predictions.parquet"
SUMMARY: Final = "summary.json"
NOT_SCREENED: Final = "not_screened"
DAMAGED: Final = "damaged"
"""Kinds of failure beside the engine's ``error``, ``crash`` and ``timeout``."""

MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)
"""What reading fields out of a damaged result raises."""

_OTHER: Final = {
    "algorithm_version": "another version of wsiamf's algorithm",
    "options": "other options than the plan's",
    "model": "another model than the plan's",
    "error_rates": "other error rates than the plan's",
}
"""By the part that ``PlannedResults.differing_part`` names."""
_RECORD_FIELDS: Final = (
    *("key", "wsiamf", "algorithm_version", "versions", "slide", "reading", "model"),
    *("backend", "precision", "device_class", "warnings", "times"),
)
_SUMMARY_FIELDS: Final = ("n_ok", "n_amf", "hotspots", "flags", "definition", "thresholds", "area_kind")


@dataclass(frozen=True)
class Result:
    """A slide's result that stands.

    Args:
        record: The content of its ``run.json``.
        summary: The content of its ``summary.json``.
        predictions: Its table of predictions.
    """

    record: dict[str, Any]
    summary: dict[str, Any]
    predictions: Path

    def digest(self, item: Item) -> str:
        """sha256 over all that the cohort's part of its predictions follows from."""
        table = self.record.get("output_sha256", {}).get(PREDICTIONS)
        made_from = {"key": self.record["key"], "table": table, "slide_id": item.slide_id, "case_id": item.case_id}
        return sha256_bytes(dump_json(made_from).encode())


@dataclass(frozen=True)
class Failure:
    """Why a slide has no result; as ``failures/<slide_id>.json`` says it, or found here."""

    kind: str
    reason: str
    attempts: int = 0


class PlannedResults:
    """Reads the slides' results and takes those that the plan asks for.

    Args:
        plan: The cohort's.
        places: Where results and failures are.
    """

    def __init__(self, plan: Plan, places: Places) -> None:
        self._plan = plan
        self._places = places
        self._asked = _model_part(plan) | _error_rates_part(plan)

    def read(self, item: Item) -> Result | Failure:
        """A slide's result, or why it has none that the plan asks for."""
        if failure := self._recorded(item):  # before a result that stands: it is of an earlier run, and out of date
            return failure
        folder = self._places.folder(item.slide_id)
        if not self._places.record(item.slide_id).is_file():
            return Failure(NOT_SCREENED, "not screened yet")
        try:
            record = _read_record(self._places.record(item.slide_id))
            summary = _read_object(folder / SUMMARY, _SUMMARY_FIELDS)
        except ValueError as error:
            return Failure(DAMAGED, f"{error}; remove the folder and run again")
        if not (folder / PREDICTIONS).is_file():
            return Failure(DAMAGED, f"{item.slide_id}/{PREDICTIONS}: missing; remove the folder and run again")
        if other := self.differing_part(item, record["key"]):
            return Failure(NOT_SCREENED, f"its result was made with {_OTHER[other]}; run again")
        return Result(record, summary, folder / PREDICTIONS)

    def differing_part(self, item: Item, key: dict[str, Any]) -> str | None:
        """Which part of a result's key is not what the plan asks for: what can be told without reading slide and points.

        Args:
            item: The slide.
            key: As ``run.json`` holds it.

        Returns:
            ``algorithm_version``, ``options``, ``model`` or ``error_rates``, the first that differs; None where none does.
        """
        own = {"mpp": item.mpp} if item.mpp is not None else {}
        options = key_options({**self._plan.options, **own})
        asked = {"algorithm_version": ALGORITHM_VERSION, "options": options, **self._asked}
        recorded = comparable_key(key)
        return next((name for name, value in asked.items() if recorded.get(name) != value), None)

    def _recorded(self, item: Item) -> Failure | None:
        path = self._places.failure(item.slide_id)
        if not path.is_file():
            return None
        try:
            stated = _read_object(path, ("kind", "reason", "attempts"))
            attempts = int(stated["attempts"])
        except (TypeError, ValueError, OverflowError):
            return None
        return Failure(str(stated["kind"]), self._without_paths(item, str(stated["reason"])), attempts)

    def _without_paths(self, item: Item, reason: str) -> str:
        """A reason that names files, not where they are: tables and pages are made to be shared."""
        for path in (item.slide, item.points, item.roi, item.regions, self._places.folder(item.slide_id)):
            if path is not None:
                reason = reason.replace(str(path), path.name)
        return reason


def _model_part(plan: Plan) -> dict[str, Any]:
    """The model's hash, where the model is still at hand to tell it."""
    try:
        return {"model": open_bundle(plan.model).sha256}
    except BundleError:
        return {}


def _error_rates_part(plan: Plan) -> dict[str, Any]:
    if plan.error_rates is None:
        return {"error_rates": None}
    try:
        return {"error_rates": load_error_rates(Path(plan.error_rates)).model_dump(mode="json")}
    except ConfigError:
        return {}


def _read_record(path: Path) -> dict[str, Any]:
    """A ``run.json``, or a ``ValueError`` that names the file."""
    record = _read_object(path, _RECORD_FIELDS)
    if not isinstance(record["key"], dict):
        raise ValueError(f"{path.parent.name}/{path.name}: its key is none")
    return record


def _read_object(path: Path, needed: tuple[str, ...]) -> dict[str, Any]:
    """A JSON object with these fields, or a ``ValueError`` that names the file."""
    name = f"{path.parent.name}/{path.name}"
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: cannot be read") from error
    if not isinstance(values, dict) or (missing := [field for field in needed if field not in values]):
        raise ValueError(f"{name}: lacks {missing[0] if isinstance(values, dict) else 'its fields'}")
    return values
