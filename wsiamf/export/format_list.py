"""The formats that results can be exported to, in one list."""

from __future__ import annotations

from typing import Final

from wsiamf.export.formats import (
    asap,
    dicom_ann,
    grand_challenge,
    midog25_csv,
    midog_json,
    qupath_points,
    qupath_project,
    sliderunner,
    tiatoolbox_store,
)
from wsiamf.export.formats.base import Format

FORMATS: Final[dict[str, Format]] = {
    one.name: one
    for one in (
        qupath_project.FORMAT,
        qupath_points.FORMAT,
        sliderunner.FORMAT,
        grand_challenge.FORMAT,
        midog_json.FORMAT,
        midog25_csv.FORMAT,
        tiatoolbox_store.FORMAT,
        asap.FORMAT,
        dicom_ann.FORMAT,
    )
}
"""By the name that ``--to`` takes."""

__all__ = ["FORMATS", "Format"]
