"""Conformal sets: coverage on exchangeable figures, what they say, and the column in tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from scipy.special import expit

from tests.tiny_model import tiny_bundle
from wsiamf import screen_slide
from wsiamf.errors import TrainingError
from wsiamf.inference import Classifier
from wsiamf.predict import predict_crops
from wsiamf.spec import Conformal
from wsiamf.summary.conformal import CANNOT_TELL, apply_conformal, conformal_cut_offs, conformal_sets
from wsiamf.training.conformal import NO_GUARANTEE, coverage, coverage_lines, cross_fitted_sets, fit_conformal

Floats = NDArray[np.float64]


def draw(rng: np.random.Generator, n: int, *, apart: float = 2.0, prevalence: float = 0.25) -> tuple[Floats, Floats]:
    """Figures whose logits lie ``apart`` between the classes."""
    amf = (rng.random(n) < prevalence).astype(float)
    amf[:2] = 1, 0
    return expit(rng.normal(apart * (amf - 0.5), 1.0)), amf


class TestCoverage:
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(percent=st.integers(1, 50), n=st.integers(20, 200), apart=st.floats(0, 4), seed=st.integers(0, 2**16))
    def test_holds_on_exchangeable_figures(self, percent: int, n: int, apart: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        missed: dict[float, list[float]] = {1.0: [], 0.0: []}
        for _ in range(60):
            conformal = fit_conformal(*draw(rng, n, apart=apart))
            p, amf = draw(rng, 400, apart=apart)
            said = conformal_sets(p, conformal, percent / 100)
            for truth, other in ((1.0, "NMF"), (0.0, "AMF")):
                missed[truth].append(float((said[amf == truth] == other).mean()))
        for shares in missed.values():
            noise = 4 * np.std(shares) / np.sqrt(len(shares))
            assert np.mean(shares) <= percent / 100 + noise

    def test_is_not_bought_with_cannot_tell_alone(self) -> None:
        rng = np.random.default_rng(0)
        conformal = fit_conformal(*draw(rng, 4000))
        p, amf = draw(rng, 20_000)
        said = conformal_sets(p, conformal, 0.1)
        assert (said[amf == 1] == "NMF").mean() == pytest.approx(0.1, abs=0.02)
        assert (said[amf == 0] == "AMF").mean() == pytest.approx(0.1, abs=0.02)

    def test_is_measured_by_class_with_an_interval_over_groups(self) -> None:
        said = np.array(["AMF", "NMF", CANNOT_TELL, "AMF", "NMF", "NMF", "NMF", CANNOT_TELL])
        amf = np.array([1.0, 1, 1, 1, 0, 0, 0, 0])
        of_amf, of_nmf = coverage(said, amf, np.array(list("aabbccdd")))
        assert (of_amf.truth, of_amf.n, of_amf.covered, of_amf.cannot_tell) == ("AMF", 4, 0.75, 0.25)
        assert of_amf.interval == (0.5, 1.0)  # one slide with one error in two, one with none
        assert (of_nmf.covered, of_nmf.interval, of_nmf.cannot_tell) == (1.0, (1.0, 1.0), 0.25)

    def test_a_class_without_figures_is_said_so(self) -> None:
        measured = coverage(np.array(["NMF"]), np.zeros(1), np.array(["a"]))
        text = "\n".join(coverage_lines(0.1, [("here", measured)]))
        assert "| here | AMF | 0 | none to measure on |" in text
        assert "nan" not in text
        assert "no guarantee on other material" in NO_GUARANTEE
        assert NO_GUARANTEE in text

    def test_cross_fitted_sets_do_not_see_their_own_fold(self) -> None:
        rng = np.random.default_rng(1)
        p, amf = draw(rng, 300)
        fold_N = np.arange(300) % 3
        said = cross_fitted_sets(p, amf, fold_N, 0.2)
        rows = fold_N == 1
        assert (said[rows] == conformal_sets(p[rows], fit_conformal(p[~rows], amf[~rows]), 0.2)).all()
        flipped = np.where(rows, 1 - amf, amf)
        assert (cross_fitted_sets(p, flipped, fold_N, 0.2)[rows] == said[rows]).all()


class TestCutOffs:
    def test_by_hand(self) -> None:
        p = np.array([0.2, 0.5, 0.8, 0.9, *np.linspace(0.01, 0.19, 19)])
        conformal = fit_conformal(p, np.array([1.0] * 4 + [0.0] * 19))
        assert (conformal.n_amf, conformal.n_nmf) == (4, 19)
        assert conformal_cut_offs(conformal, 0.19) == (0.0, 0.17)  # 4 AMF cannot tell the lowest 19 % of them
        assert conformal_cut_offs(conformal, 0.2) == (0.2, 0.16)
        assert conformal_cut_offs(conformal, 0.4) == (0.5, 0.12)
        assert conformal_cut_offs(conformal, 0.049) == (0.0, 1.0)
        assert conformal_cut_offs(conformal, 0.29) == conformal_cut_offs(conformal, 0.299)
        assert conformal_cut_offs(conformal, 0.9) == conformal_cut_offs(conformal, 0.5)

    def test_what_is_said(self) -> None:
        narrow = Conformal(n_amf=9, n_nmf=9, amf_from=(0.3,), nmf_up_to=(0.6,))
        p = np.array([0.1, 0.3, 0.6, 0.7, np.nan])
        assert conformal_sets(p, narrow, 0.01).tolist() == ["NMF", CANNOT_TELL, CANNOT_TELL, "AMF", ""]
        wide = Conformal(n_amf=9, n_nmf=9, amf_from=(0.6,), nmf_up_to=(0.3,))
        assert conformal_sets(p, wide, 0.01).tolist() == ["NMF", "NMF", "AMF", "AMF", ""]
        assert conformal_sets(np.array([0.45]), wide, 0.01).tolist() == [CANNOT_TELL]  # neither class is in the set

    def test_needs_both_classes(self) -> None:
        with pytest.raises(TrainingError, match="both AMF and NMF"):
            fit_conformal(np.array([0.1, 0.2]), np.zeros(2))

    def test_a_damaged_spec_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="differ in length"):
            Conformal(n_amf=1, n_nmf=1, amf_from=(0.1, 0.2), nmf_up_to=(0.9,))


class TestColumn:
    def test_null_where_nothing_can_be_said(self) -> None:
        table = pd.DataFrame({"p_atypical": [0.9, None], "label": ["AMF", None]})
        conformal = Conformal(n_amf=9, n_nmf=9, amf_from=(0.3,), nmf_up_to=(0.6,))
        filled = apply_conformal(table, conformal, error_rate=0.01)
        assert filled["conformal"].isna().tolist() == [False, True]
        assert filled.loc[0, "conformal"] == "AMF"
        assert filled["label"].equals(table["label"])
        assert apply_conformal(table, None, error_rate=0.1)["conformal"].isna().all()

    def test_screen_and_predict_say_it_and_change_nothing_else(self, sample_data: Path, tmp_path: Path) -> None:
        spread = Conformal(n_amf=9, n_nmf=9, amf_from=(0.0, 0.5), nmf_up_to=(1.0, 0.5))
        plain, fitted = tiny_bundle(tmp_path / "plain"), tiny_bundle(tmp_path / "fitted", conformal=spread)
        without, narrow, wide = (
            screen_slide(
                sample_data / "sample.tiff",
                sample_data / "points.csv",
                out=tmp_path / name,
                model=bundle.folder,
                device="cpu",
                hotspot_mm2=0.1,
                conformal_error=error_rate,
            )
            for name, bundle, error_rate in (("a", plain, 0.1), ("b", fitted, 0.02), ("c", fitted, 0.01))
        )
        assert without.table["conformal"].isna().all()
        known = narrow.table["p_atypical"].notna()
        assert narrow.table["conformal"].notna().equals(known)
        assert set(narrow.table["conformal"][known]) <= {"AMF", "NMF", CANNOT_TELL}
        assert (narrow.table["conformal"][known] != CANNOT_TELL).all()
        assert (wide.table["conformal"][known] == CANNOT_TELL).all()
        for other in (narrow, wide):
            assert other.summary == without.summary
            pd.testing.assert_frame_equal(
                other.table.drop(columns="conformal"), without.table.drop(columns="conformal")
            )
        crop = np.full((128, 128, 3), 120, dtype=np.uint8)
        Image.fromarray(crop).save(tmp_path / "crop.png")
        table = predict_crops(
            {"crop.png": tmp_path / "crop.png"}, Classifier(fitted, device="cpu"), threshold=0.5, conformal_error=0.02
        )
        assert table.columns[-1] == "conformal"
        assert table["conformal"].tolist() == table["label"].tolist()
