"""A slide that was moved is found by its name and content, and never mistaken for another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.made_ome import write_ome_zarr
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


def test_a_store_is_found_and_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = write_ome_zarr(tmp_path / "batch" / "a.zarr", (np.full((64, 64, 3), 200, np.uint8),))
    make(tmp_path / "batch" / "z" / "b.tiff")
    looked: list[Path] = []
    scandir = os.scandir

    def counted(folder: Path) -> Iterator[os.DirEntry[str]]:
        looked.append(Path(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", counted)
    with pytest.raises(SlideNotFoundError):
        find_slide("0", "0" * 64, tmp_path / "gone", [tmp_path])
    assert looked == [tmp_path, tmp_path / "batch", tmp_path / "batch" / "z"]
    assert find_slide("a.zarr", read_fingerprint(store), tmp_path / "gone", [tmp_path]) == store


def test_another_slide_that_took_its_place(tmp_path: Path) -> None:
    path = make(tmp_path / "a.tiff")
    fingerprint = read_fingerprint(path)
    make(path, grey=7)
    with pytest.raises(SlideNotFoundError, match=r"another slide, or was changed.*--slides"):
        find_slide("a.tiff", fingerprint, path)


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(SlideNotFoundError, match=r"a\.tiff: is no longer at .*gone.*, nor below .*--slides"):
        find_slide("a.tiff", "0" * 64, tmp_path / "gone" / "a.tiff", [tmp_path])
