"""Labelled sets: every layout's table and crops, the union of sets, and one clear error for what is wrong with one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.tiny_sets import write_ami_br, write_crop, write_manifest, write_midog25
from wsiamf.config import SetConfig
from wsiamf.crops import crop_hash
from wsiamf.errors import TrainingError
from wsiamf.training.labels import LabelledCrops, hardness, read_labelled_set, union

NAN = float("nan")


@pytest.fixture(scope="module")
def data_root(data_root: Path) -> Path:
    """The two tiny sets and one in the layout of MIDOG 2025."""
    write_midog25(data_root / "MIDOG25", np.random.default_rng(1))
    return data_root


@pytest.fixture(scope="module")
def ami_br(data_root: Path) -> LabelledCrops:
    return read("ami-br", "AMi-Br", data_root)


def read(kind: str, path: str, root: Path, **options: Any) -> LabelledCrops:
    return read_labelled_set(SetConfig.model_validate({"kind": kind, "path": path, "use": "train", **options}), root)


def read_lab(root: Path, **options: Any) -> LabelledCrops:
    return read("manifest", "lab.csv", root, **options)


class TestUnion:
    def test_votes_by_rater_with_gaps(self, ami_br: LabelledCrops, data_root: Path) -> None:
        both = union([ami_br, read("atnorm-md", "AtNorM-MD", data_root)])
        assert both.raters == ("ami-br/1", "ami-br/2", "ami-br/3", *(f"atnorm-md/{k}" for k in range(1, 6)))
        assert both.votes.iloc[:60, 3:].isna().all(axis=None)
        assert both.votes.iloc[60:, :3].isna().all(axis=None)
        assert (both.phases_NR[60:] == -1).all()

    def test_sets_of_all_layouts_have_the_same_columns_and_types(self, ami_br: LabelledCrops, data_root: Path) -> None:
        midog25 = read("midog25", "MIDOG25/MIDOG25.csv", data_root, crops="MIDOG25/crops")
        sets = [ami_br, read("atnorm-md", "AtNorM-MD", data_root), midog25]
        assert all((one.table.dtypes == ami_br.table.dtypes).all() for one in sets)
        assert (union(sets).table.dtypes == ami_br.table.dtypes).all()

    def test_hard_is_a_split_among_two_or_more_votes(self) -> None:
        votes = pd.DataFrame({"a": [1, 1, 1, NAN], "b": [0, 1, NAN, NAN], "c": [NAN, 1, NAN, NAN]})
        assert hardness(votes).tolist()[:2] == [1, 0]
        assert hardness(votes).isna().tolist() == [False, False, True, True]


class TestLayouts:
    def test_ami_br(self, ami_br: LabelledCrops) -> None:
        first = ami_br.table.iloc[0]
        assert (first["slide"], first["domain"], first["x"], first["y"]) == (
            "TUPAC16/00.tif",
            "human breast (TUPAC16)",
            1.0,
            2.0,
        )
        assert first["file"] == "patches/atypical/TUPAC16_0.png"
        assert ami_br.groups[0] == "AMi-Br/TUPAC16/00.tif"
        assert set(ami_br.table["n_votes"]) == {3}

    def test_atnorm_md_has_no_slides(self, data_root: Path) -> None:
        data = read("atnorm-md", "AtNorM-MD", data_root)
        assert data.table["slide"].isna().all()
        assert data.groups[1] == "AtNorM-MD/Normal/1.png"
        assert set(data.table["domain"]) == {"AtNorM-MD"}

    @pytest.mark.parametrize(("kind", "name"), [("midog25", "MIDOG25/MIDOG25.csv"), ("manifest", "lab.csv")])
    def test_a_models_labels_are_no_votes(self, tmp_path: Path, kind: str, name: str) -> None:
        write_midog25(tmp_path / "MIDOG25", np.random.default_rng(1))
        manifest = pd.DataFrame({"file": [f"{k}.png" for k in range(4)], "label": "AMF"})
        write_manifest(tmp_path, manifest, np.random.default_rng(0))
        table = pd.read_csv(tmp_path / name, dtype=str, keep_default_na=False)
        table["labelled_by"] = ["", "Ann", *["wsiamf default 1"] * (len(table) - 2)]
        table.to_csv(tmp_path / name, index=False)
        options = {"crops": "MIDOG25/crops"} if kind == "midog25" else {}
        with pytest.raises(
            TrainingError, match="labelled_by, row 3: 'wsiamf default 1' gave this label, and no person"
        ):
            read(kind, name, tmp_path, **options)

    def test_midog25(self, data_root: Path) -> None:
        data = read("midog25", "MIDOG25/MIDOG25.csv", data_root, crops="MIDOG25/crops")
        row = data.table.iloc[3]  # of which expert 2 thought otherwise
        assert (row["set"], row["file"], row["slide"]) == ("MIDOG25", "4.png", "MIDOG25/201.tiff")
        assert (row["x"], row["y"], row["domain"]) == (400.0, 50.5, "canine lymphoma")
        assert (row["amf"], row["hard"], row["n_votes"]) == (0.0, 1.0, 3)
        assert data.table["hard"].tolist() == [float(k % 4 == 0) for k in range(1, 13)]
        assert data.votes["midog25/3"].notna().sum() == 3
        picture = np.asarray(Image.open(data_root / "MIDOG25/crops/4.png"))
        assert crop_hash(picture) == data.hashes[3]

    def test_padding_is_painted_white(self, tmp_path: Path) -> None:
        picture = np.full((128, 128, 3), 90, dtype=np.uint8)
        picture[:20] = 0
        Image.fromarray(picture).save(tmp_path / "a.png")
        (tmp_path / "lab.csv").write_text("file,label\na.png,AMF\n")
        assert (read_lab(tmp_path).crops_NSS3[0, :20] == 255).all()

    def test_real_sets(self, shared_data: Path) -> None:
        real = read("ami-br", "crops/AMi-Br", shared_data)
        assert (len(real), real.amf.sum(), real.table["slide"].nunique()) == (2935, 627, 172)
        assert round(real.table["hard"].mean(), 2) == 0.21
        assert (real.phases_NR >= 0).all()
        assert not (real.crops_NSS3[:, [0, -1]] == 0).all(axis=(2, 3)).any()  # no black padding is left


class TestManifest:
    def write(self, folder: Path, text: str) -> None:
        (folder / "lab.csv").write_text(text)
        rng = np.random.default_rng(0)
        for line in text.splitlines()[1:]:
            if name := line.replace(";", ",").split(",")[0]:
                write_crop(folder / name, rng, amf=False)

    def test_every_word_for_a_class(self, tmp_path: Path) -> None:
        words = ["AMF", "nmf", "Atypical", "normal", "1", "0", "1.0"]
        self.write(tmp_path, "file,label\n" + "".join(f"{k}.png,{word}\n" for k, word in enumerate(words)))
        data = read_lab(tmp_path)
        assert data.amf.tolist() == [1, 0, 1, 0, 1, 0, 1]
        assert data.raters == ("lab/label",)  # without votes the label is the one vote there is
        assert data.table["hard"].isna().all()

    def test_the_majority_stands_in_for_a_label(self, tmp_path: Path) -> None:
        self.write(tmp_path, "file,label,vote_a,vote_b,vote_ami-br/1\na.png,,AMF,1,0\nb.png,AMF,,0,1\nc.png,NMF,,,\n")
        data = read_lab(tmp_path, name="Lab")
        assert data.raters == ("Lab/a", "Lab/b", "ami-br/1")
        assert data.amf.tolist() == [1, 1, 0]
        assert data.table["hard"].tolist()[:2] == [1, 1]
        assert data.table["n_votes"].tolist() == [3, 2, 0]
        assert np.isnan(data.votes.iloc[2]).all()

    def test_a_label_that_contradicts_the_votes_is_kept_and_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.write(tmp_path, "file,label,vote_a,vote_b\na.png,AMF,NMF,NMF\nb.png,NMF,NMF,NMF\n")
        with caplog.at_level(logging.WARNING, logger="wsiamf"):
            assert read_lab(tmp_path).amf.tolist() == [1, 0]
        assert "lab.csv: the label of 1 of 2 rows is not that of most votes" in caplog.text

    def test_groups_go_before_cases_and_slides(self, tmp_path: Path) -> None:
        head = "file,label,group,case,slide,domain,weight,x,y\n"
        self.write(
            tmp_path,
            head + "a.png,1,g,c,s.svs,lung,2,10,20.5\nb.png,1,,c,s.svs,,,,\nc.png,0,,,s.svs,,,,\nd.png,0,,,,,,,\n",
        )
        data = read_lab(tmp_path, weight=3.0)
        assert data.groups.tolist() == ["lab/g", "lab/c", "lab/s.svs", "lab/d.png"]
        assert data.table["weight"].tolist() == [6, 3, 3, 3]
        assert data.table["domain"].tolist() == ["lung", None, None, None]
        assert (data.table.loc[0, "x"], data.table.loc[0, "y"]) == (10, 20.5)
        assert data.table["x"].isna()[1]

    def test_crops_may_lie_elsewhere_and_columns_be_split_by_semicolons(self, tmp_path: Path) -> None:
        write_crop(tmp_path / "pngs" / "a.png", np.random.default_rng(0), amf=True)
        (tmp_path / "lab.csv").write_text("\ufefffile;label\na.png;AMF\n", encoding="utf-8")
        assert read_lab(tmp_path, crops="pngs").table["file"].tolist() == ["a.png"]

    def test_an_absolute_path_does_not_reach_the_table(self, tmp_path: Path) -> None:
        write_crop(tmp_path / "pngs" / "a.png", np.random.default_rng(0), amf=True)
        (tmp_path / "lab.csv").write_text(f"file,label\n{tmp_path}/pngs/a.png,AMF\n")
        assert read_lab(tmp_path).table["file"].tolist() == ["pngs/a.png"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("file,vote_a,vote_b\na.png,1,1\nb.png,1,0\nc.png,,\n", r"row 2: 'b\.png' has no label.*and 1 more row\)"),
            ("file,label\na.png,AMF\nb.png,mitosis\n", "label, row 2: 'mitosis' is none of amf, atypical"),
            ("file,vote_a\na.png,2\n", "vote_a, row 1: '2' is none of"),
            ("file,slide\na.png,x\n", "has neither a column label nor any column vote_<rater>"),
            ("name,label\na.png,AMF\n", r"lacks the column\(s\) file; has name, label"),
            ("file,label\n", "has no rows"),
            ("file,label\na.png,1\n./a.png,0\n", r"file, row 2: '\./a\.png' is the crop of an earlier row"),
            ("file,label\n,1\n", "file, row 1: '' is no name"),
            ("file,label,weight\na.png,1,0\n", "weight, row 1: '0' is not above 0"),
            ("file,label,x\na.png,1,inf\nb.png,1,left\n", r"x, row 1: 'inf' is no number \(and 1 more row\)"),
        ],
    )
    def test_wrong_rows_are_named(self, tmp_path: Path, text: str, message: str) -> None:
        self.write(tmp_path, text)
        with pytest.raises(TrainingError, match=message):
            read_lab(tmp_path)


class TestRaters:
    def test_majority_and_hardness_stay_those_of_all(self, ami_br: LabelledCrops, data_root: Path) -> None:
        two = read("ami-br", "AMi-Br", data_root, raters=["ami-br/3", "ami-br/1"])
        assert two.raters == ("ami-br/3", "ami-br/1")
        pd.testing.assert_frame_equal(two.table, ami_br.table)

    def test_a_crop_on_which_none_of_them_voted_stays(self, data_root: Path) -> None:
        third = read("midog25", "MIDOG25/MIDOG25.csv", data_root, crops="MIDOG25/crops", raters=["midog25/3"])
        assert (len(third), int(third.votes["midog25/3"].isna().sum())) == (12, 9)

    def test_an_unknown_one_is_named(self, data_root: Path) -> None:
        with pytest.raises(
            TrainingError, match=r"there is no ami-br/4; the set's raters are ami-br/1, ami-br/2, ami-br/3"
        ):
            read("ami-br", "AMi-Br", data_root, raters=["ami-br/4"])


def replace_text(folder: Path, old: str, new: str) -> None:
    table = folder / "AMI-BR.csv"
    table.write_text(table.read_text().replace(old, new, 1))


class TestBadSets:
    @pytest.mark.parametrize(
        ("break_it", "message"),
        [
            (lambda folder: (folder / "AMI-BR.csv").unlink(), "AMI-BR.csv: not a readable CSV: No such file"),
            (lambda folder: (folder / "AMI-BR.csv").write_bytes(b"\xff\xfe\x00"), "AMI-BR.csv: not a readable CSV"),
            (lambda folder: (folder / "AMI-BR.csv").write_text("a,b\n1,2\n"), "lacks the column"),
            (lambda folder: replace_text(folder, "True", "Maybe"), "expert1_atypical, row 1: 'Maybe' is none of true"),
            (lambda folder: replace_text(folder, "bipolar", "tripolar"), "expert1_label, row 1: 'AMF tripolar"),
            (lambda folder: replace_text(folder, ",8,1,2", ",7,1,2"), "uid, row 9: '7' is the crop of an earlier row"),
        ],
    )
    def test_tables(self, tmp_path: Path, break_it: Callable[[Path], Any], message: str) -> None:
        write_ami_br(tmp_path / "AMi-Br", np.random.default_rng(0))
        break_it(tmp_path / "AMi-Br")
        with pytest.raises(TrainingError, match=message):
            read("ami-br", "AMi-Br", tmp_path)

    def test_crops(self, tmp_path: Path) -> None:
        """Each fault in turn is put right; what is missing is found before what cannot be decoded."""
        write_ami_br(tmp_path / "AMi-Br", np.random.default_rng(0))
        folder = tmp_path / "AMi-Br" / "patches"
        kept = (folder / "atypical/TUPAC16_0.png").read_bytes()
        (folder / "atypical/TUPAC16_0.png").write_text("no picture")
        Image.new("RGB", (64, 32)).save(folder / "normal/TUPAC16_4.png")
        (folder / "atypical/TUPAC16_6.png").unlink()
        (folder / "normal/TUPAC16_7.png").unlink()
        with pytest.raises(
            TrainingError, match=r"AMI-BR\.csv, row 7: .*TUPAC16_6\.png: no such crop \(and 1 more row\)"
        ):
            read("ami-br", "AMi-Br", tmp_path)
        (folder / "atypical/TUPAC16_6.png").write_bytes(kept)
        (folder / "normal/TUPAC16_7.png").write_bytes(kept)
        with pytest.raises(
            TrainingError, match=r"row 1: .*TUPAC16_0\.png: not a readable image.*[^.] \(and 1 more row\)\.$"
        ):
            read("ami-br", "AMi-Br", tmp_path)
        (folder / "atypical/TUPAC16_0.png").write_bytes(kept)
        with pytest.raises(TrainingError, match=r"row 5: .*TUPAC16_4\.png: is 64x32 px, not 128x128\.$"):
            read("ami-br", "AMi-Br", tmp_path)

    @pytest.mark.parametrize("kind", ["ami-br", "atnorm-md", "midog25", "manifest", "store"])
    def test_a_missing_place_names_the_option(self, tmp_path: Path, kind: str) -> None:
        with pytest.raises(TrainingError, match="--data or WSIAMF_DATA"):
            read(kind, "nothing", tmp_path)

    def test_a_missing_folder_of_crops_is_named(self, tmp_path: Path) -> None:
        write_manifest(tmp_path, pd.DataFrame({"file": ["a.png"], "label": [1]}), np.random.default_rng(0))
        with pytest.raises(TrainingError, match=r"crops: .*pngs: no such folder"):
            read_lab(tmp_path, crops="pngs")

    def test_only_tables_have_a_folder_of_crops(self) -> None:
        with pytest.raises(ValueError, match="a set of kind ami-br holds its own"):
            SetConfig(kind="ami-br", path="x", crops="y", use="train")
