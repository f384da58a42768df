"""Fixtures that every test module shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real slides, crops and annotations; tests that ask for it skip where it is absent."""
    folder = Path(os.environ.get("WSIAMF_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder.name!r}: set WSIAMF_DATA to the data folder")
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The project's own made slide, points and regions."""
    return ROOT / "sample_data"
