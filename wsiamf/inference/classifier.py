"""Logits to calibrated probabilities: the one place where sigmoids are taken."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax

from wsiamf.bundle import Bundle, open_bundle
from wsiamf.errors import CropError
from wsiamf.inference.torch_backend import TorchBackend
from wsiamf.model import EXPERTS, HARD_CLASSES, HARDNESS, PHASE
from wsiamf.spec import Calibration, ModelSpec

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
_P_MIN = 1e-6  # keeps the logit of a saturated head finite


def head_probabilities(head: str, logits_NC: Floats) -> Floats:
    """A head's uncalibrated probabilities from its logits.

    Args:
        head: Name of the head.
        logits_NC: One row a crop; C is the number of experts or phases; of ``hardness`` 1 (hard) or 4 (its four classes).

    Returns:
        The same shape; of ``hardness`` always (N, 1), the probability of hard.
    """
    exclusive = head == PHASE or (head == HARDNESS and logits_NC.shape[1] > 1)
    p: Floats = softmax(logits_NC, axis=1) if exclusive else expit(logits_NC)
    return p[:, HARD_CLASSES].sum(axis=1, keepdims=True) if head == HARDNESS and exclusive else p


@dataclass(frozen=True)
class Probabilities:
    """What the model says of N crops.

    Args:
        p_atypical: Calibrated probability of AMF, (N,).
        p_hard: Calibrated probability that experts disagree, (N,); NaN where the model has no hardness head.
        p_experts_NK: Each expert head's own probability of AMF, uncalibrated, in the order of ``ModelSpec.experts``.
        p_phases_NP: Probability of each phase, in the order of ``ModelSpec.phases``; None where the model has no such head.
    """

    p_atypical: Floats
    p_hard: Floats
    p_experts_NK: Floats
    p_phases_NP: Floats | None = None


def mean_expert_logit(p_experts_NK: Floats) -> Floats:
    """z: the logit of the mean of the expert heads' probabilities, (N,)."""
    return safe_logit(p_experts_NK.mean(axis=1))


def safe_logit(p: Floats) -> Floats:
    """The logit, finite also where a probability is 0 or 1."""
    z: Floats = logit(np.clip(p, _P_MIN, 1 - _P_MIN))
    return z


def turned(crops_NHWC: NDArray[np.uint8], n_views: int) -> Iterator[NDArray[np.uint8]]:
    """The first ``n_views`` of the eight symmetries of a square: quarter turns, then the quarter turns of the mirror image."""
    for view in range(n_views):
        mirrored = crops_NHWC[:, :, ::-1] if view >= 4 else crops_NHWC
        yield np.ascontiguousarray(np.rot90(mirrored, view % 4, axes=(1, 2)))


def calibrated(p_experts_NK: Floats, calibration: Calibration) -> Floats:
    """``p_atypical`` from the expert heads' probabilities."""
    p: Floats = expit(calibration.a * mean_expert_logit(p_experts_NK) + calibration.b)
    return p


class Classifier:
    """A model bundle ready to classify crops.

    Args:
        bundle: The model.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        batch_size: Crops a forward pass; None for the device's own.
        precision: ``auto``, ``f32`` or ``bf16``.
    """

    def __init__(
        self, bundle: Bundle, *, device: str = "auto", batch_size: int | None = None, precision: str = "auto"
    ) -> None:
        if bundle.spec.provisional:
            logger.warning(
                "%s: calibration and thresholds are provisional, the mean of those of the models it was made from; fit "
                "them with `wsiamf calibrate`",
                bundle.title,
            )
        self.bundle = bundle
        self.backend = TorchBackend(bundle, device=device, batch_size=batch_size, precision=precision)

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.bundle.spec

    @property
    def batch_size(self) -> int:
        """Crops a forward pass."""
        return self.backend.batch_size

    def predict(self, crops_NHWC: NDArray[np.uint8]) -> Probabilities:
        """Classify crops.

        Args:
            crops_NHWC: RGB uint8, (N, crop_px, crop_px, 3), at the model's mpp; N may be 0.

        Raises:
            CropError: The crops have another shape or type.
        """
        side = self.spec.crop_px
        if crops_NHWC.dtype != np.uint8 or crops_NHWC.shape[1:] != (side, side, 3):
            raise CropError(f"crops must be uint8 (N, {side}, {side}, 3), not {crops_NHWC.dtype} {crops_NHWC.shape}.")
        parts = [self._predict_batch(batch) for batch in self._batches(crops_NHWC)]
        if not parts:
            return Probabilities(np.empty(0), np.empty(0), np.empty((0, len(self.spec.experts))))
        return Probabilities(
            np.concatenate([part.p_atypical for part in parts]),
            np.concatenate([part.p_hard for part in parts]),
            np.concatenate([part.p_experts_NK for part in parts]),
            np.concatenate([part.p_phases_NP for part in parts if part.p_phases_NP is not None])
            if self.spec.phases
            else None,
        )

    def _batches(self, crops_NHWC: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(crops_NHWC), self.batch_size):
            yield crops_NHWC[start : start + self.batch_size]

    def _predict_batch(self, crops_NHWC: NDArray[np.uint8]) -> Probabilities:
        heads = self._heads(crops_NHWC)
        p_experts_NK = heads[EXPERTS]
        p_hard = np.full(len(crops_NHWC), np.nan)
        if HARDNESS in heads:
            hardness = self.spec.hardness_calibration
            p_hard = expit(hardness.a * safe_logit(heads[HARDNESS][:, 0]) + hardness.b)
        return Probabilities(calibrated(p_experts_NK, self.spec.calibration), p_hard, p_experts_NK, heads.get(PHASE))

    def _heads(self, crops_NHWC: NDArray[np.uint8]) -> dict[str, Floats]:
        """Each head's uncalibrated probability, the mean over the views of a network and then over the networks."""
        says = [self._heads_of(number, crops_NHWC) for number in range(len(self.spec.networks))]
        return {head: np.mean([said[head] for said in says], axis=0) for head in says[0]}

    def _heads_of(self, number: int, crops_NHWC: NDArray[np.uint8]) -> dict[str, Floats]:
        shown = turned(crops_NHWC, self.spec.networks[number].views)
        views = [self.backend.logits(crops, number) for crops in shown]
        return {head: np.mean([head_probabilities(head, view[head]) for view in views], axis=0) for head in views[0]}


def load_model(
    model: str | Path | None = None, *, device: str = "auto", batch_size: int | None = None, precision: str = "auto"
) -> Classifier:
    """Open a model bundle and put it on a device.

    Args:
        model: A shipped name, a bundle's folder, or None for the default model.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        batch_size: Crops a forward pass; None for the device's own.
        precision: ``auto`` or ``f32``, or ``bf16`` on CUDA (mixed precision: faster, less exact).

    Raises:
        BundleError: The bundle is missing, incomplete, altered or does not fit.
        ConfigError: The device or precision is not to be had.

    Example:
        >>> from wsiamf import load_model
        >>> load_model().spec.mpp
        0.25
    """
    return Classifier(open_bundle(model), device=device, batch_size=batch_size, precision=precision)
