"""A JSON list written as it is made, so that memory does not grow with the file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO, Any


def write_list(stream: IO[str], values: Iterable[Any]) -> None:
    """Write values as a JSON list, one a line; NaN and Infinity are a ``ValueError``."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    before = "[\n"
    for value in values:
        stream.write(before + encode(value))
        before = ",\n"
    stream.write("[]" if before == "[\n" else "\n]")
