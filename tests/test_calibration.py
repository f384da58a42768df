"""Calibration and thresholds: what is recovered, what is refused, and how far a threshold moves between samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from wsiamf.errors import TrainingError
from wsiamf.training.calibration import (
    bagged_threshold,
    balanced_threshold,
    count_threshold,
    decided_p_atypical,
    decided_p_hard,
    fit_calibration,
    fit_decision,
    fit_hardness_calibration,
    prevalence_threshold,
)

Floats = NDArray[np.float64]
NAN = float("nan")


def figures(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Logits z and truths with P(AMF) = sigmoid(0.8 z - 1.2)."""
    z = rng.normal(0, 2, n)
    return z, (rng.random(n) < expit(0.8 * z - 1.2)).astype(float)


class TestCalibration:
    def test_recovers_a_known_calibration(self) -> None:
        rng = np.random.default_rng(0)
        z = rng.normal(0, 2, 40_000)
        amf = (rng.random(40_000) < expit(0.6 * z - 1.1)).astype(float)
        fitted = fit_calibration(z, amf)
        assert fitted.a == pytest.approx(0.6, abs=0.03)
        assert fitted.b == pytest.approx(-1.1, abs=0.03)

    def test_refuses_what_cannot_be_calibrated(self) -> None:
        with pytest.raises(TrainingError, match="both AMF and NMF"):
            fit_calibration(np.arange(3.0), np.ones(3))
        with pytest.raises(TrainingError, match="learnt nothing usable"):
            fit_calibration(np.arange(4.0), np.array([1.0, 1, 0, 0]))

    def test_balanced_threshold_equals_brute_force(self) -> None:
        rng = np.random.default_rng(1)
        for _ in range(50):
            p, amf = rng.integers(0, 12, 30) / 12, (rng.random(30) < 0.3).astype(float)
            amf[:2] = 0, 1

            def score(cut: float, p: Any = p, amf: Any = amf) -> float:
                return float((p[amf == 1] >= cut).mean() + (p[amf == 0] < cut).mean())

            assert score(balanced_threshold(p, amf)) == pytest.approx(max(score(cut) for cut in [*p, 2.0]))

    def test_count_threshold_balances_the_errors(self) -> None:
        rng = np.random.default_rng(2)
        p = rng.random(500)
        amf = (rng.random(500) < p).astype(float)
        called = p >= count_threshold(p, amf)
        assert called.sum() == amf.sum()
        assert (called & (amf == 0)).sum() == (~called & (amf == 1)).sum()

    def test_thresholds_are_seeded(self) -> None:
        rng = np.random.default_rng(3)
        p = rng.random(200)
        amf = (rng.random(200) < p).astype(float)
        groups = np.repeat(np.arange(20), 10).astype(str)
        for rule in (balanced_threshold, count_threshold):
            first, again = (bagged_threshold(rule, p, amf, groups, seed=1) for _ in range(2))
            assert first == again
            assert abs(first - rule(p, amf)) < 0.15

    def test_a_hardness_head_that_learnt_nothing_gives_the_base_rate(self) -> None:
        hard = np.array([1.0, 0, 0, 0, 1, np.nan, 0, 0])
        calibration = fit_hardness_calibration(-np.nan_to_num(hard), hard)
        assert calibration.a == 0
        assert expit(calibration.b) == pytest.approx(2 / 7)
        assert fit_hardness_calibration(np.nan_to_num(hard) + np.arange(8) / 10, hard).a > 0


class TestPrevalenceThreshold:
    def test_is_the_best_of_a_calibrated_forecast(self) -> None:
        z, amf = figures(np.random.default_rng(0), 200_000)
        p = expit(0.8 * z - 1.2)

        def score(cut: float) -> float:
            return float((p[amf == 1] >= cut).mean() + (p[amf == 0] < cut).mean()) / 2

        best = max(score(cut) for cut in np.linspace(0.01, 0.99, 99))
        assert score(prevalence_threshold(amf)) > best - 0.001

    def test_moves_less_between_samples_than_the_empirical_maximum(self) -> None:
        rng = np.random.default_rng(1)
        cuts: list[tuple[float, float]] = []
        for _ in range(40):
            z, amf = figures(rng, 300)
            calibration = fit_calibration(z, amf)
            p = expit(calibration.a * z + calibration.b)
            at = np.array([prevalence_threshold(amf), balanced_threshold(p, amf)])
            cuts.append(tuple((np.log(at / (1 - at)) - calibration.b) / calibration.a))  # in terms of z
        ours, empirical = np.std(cuts, axis=0)
        assert ours < empirical / 2


class TestDecision:
    def decide(self, **changes: Any) -> Any:
        rng = np.random.default_rng(4)
        z, amf = figures(rng, 600)
        z_hard = rng.normal(0, 1, 600)
        values: dict[str, Any] = {
            "z": z,
            "p_experts_NK": np.stack([expit(z), expit(z - 1)], axis=1),
            "votes_NK": np.stack([amf, np.full(600, NAN)], axis=1),
            "amf": amf,
            "z_hard": z_hard,
            "hard": np.where(rng.random(600) < 0.8, (rng.random(600) < expit(z_hard - 1)).astype(float), NAN),
            "groups": np.repeat(np.arange(60), 10).astype(str),
            "seed": 0,
        }
        values |= changes
        return values, fit_decision(**values)

    def test_thresholds_do_what_they_are_for(self) -> None:
        given, decision = self.decide()
        amf, hard = given["amf"], given["hard"]
        p, p_hard = decided_p_atypical(given["z"], decision), decided_p_hard(given["z_hard"], decision)
        assert p.mean() == pytest.approx(amf.mean(), abs=1e-3)
        assert decision.thresholds.balanced == pytest.approx(amf.mean(), abs=1e-4)
        assert (p >= decision.thresholds.count).mean() == pytest.approx(amf.mean(), abs=0.02)
        known = ~np.isnan(hard)
        assert (p_hard[known] >= decision.thresholds.hard).mean() == pytest.approx(hard[known].mean(), abs=0.03)

    def test_a_head_whose_rater_did_not_vote_is_cut_where_count_cuts(self) -> None:
        given, decision = self.decide()
        own, implied = decision.thresholds.experts
        assert (given["p_experts_NK"][:, 0] >= own).mean() == pytest.approx(given["amf"].mean(), abs=0.02)
        at_implied = decided_p_atypical(np.log([implied / (1 - implied)]), decision)
        assert at_implied[0] == pytest.approx(decision.thresholds.count, abs=1e-3)

    def test_without_a_hardness_head(self) -> None:
        given, decision = self.decide(z_hard=np.full(600, NAN))
        assert (decision.hardness_calibration.a, decision.thresholds.hard) == (1.0, 0.5)
        assert np.isnan(decided_p_hard(given["z_hard"], decision)).all()

    def test_one_class_alone_is_refused(self) -> None:
        with pytest.raises(TrainingError, match="both AMF and NMF"):
            self.decide(amf=np.zeros(600))
