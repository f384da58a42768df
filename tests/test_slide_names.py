"""Names of slides and of their folders of results."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsiamf.errors import ConfigError
from wsiamf.slide_names import base_name, is_slide_name, result_folder_name


def test_base_name_knows_both_kinds_of_slash() -> None:
    assert base_name("a/b/c.svs") == base_name("a\\b\\c.svs") == "c.svs"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("slide.svs", "slide"),
        ("Case 7.B.SVS", "Case 7.B"),
        ("region.ome.tiff", "region"),
        ("region.ome.tif", "region"),
        ("a.tiff", "a"),
        ("a.b.ndpi", "a.b"),
        ("a.mrxs", "a"),
        ("slide.v2", "slide.v2"),
        ("slide", "slide"),
        (".svs", ".svs"),
        ("切片.dcm", "切片"),
    ],
)
def test_a_slides_name_is_its_file_name_without_a_known_suffix(tmp_path: Path, name: str, stem: str) -> None:
    assert result_folder_name(tmp_path / name, None) == stem


@pytest.mark.parametrize("name", ["a.svs", "A.NDPI", "a.b.ome.tif", "1.dcm"])
def test_slides_are_known_by_their_suffix(name: str) -> None:
    assert is_slide_name(name)


@pytest.mark.parametrize("name", ["a", "svs", "a.csv", "a.svs.bak", "a.png", "a.JPG", "._a.svs", ".svs"])
def test_other_files_are_no_slides(name: str) -> None:
    assert not is_slide_name(name)


def test_a_folder_keeps_its_whole_name(tmp_path: Path) -> None:
    (tmp_path / "set.svs").mkdir()
    assert result_folder_name(tmp_path / "set.svs", None) == "set.svs"


def test_a_slide_id_is_used_as_it_is() -> None:
    assert result_folder_name(Path("a.svs"), "case 7.svs") == "case 7.svs"


@pytest.mark.parametrize("slide_id", ["", " ", ".", "..", "a/b", "../x", "a\\b", "a\0b", "a\nb", "c:d"])
def test_a_slide_id_is_one_path_component(slide_id: str) -> None:
    with pytest.raises(ConfigError, match="--slide-id"):
        result_folder_name(Path("a.svs"), slide_id)
