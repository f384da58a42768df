"""Cross-validation: what a fold sees, what is kept, and that a run goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.test_training import all_data_config
from wsiamf.bundle import open_bundle
from wsiamf.errors import TrainingError
from wsiamf.training.crossval import cross_validate, withhold
from wsiamf.training.deciding import decide, head_raters, with_decision
from wsiamf.training.measuring import read_table


@pytest.fixture(scope="module")
def run(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cross-validation of a student with one teacher; AtNorM-MD is only measured on."""
    folder = tmp_path_factory.mktemp("cv")
    teacher = {"network": all_data_config().network.model_dump()}
    taught = all_data_config(distil={"teachers": [teacher]})
    cross_validate(withhold(taught, ["atnorm-md"]), data_root, folder, device="cpu", workers=0)
    return folder


class TestTables:
    def test_every_crop_is_held_out_once(self, run: Path) -> None:
        table = read_table(run / "out_of_fold.csv")
        assert len(table) == 60
        assert not table.duplicated(["set", "file"]).any()
        assert set(table["fold"]) == {1, 2, 3}
        assert table.groupby("slide")["fold"].nunique().max() == 1
        assert head_raters(table) == ("ami-br/1", "ami-br/2", "ami-br/3")

    def test_test_sets_are_judged_by_every_fold(self, run: Path) -> None:
        tests = read_table(run / "test_predictions.csv")
        assert (tests.groupby("file")["fold"].nunique() == 3).all()
        assert tests["set"].unique().tolist() == ["AtNorM-MD"]
        assert tests["vote_atnorm-md/1"].notna().all()

    def test_a_fold_is_decided_by_the_others(self, run: Path) -> None:
        table = read_table(run / "out_of_fold.csv")
        for fold in (1, 2, 3):
            held_out = table["fold"] == fold
            told = with_decision(table[held_out], decide(table[~held_out], head_raters(table), seed=3))
            assert np.allclose(told["p_atypical"], table.loc[held_out, "p_atypical"], atol=1e-4)
            assert np.allclose(told["threshold_balanced"], table.loc[held_out, "threshold_balanced"], atol=1e-4)

    def test_the_heads_mean_is_z(self, run: Path) -> None:
        table = read_table(run / "out_of_fold.csv")
        mean = table[[f"p_{rater}" for rater in head_raters(table)]].mean(axis=1)
        assert np.allclose(1 / (1 + np.exp(-table["z"])), mean, atol=1e-5)


def test_a_folds_bundle_is_calibrated_by_the_other_folds(run: Path) -> None:
    bundle, table = open_bundle(run / "fold-2"), read_table(run / "out_of_fold.csv")
    held_out = table[table["fold"] == 2]
    assert bundle.spec.thresholds.balanced == pytest.approx(held_out["threshold_balanced"].iloc[0])
    with_z = bundle.spec.calibration.a * held_out["z"] + bundle.spec.calibration.b
    assert np.allclose(1 / (1 + np.exp(-with_z)), held_out["p_atypical"], atol=1e-4)
    assert "calibrated on the other folds" in bundle.read_card()


class TestResuming:
    def test_tables_alone_are_enough(self, run: Path, data_root: Path, tmp_path: Path) -> None:
        """Records and tables can be stored without any weights, and a run goes on from them."""
        kept = tmp_path / "kept"
        shutil.copytree(
            run, kept, ignore=shutil.ignore_patterns("states", "*.safetensors", "CARD.md", "LICENSES", "spec.json")
        )
        shutil.rmtree(kept / "fold-2")
        whole = read_table(run / "out_of_fold.csv")
        config = type(all_data_config()).model_validate_json((run / "config.json").read_bytes())
        again = cross_validate(config, data_root, kept, device="cpu", workers=0)
        assert not (kept / "fold-1" / "states").exists()
        pd.testing.assert_frame_equal(read_table(kept / "out_of_fold.csv"), whole)
        assert len(again) == 60

    def test_another_recipe_is_refused(self, run: Path, data_root: Path) -> None:
        with pytest.raises(TrainingError, match=r"is of another cross-validation \(recipe\); choose another --out"):
            cross_validate(withhold(all_data_config(), ["atnorm-md"]), data_root, run, device="cpu", workers=0)

    def test_a_broken_record_is_named(self, run: Path, data_root: Path, tmp_path: Path) -> None:
        (tmp_path / "fold-1").mkdir()
        (tmp_path / "fold-1" / "record.json").write_text("{")
        with pytest.raises(TrainingError, match="not a fold's record"):
            cross_validate(all_data_config(), data_root, tmp_path, device="cpu", workers=0)

    def test_records_name_the_weights(self, run: Path) -> None:
        record = json.loads((run / "fold-1" / "record.json").read_text())
        assert len(record["weights_sha256"]) == 64
        assert record["n_train"] == 60 - (read_table(run / "out_of_fold.csv")["fold"] == 1).sum()


class TestWrongUse:
    def test_choosing_the_best_epoch_needs_something_to_choose_with(self, data_root: Path, tmp_path: Path) -> None:
        config = all_data_config()
        best = config.model_copy(update={"fit": config.fit.model_copy(update={"keep": "best"})})
        with pytest.raises(TrainingError, match=r"crossval\.validation: none leaves nothing"):
            cross_validate(best, data_root, tmp_path)

    def test_heads_without_anything_to_learn_are_named_before_training(self, data_root: Path, tmp_path: Path) -> None:
        rows = pd.read_csv(data_root / "AtNorM-MD" / "AtNorM-MD_expert_votes.csv")
        files = rows["Majority"] + "/" + rows["Filename"]
        one_expert = pd.DataFrame({"file": files, "label": rows["Majority"], "vote_a": rows["Expert_1"]})
        one_expert.to_csv(data_root / "AtNorM-MD" / "one.csv", index=False)
        sets = [{"kind": "manifest", "path": "AtNorM-MD/one.csv", "use": "split"}]
        data = {"sets": sets, "split": {"validation": 0, "test": 0}}
        with pytest.raises(TrainingError, match=r"network\.hardness: true has nothing to learn"):
            cross_validate(all_data_config(data=data), data_root, tmp_path / "one", device="cpu", workers=0)
        network = all_data_config().network.model_dump() | {"hardness": False}
        with pytest.raises(TrainingError, match=r"network\.phase: true has nothing to learn"):
            cross_validate(
                all_data_config(data=data, network=network), data_root, tmp_path / "two", device="cpu", workers=0
            )

    def test_unknown_fold_and_set(self, data_root: Path, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="--fold 4: there are folds 1 to 3"):
            cross_validate(all_data_config(), data_root, tmp_path, only=[4])
        with pytest.raises(TrainingError, match=r"--without ami-br: .* such sets are: atnorm-md"):
            withhold(all_data_config(), ["ami-br"])

    def test_sets_that_share_crops_are_refused(self, data_root: Path, tmp_path: Path) -> None:
        both = tmp_path / "data"
        shutil.copytree(data_root, both)
        shutil.copy(both / "AMi-Br/patches/atypical/TUPAC16_0.png", both / "AtNorM-MD/Atypical/0.png")
        with pytest.raises(TrainingError, match=r"0\.png"):
            cross_validate(all_data_config(), both, tmp_path / "cv", device="cpu", workers=0)
        assert not (tmp_path / "cv").exists()


@pytest.mark.parametrize("validation", ["inner", "fold"])
def test_the_epoch_may_be_chosen(validation: str, data_root: Path, tmp_path: Path) -> None:
    config = all_data_config()
    values = config.model_dump() | {"crossval": {"folds": 3, "validation": validation}}
    values["fit"] |= {"keep": "best"}
    values["data"]["split"] = {"folds": 3, "validation": 1, "test": 0}
    best = type(config).model_validate(values)
    table = cross_validate(best, data_root, tmp_path, only=[2], device="cpu", workers=0)
    log = pd.read_csv(tmp_path / "fold-2" / "states" / "run-1" / "log.csv")
    assert log["validation_auc"].notna().all()
    assert set(table["fold"]) == {2}
