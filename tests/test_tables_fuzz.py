"""Spoilt files of regions and of readers' counts: what they hold, or one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.points_fuzz import LONG, SHORT, SLIDE, check_one_line, mutations
from wsiamf.agreement.reader_counts import read_counts
from wsiamf.errors import WsiamfError
from wsiamf.regions import read_regions

_SQUARE = [[[100, 100], [900, 100], [900, 900], [100, 900], [100, 100]]]
_REGIONS = json.dumps(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": _SQUARE},
                "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
            },
            {
                "type": "Feature",
                "geometry": {"type": "MultiPolygon", "coordinates": [_SQUARE]},
                "properties": {"objectType": "annotation", "name": "Field 1"},
            },
        ],
    }
).encode()
_COUNTS = b"case_id,reader,region,mc,amc\ns1,ann,A,12,3\ns1,bob,A,9,\n"
_READERS: dict[str, tuple[Callable[[Path], Any], bytes]] = {
    "regions": (lambda path: read_regions(path, SLIDE.frame), _REGIONS),
    "counts": (read_counts, _COUNTS),
}


@pytest.mark.parametrize("n", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", sorted(_READERS))
def test_spoilt_files_are_read_or_refused_in_one_line(kind: str, n: int, tmp_path: Path) -> None:
    read, seed = _READERS[kind]
    path = tmp_path / "file.geojson"
    path.write_bytes(seed)
    read(path)  # a seed that is refused tests nothing

    @settings(
        max_examples=n,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )
    @given(mutations([seed]))
    def run(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read(path)
        except WsiamfError as error:
            check_one_line(str(error), path)

    run()
