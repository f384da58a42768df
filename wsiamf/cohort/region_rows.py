"""The rows of a cohort's ``regions.csv``: one a named region of a slide whose result stands, in the order of the manifest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from wsiamf.cohort.items import Item
from wsiamf.cohort.results import Result
from wsiamf.cohort.rows import Row
from wsiamf.export import region_table

_TEXTS: Final = ("slide_id", "case_id", "name")
_COUNTS: Final = ("n", "n_amf", "n_nmf")


def _type(column: str) -> pa.DataType:
    return pa.string() if column in _TEXTS else pa.int64() if column in _COUNTS else pa.float64()


COLUMNS: Final = pa.schema([(name, _type(name)) for name in ("slide_id", "case_id", *region_table.COLUMNS)])
"""Slide and case, then the columns of a slide's own ``regions.csv``."""


def region_rows(item: Item, result: Result) -> Iterator[Row]:
    """A slide's named regions; none where none were given."""
    for region in result.summary.get("regions") or ():
        yield {"slide_id": item.slide_id, "case_id": item.case_id, **region_table.region_row(region)}
