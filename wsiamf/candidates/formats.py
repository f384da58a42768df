"""The formats: one list, searched from the most particular to plain text."""

from __future__ import annotations

from pathlib import Path

from wsiamf.candidates import (
    ami_br_csv,
    asap_xml,
    cellvit_json,
    csv_points,
    grand_challenge_json,
    hovernext,
    imagescope_xml,
    midog25_csv,
    midog_json,
    ndpa,
    parquet_points,
    qupath_geojson,
    qupath_tables,
    sliderunner,
    tiatoolbox_db,
)
from wsiamf.candidates.raw import Reader
from wsiamf.errors import CandidateError, ConfigError, PointsNotFoundError

READERS: tuple[Reader, ...] = (
    parquet_points.READER,
    sliderunner.READER,
    tiatoolbox_db.READER,
    asap_xml.READER,
    imagescope_xml.READER,
    ndpa.READER,
    grand_challenge_json.READER,
    cellvit_json.READER,
    hovernext.NUCLEI_READER,
    midog_json.READER,
    qupath_geojson.READER,
    hovernext.TABLE_READER,
    midog25_csv.READER,
    ami_br_csv.READER,
    qupath_tables.POINTS_READER,
    qupath_tables.MEASUREMENTS_READER,
    csv_points.READER,  # last: it takes any text that is not JSON or XML
)
FORMATS: tuple[str, ...] = tuple(reader.name for reader in READERS)

_HEAD_BYTES = 1 << 16


def reader_for(path: Path, points_format: str | None) -> Reader:
    """The reader of a points file, by its content or by name.

    Raises:
        PointsNotFoundError: There is no such file.
        CandidateError: It is a folder, empty, cannot be opened, or is of no known format.
        ConfigError: ``points_format`` is no format's name.
    """
    if points_format is not None and points_format not in FORMATS:
        raise ConfigError(f"--points-format {points_format}: not known; choose one of {', '.join(FORMATS)}.")
    head = _head(path)
    for reader in READERS:
        if reader.name == points_format or (points_format is None and reader.sniff(path, head)):
            return reader
    raise CandidateError(
        f"{path}: not a points file that wsiamf knows; expected one of {', '.join(FORMATS)} "
        "(--points-format names one)."
    )


def _head(path: Path) -> bytes:
    if not path.exists():
        raise PointsNotFoundError(f"{path}: no such points file.")
    if not path.is_file():
        raise CandidateError(f"{path}: is not a file; name the points file itself.")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise CandidateError(f"{path}: cannot be read: {error.strerror}.") from error
    if not head.strip():
        raise CandidateError(f"{path}: is empty; expected points.")
    return head
