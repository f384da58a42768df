"""Crop stores: what goes in comes out, what is damaged is found, and nothing foreign is replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from tests.tiny_model import tiny_bundle
from tests.tiny_sets import write_ami_br, write_manifest, write_midog25
from wsiamf.cli.main import run
from wsiamf.config import SetConfig
from wsiamf.crop_store import is_crop_store, open_crop_store, write_crop_store
from wsiamf.crops import paint_padding_white, read_crop_image
from wsiamf.errors import CropError, OutputExistsError, TrainingError
from wsiamf.training.labels import LabelledCrops, read_labelled_set


def read(kind: str, path: Path, **options: Any) -> LabelledCrops:
    return read_labelled_set(
        SetConfig.model_validate({"kind": kind, "path": str(path), "use": "train", **options}), Path()
    )


def write(data: LabelledCrops, path: Path, *, overwrite: bool = False) -> None:
    write_crop_store(path, data.crops_NSS3, data.table, data.votes, data.phases_NR, overwrite=overwrite)


def assert_equal(one: LabelledCrops, other: LabelledCrops) -> None:
    pd.testing.assert_frame_equal(one.table, other.table)
    pd.testing.assert_frame_equal(one.votes, other.votes)
    for first, second in ((one.crops_NSS3, other.crops_NSS3), (one.phases_NR, other.phases_NR)):
        assert first.dtype == second.dtype
        assert np.array_equal(first, second)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AMi-Br of 60 crops, MIDOG 2025 of 70 (more than a chunk), a manifest with every kind of gap, and AMi-Br packed."""
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    write_ami_br(root / "AMi-Br", rng)
    write_midog25(root / "MIDOG25", rng, n=70)
    rows = {"file": ["a.png", "ä/b.png"], "label": ["AMF", ""], "vote_p": ["", 0], "vote_q": ["", 0]}
    rows |= {"case": ["", "c"], "group": ["g", ""], "weight": ["", 2.5], "x": [0.1, ""], "y": [7, ""]}
    write_manifest(root, pd.DataFrame(rows), rng)
    write(read("ami-br", root / "AMi-Br"), root / "ami-br.zarr")
    return root


@pytest.fixture
def store(root: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(root / "ami-br.zarr", tmp_path / "copy.zarr"))


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("kind", "path", "options"),
        [
            ("ami-br", "AMi-Br", {}),
            ("midog25", "MIDOG25/MIDOG25.csv", {"crops": "MIDOG25/crops"}),
            ("manifest", "lab.csv", {}),
        ],
    )
    def test_a_set_comes_back_as_it_was(
        self, root: Path, tmp_path: Path, kind: str, path: str, options: dict[str, str]
    ) -> None:
        data = read(kind, root / path, **{key: str(root / value) for key, value in options.items()})
        write(data, tmp_path / "set.zarr")
        assert_equal(read("store", tmp_path / "set.zarr"), data)

    def test_equal_sets_give_equal_bytes(self, root: Path, tmp_path: Path) -> None:
        write(read("ami-br", root / "AMi-Br"), tmp_path / "again.zarr")
        files = [file for file in (tmp_path / "again.zarr").rglob("*") if file.is_file()]
        assert len(files) == 7  # four of metadata, and one chunk of each array
        for file in files:
            first = root / "ami-br.zarr" / file.relative_to(tmp_path / "again.zarr")
            assert file.read_bytes() == first.read_bytes()

    def test_a_configuration_chooses_raters_weight_and_name(self, root: Path) -> None:
        data = read("store", root / "ami-br.zarr", raters=["ami-br/2"], weight=2.0, name="mine")
        assert data.raters == ("ami-br/2",)
        assert set(data.table["weight"]) == {2.0}
        assert set(data.table["set"]) == {"mine"}
        assert set(data.table["n_votes"]) == {3}

    def test_zarr_reads_it(self, root: Path) -> None:
        group = zarr.open_group(root / "ami-br.zarr", mode="r")
        assert group.attrs["schema"] == "wsiamf.crops/1"
        picture = read_crop_image(root / "AMi-Br/patches/normal/TUPAC16_1.png")
        crops = group["crops"]
        assert isinstance(crops, zarr.Array)
        assert np.array_equal(np.asarray(crops[1]), paint_padding_white(picture[None])[0])

    def test_it_is_smaller_than_the_png_files(self, shared_data: Path, tmp_path: Path) -> None:
        files = sorted((shared_data / "crops/AMi-Br/patches/atypical").iterdir())[:64]
        (tmp_path / "lab.csv").write_text("file,label\n" + "".join(f"{file.name},AMF\n" for file in files))
        write(read("manifest", tmp_path / "lab.csv", crops=str(files[0].parent)), tmp_path / "set.zarr")
        stored = sum(file.stat().st_size for file in (tmp_path / "set.zarr").rglob("*.*"))
        assert stored < 0.9 * sum(file.stat().st_size for file in files)


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


class TestDamage:
    @pytest.mark.parametrize(
        ("break_it", "message"),
        [
            (lambda store: (store / "zarr.json").unlink(), "not a crop store, or a damaged one"),
            (lambda store: (store / "zarr.json").write_text("{"), "not a crop store, or a damaged one"),
            (lambda store: shutil.rmtree(store / "phases"), "damaged crop store"),
            (lambda store: (store / "crops/c.0.0.0.0").unlink(), r"patches/atypical/TUPAC16_0.png: altered or missing"),
            (lambda store: (store / "crops/c.0.0.0.0").write_bytes(b"RIFF"), "damaged crop store"),
            (lambda store: flip_a_byte(store / "crops/c.0.0.0.0"), "damaged crop store|altered or missing"),
            (lambda store: flip_a_byte(store / "table/c/0"), "damaged crop store|its table is altered"),
            (lambda store: (store / "phases/c/0/0").unlink(), "its table is altered"),
            (
                lambda store: edit_json(store / "zarr.json", lambda all_of_it: all_of_it["attributes"].pop("sha256")),
                "damaged crop store",
            ),
            (
                lambda store: edit_json(
                    store / "zarr.json", lambda all_of_it: all_of_it["attributes"].update(name="x")
                ),
                "its table is altered",
            ),
            (
                lambda store: edit_json(
                    store / "zarr.json", lambda all_of_it: all_of_it["attributes"].update(schema="wsiamf.crops/2")
                ),
                r"of schema wsiamf\.crops/2, this wsiamf reads wsiamf\.crops/1",
            ),
            (
                lambda store: edit_json(
                    store / "crops/zarr.json", lambda all_of_it: all_of_it.update(codecs=[{"name": "unheard-of"}])
                ),
                "damaged crop store",
            ),
        ],
    )
    def test_it_is_one_clear_error(self, store: Path, break_it: Callable[[Path], Any], message: str) -> None:
        break_it(store)
        with pytest.raises(CropError, match=rf"copy\.zarr: .*({message})"):
            open_crop_store(store).read_crops()
        with pytest.raises(TrainingError, match=r"copy\.zarr"):
            read("store", store)

    def test_a_store_cut_short_is_found_where_it_is_read(self, root: Path, tmp_path: Path) -> None:
        data = read("midog25", root / "MIDOG25/MIDOG25.csv", crops=str(root / "MIDOG25/crops"))
        write(data, tmp_path / "set.zarr")
        (tmp_path / "set.zarr/crops/c.1.0.0.0").unlink()
        store = open_crop_store(tmp_path / "set.zarr")
        assert np.array_equal(store.read_crop(63), data.crops_NSS3[63])
        with pytest.raises(CropError, match=r"65\.png: altered or missing"):
            store.read_crop(64)


class TestWriting:
    def test_only_a_store_is_replaced_and_only_when_asked(self, root: Path, store: Path, tmp_path: Path) -> None:
        data = read("manifest", root / "lab.csv")
        with pytest.raises(OutputExistsError, match="pass --overwrite"):
            write(data, store)
        write(data, store, overwrite=True)
        assert len(open_crop_store(store)) == 2
        for name, content in (("plain", "notes.txt"), ("other.zarr", "zarr.json")):
            (tmp_path / name).mkdir()
            (tmp_path / name / content).write_text('{"attributes": {"schema": "other/1"}}')
            with pytest.raises(OutputExistsError, match="not a crop store"):
                write(data, tmp_path / name, overwrite=True)
            assert not is_crop_store(tmp_path / name)

    def test_what_is_interrupted_leaves_nothing(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = read("manifest", root / "lab.csv")

        def interrupt(*_: Any, **__: Any) -> bytes:
            raise KeyboardInterrupt

        monkeypatch.setattr("wsiamf.crop_store.zarr.create_group", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(data, tmp_path / "deep" / "set.zarr")
        assert list(tmp_path.iterdir()) == []


class TestCommands:
    def test_pack_and_info(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "set.zarr"
        table, crops = str(root / "MIDOG25/MIDOG25.csv"), str(root / "MIDOG25/crops")
        arguments = ["crops", "pack", "--kind", "midog25", table, "--crops", crops, "--name", "Mine", "--out", str(out)]
        assert run(arguments) == 0
        assert capsys.readouterr().out.strip() == str(out)
        assert run(["crops", "info", str(out), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert {key: facts[key] for key in ("set", "crops", "amf", "hard", "slides")} == {
            "set": "Mine",
            "crops": 70,
            "amf": 23,
            "hard": 17,
            "slides": 18,
        }
        assert run(["crops", "info", str(out)]) == 0
        assert "midog25/1, midog25/2, midog25/3" in capsys.readouterr().out
        assert run(arguments) == 1
        assert "--overwrite" in capsys.readouterr().err
        assert run([*arguments, "--overwrite"]) == 0

    def test_errors(self, root: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        out = str(tmp_path / "set.zarr")
        assert run(["crops", "pack", "--kind", "ami-br", str(root / "nothing"), "--out", out]) == 2
        assert run(["crops", "pack", "--kind", "ami-br", str(root / "AMi-Br"), "--crops", str(root), "--out", out]) == 1
        assert "--crops: a set of kind ami-br" in capsys.readouterr().err
        flip_a_byte(store / "crops/c.0.0.0.0")
        assert run(["crops", "info", str(store)]) == 1
        assert capsys.readouterr().err.count("\n") == 1

    def test_predict_classifies_a_store_as_it_does_the_files(self, root: Path, tmp_path: Path) -> None:
        model = str(tiny_bundle(tmp_path / "model").folder)
        for name, source in (("files", root / "AMi-Br"), ("store", root / "ami-br.zarr")):
            assert run(["-q", "predict", str(source), "--model", model, "--out", str(tmp_path / f"{name}.csv")]) == 0
        files, stored = (pd.read_csv(tmp_path / f"{name}.csv").sort_values("file") for name in ("files", "store"))
        assert len(stored) == 60
        pd.testing.assert_frame_equal(files.reset_index(drop=True), stored.reset_index(drop=True), atol=2e-6)

    def test_predict_tells_two_stores_apart_and_names_a_damaged_one(
        self, root: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        model = str(tiny_bundle(tmp_path / "model").folder)
        out = tmp_path / "both.csv"
        assert run(["-q", "predict", str(root / "ami-br.zarr"), str(store), "--model", model, "--out", str(out)]) == 0
        names = pd.read_csv(out)["file"]
        assert names[0] == "ami-br.zarr/patches/atypical/TUPAC16_0.png"
        assert names[60] == "copy.zarr/patches/atypical/TUPAC16_0.png"
        (store / "zarr.json").unlink()
        assert run(["-q", "predict", str(store), "--model", model]) == 1
        assert "not a crop store, or a damaged one" in capsys.readouterr().err
