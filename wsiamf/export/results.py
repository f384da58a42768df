"""Folders of results as they stand on disk: which slides a folder holds, and the facts that other formats need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wsiamf.addresses import Address, parse_address
from wsiamf.candidates.programs import OWN_PREFIX
from wsiamf.errors import ExportError
from wsiamf.files import RUN_RECORD
from wsiamf.geometry import Bounds, SlideFrame
from wsiamf.predictions import read_predictions

_SUMMARY: Final = "summary.json"
_SUMMARY_SCHEMA: Final = "wsiamf.summary"
_SUMMARY_VERSION: Final = 1


@dataclass(frozen=True)
class SlideResult:
    """One slide's folder of results.

    Args:
        folder: The folder; its name is the slide's id.
        summary: Content of ``summary.json``.
        record: Content of ``run.json``.
    """

    folder: Path
    summary: Mapping[str, Any]
    record: Mapping[str, Any]

    @property
    def slide_id(self) -> str:
        """Name of the folder."""
        return self.folder.absolute().name

    @property
    def slide_name(self) -> str:
        """File name of the slide."""
        return str(self.summary["slide"]["name"])

    @property
    def fingerprint(self) -> str:
        """The slide's."""
        return str(self.summary["slide"]["fingerprint"])

    @property
    def model(self) -> str:
        """Name and hash of the model."""
        return str(self.record["model"]["title"])

    @property
    def labelled_by(self) -> str:
        """What a format that names who labelled is to say, so that nobody takes the labels for a person's."""
        return OWN_PREFIX + self.model

    @property
    def frame(self) -> SlideFrame:
        """The slide's size, mpp, bounds and the resolution that its file states."""
        facts = self.summary["slide"]
        # the record's mpp is the one in use, where --mpp stood in for the slide's own
        mpp = float(self.record["slide"]["mpp"])
        stated: list[float] = facts.get("mpp_stated") or []
        return SlideFrame(
            width=int(facts["width"]),
            height=int(facts["height"]),
            mpp=mpp,
            bounds=Bounds(**facts["bounds"]),
            stated_mpp_xy=(float(stated[0]), float(stated[1])) if len(stated) == 2 and min(stated) > 0 else None,
        )

    @property
    def slide_path(self) -> Address:
        """Where the slide was when it was screened; an address has lost its credentials.

        Raises:
            ExportError: The record does not say.
        """
        try:
            return parse_address(self.record["host"]["paths"]["slide"])
        except (KeyError, TypeError) as error:
            raise ExportError(
                f"{self.folder / RUN_RECORD}: does not say where the slide is (host.paths.slide); screen the slide again."
            ) from error

    def table(self) -> pd.DataFrame:
        """The predictions table, read anew."""
        return read_predictions(self.folder)


def find_results(out: Path) -> list[SlideResult]:
    """The slides of a folder: itself where it is one slide's, else every folder of results in it, by name.

    Args:
        out: A slide's folder of results, or the OUT of ``screen`` or ``cohort``.

    Raises:
        ExportError: There is no such folder, it holds no results, or one of them is not whole.
    """
    if not out.is_dir():
        raise ExportError(f"{out}: no such folder of results; give a slide's folder, or the --out of screen or cohort.")
    folders = [out] if (out / RUN_RECORD).is_file() else slide_folders(out)
    if not folders:
        raise ExportError(f"{out}: holds no results of wsiamf (no {RUN_RECORD}); run wsiamf screen or cohort first.")
    return [_read_result(folder) for folder in folders]


def slide_folders(out: Path) -> list[Path]:
    """The folders of results in a folder, by name; what a run that was killed left half-written (``.*``) is none."""
    return sorted(path.parent for path in out.glob(f"[!.]*/{RUN_RECORD}"))


def _read_result(folder: Path) -> SlideResult:
    summary, record = _read_json(folder / _SUMMARY), _read_json(folder / RUN_RECORD)
    name, _, number = str(summary.get("schema", "")).partition("/")
    if name != _SUMMARY_SCHEMA or not number.isdigit():
        raise ExportError(f"{folder / _SUMMARY}: not a summary of wsiamf; screen the slide again.")
    if int(number) > _SUMMARY_VERSION:
        raise ExportError(f"{folder / _SUMMARY}: written by a newer version ({summary['schema']}); update wsiamf.")
    return SlideResult(folder, summary, record)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read ({error}); screen the slide again.") from error
    if not isinstance(content, dict):
        raise ExportError(f"{path}: not a JSON object; screen the slide again.")
    return content
