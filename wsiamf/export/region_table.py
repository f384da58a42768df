"""``regions.csv``: a row a named region, as ``summary.json`` counts it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from wsiamf.files import write_text

_VALUES: Final = ("name", "area_mm2", "share_in_area", "n", "n_amf", "n_nmf")
_ESTIMATES: Final = ("amf_fraction", "mf_per_mm2", "amf_per_mm2")
COLUMNS: Final = (*_VALUES, *(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")))
"""Of ``regions.csv``."""


def region_row(region: Mapping[str, Any]) -> dict[str, Any]:
    """The row of one of ``summary["regions"]``, by ``COLUMNS``; None where something is not estimable."""
    row = {name: region[name] for name in (*_VALUES, *_ESTIMATES)}
    for name in _ESTIMATES:
        interval = region[f"{name}_sampling_interval"] or {}
        row |= {f"{name}_{end}": interval.get(end) for end in ("low", "high")}
    return row


def write_regions(path: Path, regions: Sequence[Mapping[str, Any]]) -> None:
    """Write ``summary["regions"]`` as CSV, each share and density with the ends of its 95 % interval; null is empty.

    Raises:
        OutputError: The file cannot be written.
    """
    stream = io.StringIO()
    table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(map(region_row, regions))
    write_text(path, stream.getvalue())
