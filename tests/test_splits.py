"""Splits and folds: groups stay whole, strata hold, files come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wsiamf.config import CrossvalConfig, SetConfig, SplitConfig
from wsiamf.errors import TrainingError
from wsiamf.training.labels import LabelledCrops, read_labelled_set
from wsiamf.training.splits import (
    TEST,
    TRAIN,
    VALIDATION,
    inner_validation,
    make_folds,
    read_folds,
    split_by_group,
)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> LabelledCrops:
    return read_labelled_set(SetConfig(kind="ami-br", path="crops/AMi-Br", use="split"), shared_data)


def made_up(n: int = 240, slides: int = 24, *, seed: int = 0) -> LabelledCrops:
    """Crops without pixels on slides of uneven AMF share; every third slide is the second of its case."""
    rng = np.random.default_rng(seed)
    slide = rng.integers(slides, size=n)
    amf = (rng.random(n) < 0.15 + 0.3 * (slide % 3 == 0)).astype(float)
    hard = (rng.random(n) < 0.25).astype(float)
    table = pd.DataFrame(
        {
            "set": "made",
            "file": [f"{k}.png" for k in range(n)],
            "slide": [f"{k}.svs" for k in slide],
            "case": [f"case {k // 2}" if k < 12 else None for k in slide],
            "domain": np.where(slide % 2 == 0, "breast", "lung"),
            "amf": amf,
            "hard": hard,
            "n_votes": 3,
        }
    )
    crops_NSS3 = np.zeros((n, 1, 1, 3), dtype=np.uint8)
    return LabelledCrops(crops_NSS3, table, pd.DataFrame({"made/1": amf}), np.full((n, 2), -1, dtype=np.int64))


class TestFolds:
    def test_cases_then_slides_stay_whole(self) -> None:
        data = made_up()
        folds = make_folds(data, CrossvalConfig(folds=4, seed=1))
        owners = pd.DataFrame({"group": data.groups, "fold": folds.fold_N}).groupby("group")["fold"].nunique()
        assert (owners == 1).all()
        cases = (
            pd.DataFrame({"case": data.table["case"], "fold": folds.fold_N}).dropna().groupby("case")["fold"].nunique()
        )
        assert (cases == 1).all()
        assert set(folds.fold_N) == {1, 2, 3, 4}

    def test_strata_hold_on_the_real_set(self, real: LabelledCrops) -> None:
        folds = make_folds(real, CrossvalConfig(folds=5, seed=1))
        hard = real.table["hard"].to_numpy()
        for fold in folds:
            rows = folds.fold_N == fold
            assert abs(rows.mean() - 0.2) < 0.02
            assert abs(real.amf[rows].mean() - real.amf.mean()) < 0.02
            assert abs(hard[rows].mean() - hard.mean()) < 0.04

    def test_stratified_by_crop_tears_slides_as_the_paper_does(self) -> None:
        data = made_up()
        folds = make_folds(data, CrossvalConfig(scheme="stratified", folds=4))
        assert pd.Series(folds.fold_N).groupby(data.table["slide"]).nunique().max() > 1
        shares = [data.amf[folds.fold_N == fold].mean() for fold in folds]
        assert max(shares) - min(shares) < 0.04

    def test_each_domain_is_held_out_once(self) -> None:
        data = made_up()
        folds = make_folds(data, CrossvalConfig(scheme="domain"))
        assert folds.names == ("breast", "lung")
        assert ((data.table["domain"] == "lung") == (folds.fold_N == 2)).all()

    def test_domains_must_be_known(self) -> None:
        data = made_up()
        data.table.loc[3, "domain"] = None
        with pytest.raises(TrainingError, match=r"needs a domain for every crop .* 1 crop\(s\) without one"):
            make_folds(data, CrossvalConfig(scheme="domain"))

    def test_a_fold_without_amf_is_refused(self) -> None:
        data = made_up()
        data.table.loc[data.table["domain"] == "lung", "amf"] = 0.0
        with pytest.raises(TrainingError, match=r"fold (breast|lung) has no AMF"):
            make_folds(data, CrossvalConfig(scheme="domain"))

    def test_too_few_groups(self) -> None:
        with pytest.raises(TrainingError, match="cannot be split into 30 folds"):
            make_folds(made_up(), CrossvalConfig(folds=30))

    def test_inner_validation_is_grouped_and_disjoint(self) -> None:
        data = made_up()
        train, validation = inner_validation(data, 0)
        assert len(train) + len(validation) == len(data)
        assert not set(train.groups) & set(validation.groups)
        assert 0.1 < len(validation) / len(data) < 0.35


class TestFiles:
    def test_folds_come_back_for_crops_in_another_order(self, tmp_path: Path) -> None:
        data = made_up()
        folds = make_folds(data, CrossvalConfig(folds=4, seed=1))
        folds.write(tmp_path / "folds.csv", data)
        order = np.random.default_rng(0).permutation(len(data))
        again = read_folds(tmp_path / "folds.csv", data.subset(order))
        assert again.names == folds.names
        assert (again.fold_N == folds.fold_N[order]).all()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda table: table.iloc[1:], r"has no fold for 1 crop\(s\), made 0.png among them"),
            (lambda table: pd.concat([table, table.iloc[:1]]), "names 0.png twice"),
            (lambda table: table.drop(columns="fold"), "not a table of folds"),
            (lambda table: table.assign(fold=table["fold"] + 1), "numbered from 1"),
            (lambda table: table.assign(fold=1 + (table["file"] == "0.png")), r"has no (AMF|NMF)"),
        ],
    )
    def test_a_wrong_file_is_one_clear_error(self, tmp_path: Path, change: object, message: str) -> None:
        data = made_up()
        path = tmp_path / "folds.csv"
        make_folds(data, CrossvalConfig(folds=4)).write(path, data)
        assert callable(change)
        change(pd.read_csv(path, dtype={"name": str})).to_csv(path, index=False)
        with pytest.raises(TrainingError, match=message):
            read_folds(path, data)


class TestSplit:
    def test_slides_stay_whole_and_strata_hold(self, real: LabelledCrops) -> None:
        parts = split_by_group(real, SplitConfig(seed=1))
        owners = pd.DataFrame({"slide": real.groups, "part": parts}).groupby("slide")["part"].nunique()
        assert (owners == 1).all()
        for part, share in ((TRAIN, 0.7), (VALIDATION, 0.1), (TEST, 0.2)):
            rows = parts == part
            assert abs(rows.mean() - share) < 0.02
            assert abs(real.amf[rows].mean() - real.amf.mean()) < 0.02

    def test_the_seed_decides(self) -> None:
        data = made_up()
        one, again, other = (split_by_group(data, SplitConfig(folds=5, seed=seed)) for seed in (1, 1, 2))
        assert (one == again).all()
        assert (one != other).any()

    def test_without_validation_everything_is_trained_on(self) -> None:
        assert (split_by_group(made_up(), SplitConfig(validation=0, test=0)) == TRAIN).all()

    def test_too_few_groups(self) -> None:
        with pytest.raises(TrainingError, match="cannot be split into 40 folds"):
            split_by_group(made_up(), SplitConfig(folds=40))
