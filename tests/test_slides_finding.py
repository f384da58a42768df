"""A slide that was moved is found by its name and content, and never mistaken for another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from wsiamf.errors import SlideNotFoundError
from wsiamf.slides import read_fingerprint
from wsiamf.slides.finding import find_slide


def make(path: Path, grey: int = 200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full((64, 64, 3), grey, dtype=np.uint8), tile=(64, 64), photometric="rgb")
    return path


def test_where_it_was(tmp_path: Path) -> None:
    path = make(tmp_path / "a.tiff")
    assert find_slide("a.tiff", read_fingerprint(path), path) == path


def test_below_a_folder_past_another_of_its_name(tmp_path: Path) -> None:
    old = make(tmp_path / "old" / "a.tiff")
    fingerprint = read_fingerprint(old)
    make(tmp_path / "new" / "batch 1" / "a.tiff", grey=7)
    moved = tmp_path / "new" / "batch 2" / "a.tiff"
    moved.parent.mkdir()
    old.rename(moved)
    assert find_slide("a.tiff", fingerprint, old, [tmp_path / "new"]) == moved


def test_another_slide_that_took_its_place(tmp_path: Path) -> None:
    path = make(tmp_path / "a.tiff")
    fingerprint = read_fingerprint(path)
    make(path, grey=7)
    with pytest.raises(SlideNotFoundError, match=r"another slide, or was changed.*--slides"):
        find_slide("a.tiff", fingerprint, path)


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(SlideNotFoundError, match=r"a\.tiff: is no longer at .*gone.*, nor below .*--slides"):
        find_slide("a.tiff", "0" * 64, tmp_path / "gone" / "a.tiff", [tmp_path])
