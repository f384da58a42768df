"""Figures that two parts share, by slide, place and pixels; what is refused, and what is dropped."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.tiny_sets import write_ami_br, write_manifest, write_midog25
from wsiamf.config import SetConfig
from wsiamf.errors import TrainingError
from wsiamf.training.labels import LabelledCrops, read_labelled_set
from wsiamf.training.overlap import (
    drop_overlap,
    find_overlap,
    find_shared_places,
    read_apart,
    refuse_overlap,
    same_slide,
)
from wsiamf.training.readers import READERS


def part(name: str, rows: list[tuple[str | None, float, float]], *, seed: int = 0, shared: int = 0) -> LabelledCrops:
    """Crops at places of slides; the pixels of the first ``shared`` do not depend on the seed."""
    table = pd.DataFrame(rows, columns=["slide", "x", "y"]).assign(set=name, amf=1.0, case=None)
    table["slide"] = table["slide"].astype(object).where(table["slide"].notna(), None)
    table["file"] = [f"{k}.png" for k in range(len(rows))]
    crops = np.random.default_rng(seed).integers(1, 255, (len(rows), 8, 8, 3), dtype=np.uint8)
    crops[:shared] = np.arange(shared)[:, None, None, None]
    phases = np.full((len(rows), 2), -1, dtype=np.int64)
    return LabelledCrops(crops, table, pd.DataFrame({f"{name}/1": table["amf"]}), phases)


class TestSlideNames:
    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            (("A", "x/HE.svs"), ("A", "x/HE.svs"), True),
            (("A", "case1/HE.svs"), ("A", "case2/HE.svs"), False),  # a set's own column tells its slides apart
            (("A", "s1/TCGA-1.svs"), ("B", "TCGA-1.svs"), True),
            (("A", "TCGA-1.svs"), ("B", "D:\\data\\TCGA-1.tiff"), True),
            (("A", "TCGA-1.svs"), ("B", "TCGA-2.svs"), False),
            (("AMi-Br", "MIDOG21/002.tiff"), ("MIDOG25", "MIDOG25/002.tiff"), True),
            (("AMi-Br", "TUPAC16/002.tif"), ("MIDOG25", "MIDOG25/002.tiff"), False),
            (("AMi-Br", "MIDOG21/002.tiff"), ("lab", "MIDOG++/002.tiff"), True),
            (("lab", "002.tiff"), ("MIDOG25", "MIDOG25/002.tiff"), None),  # of which series?
            (("lab", "002.tiff"), ("other", "002.tiff"), None),
        ],
    )
    def test_by_name(self, one: tuple[str, str], other: tuple[str, str], same: bool | None) -> None:
        assert same_slide(one, other) is same
        assert same_slide(other, one) is same


class TestWays:
    def test_by_slide(self) -> None:
        one = part("A", [("TCGA-1.svs", 0, 0), ("TCGA-2.svs", 0, 0)], seed=1)
        other = part("B", [(None, 0, 0), ("x/TCGA-2.tiff", 999, 999), ("TCGA-3.svs", 0, 0)], seed=2)
        overlap = find_overlap(one, other)
        assert overlap.by_slide.tolist() == [-1, 1, -1]
        assert (overlap.by_position == -1).all()
        assert overlap.rows.tolist() == [1]

    def test_by_position_within_25_px(self) -> None:
        one = part("A", [("001.tiff", 100, 100), ("001.tiff", 500, 500), ("001.tiff", np.nan, 0)], seed=1)
        places = [(515.0, 520.0), (100.0, 125.1), (np.nan, 0.0), (100.0, 125.0)]
        other = part("B", [("001.tiff", x, y) for x, y in places], seed=2)
        overlap = find_overlap(one, other)
        assert overlap.by_position.tolist() == [1, -1, -1, 0]
        assert (overlap.by_slide == -1).all()  # a mere number of no known series

    def test_by_pixels(self) -> None:
        one, other = part("A", [(None, 0, 0)] * 3, seed=1, shared=2), part("B", [(None, 0, 0)] * 4, seed=2, shared=1)
        assert find_overlap(one, other).by_pixels.tolist() == [0, -1, -1, -1]

    def test_parts_of_one_set_share_slides_and_nothing_else(self) -> None:
        whole = part("A", [("1.svs", 5, 5), ("1.svs", 900, 900), ("2.svs", 5, 5)])
        first, second, third = (whole.subset(np.array([row])) for row in range(3))
        assert find_overlap(first, second).by_slide.tolist() == [0]
        assert len(find_overlap(first, third).rows) == 0


class TestRefusing:
    def test_the_error_counts_the_ways_and_gives_an_example(self) -> None:
        one, other = part("A", [("s.svs", 0, 0), (None, 0, 0)], shared=2), part("B", [("s.svs", 3, 4)] * 2, shared=1)
        with pytest.raises(TrainingError) as raised:
            refuse_overlap(one, other)
        assert str(raised.value).startswith(
            "A and B overlap in 2 crop(s) of the latter: 2 of the same slide (A 0.png and B 0.png); "
            "2 at the same place (A 0.png and B 0.png); 1 with the same pixels (A 0.png and B 0.png)."
        )
        assert "on_overlap: drop" in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_what_is_apart_passes(self) -> None:
        refuse_overlap(part("A", [("s.svs", 0, 0)], seed=1), part("B", [("t.svs", 0, 0)], seed=2))

    def test_dropping(self, caplog: pytest.LogCaptureFixture) -> None:
        one, other = part("A", [("s.svs", 0, 0)], seed=1), part("B", [("t.svs", 0, 0), ("s.svs", 9, 9)], seed=2)
        with caplog.at_level(logging.WARNING, logger="wsiamf"):
            left = drop_overlap(one, other)
        assert left.table["slide"].tolist() == ["t.svs"]
        assert "B: 1 of 2 crops overlap with A and are left out" in caplog.text
        refuse_overlap(one, left)
        with pytest.raises(TrainingError, match="leaves nothing of it"):
            drop_overlap(other, other.subset(np.array([1])))


class TestReadingSets:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """AMi-Br, and a lab's set of four crops of which one is AMi-Br's under another name."""
        rng = np.random.default_rng(0)
        write_ami_br(tmp_path / "AMi-Br", rng)
        rows = pd.DataFrame({"file": [f"{k}.png" for k in range(4)], "label": ["AMF", "NMF"] * 2})
        write_manifest(tmp_path, rows, rng)
        (tmp_path / "2.png").write_bytes((tmp_path / "AMi-Br/patches/normal/TUPAC16_4.png").read_bytes())
        return tmp_path

    def sets(self, **options: Any) -> list[SetConfig]:
        lab = {"kind": "manifest", "path": "lab.csv", "use": "test", **options}
        return [SetConfig(kind="ami-br", path="AMi-Br", use="split"), SetConfig.model_validate(lab)]

    def test_overlap_is_an_error(self, root: Path) -> None:
        with pytest.raises(
            TrainingError, match=r"1 with the same pixels \(AMi-Br patches/normal/TUPAC16_4.png and lab 2"
        ):
            read_apart(self.sets(), root)

    def test_unless_it_is_to_be_dropped(self, root: Path) -> None:
        ami_br, lab = read_apart(self.sets(on_overlap="drop"), root)
        assert (len(ami_br), lab.table["file"].tolist()) == (60, ["0.png", "1.png", "3.png"])


def test_the_published_sets_share_what_is_known_to_be_shared(shared_data: Path) -> None:
    """AMi-Br's figures from MIDOG 2021 are MIDOG 2025's human breast; the tables alone show it."""
    ami_br = SetConfig(kind="ami-br", path="crops/AMi-Br", use="train")
    midog25 = SetConfig(
        kind="midog25", path="annotations/MIDOG25_Atypical_Classification_Train_Set.csv", use="train", crops="."
    )
    one, other = (READERS[config.kind](config, shared_data).table for config in (ami_br, midog25))
    by_slide, by_position = find_shared_places(one, other)
    from_midog = one["slide"].str.startswith("MIDOG21/")
    assert (len(one), len(other), from_midog.sum()) == (2935, 11937, 1437)  # 1,437 of the 1,721 are in this copy
    assert (by_position >= 0).sum() == 1437
    assert set(by_position[by_position >= 0]) == set(np.flatnonzero(from_midog))
    assert set(other.loc[by_slide >= 0, "domain"]) == {"human breast cancer"}
    assert set(by_slide[by_slide >= 0]) <= set(np.flatnonzero(from_midog))
    gap = (
        one.iloc[by_position[by_position >= 0]][["x", "y"]].to_numpy()
        - other.loc[by_position >= 0, ["x", "y"]].to_numpy()
    )
    assert np.abs(gap).max() <= 25


def test_tiny_midog25_is_apart_from_itself_only_by_name(tmp_path: Path) -> None:
    """The series that a set's slides are numbered in goes with the kind, not with the name that a user gives it."""
    write_midog25(tmp_path, np.random.default_rng(0))
    config = SetConfig(kind="midog25", path="MIDOG25.csv", crops="crops", use="train")
    one, other = (read_labelled_set(config.model_copy(update={"name": name}), tmp_path) for name in ("A", "B"))
    overlap = find_overlap(one, other)
    assert all((partners == np.arange(12)).all() for partners in (overlap.by_position, overlap.by_pixels))
    assert (overlap.by_slide >= 0).all()
