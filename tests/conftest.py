"""Fixtures that every test module shares."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_sets import write_ami_br, write_atnorm_md

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compiled networks go to a folder of the run's, not to the user's cache; child processes follow."""
    os.environ["WSIAMF_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process sets up logging for a process of its own; the next test starts afresh."""
    logger = logging.getLogger("wsiamf")
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real slides, crops and annotations; tests that ask for it skip where it is absent."""
    folder = Path(os.environ.get("WSIAMF_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder.name!r}: set WSIAMF_DATA to the data folder")
    return folder


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny sets in their authors' layouts, in which AMF crops are darker, so that there is something to learn."""
    root = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    write_ami_br(root / "AMi-Br", rng)
    write_atnorm_md(root / "AtNorM-MD", rng)
    return root


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The project's own made slide, points and regions."""
    return ROOT / "sample_data"
