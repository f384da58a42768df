"""Logits to calibrated probabilities: the one place where sigmoids are taken."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax

from wsiamf.bundle import Bundle, open_bundle
from wsiamf.classes import EXPERTS, HARD_CLASSES, HARDNESS, PHASE
from wsiamf.errors import CropError, InferenceError
from wsiamf.inference.backend import Pending
from wsiamf.inference.choosing import open_backend
from wsiamf.spec import Calibration, ModelSpec

logger = logging.getLogger(__name__)

PROVISIONAL: Final = (
    "calibration and thresholds are provisional, the mean of those of the models it was made from; fit them with "
    "`wsiamf calibrate`"
)
"""What is said of such a bundle."""

Floats = NDArray[np.float64]
_LONGEST_REASON = 300  # characters of a message that may run over pages
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


@contextmanager
def _inference_errors() -> Iterator[None]:
    """What torch and OpenVINO raise, memory that runs out above all, as one error with a remedy."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
        raise InferenceError(
            f"the model cannot be computed here ({reason}); lower --batch-size or choose another --backend."
        ) from error


@dataclass(frozen=True)
class PendingProbabilities:
    """A batch that is under way in all views and networks.

    Args:
        spec: Of the model.
        views: For each network, its views of the batch.
        n: Crops of the batch.
    """

    spec: ModelSpec
    views: Sequence[Sequence[Pending]]
    n: int

    def result(self) -> Probabilities:
        """Wait for what the model says; an error of the computation is raised here."""
        with _inference_errors():
            heads = self._heads()
        p_experts_NK = heads[EXPERTS]
        p_hard = np.full(self.n, np.nan)
        if HARDNESS in heads:
            hardness = self.spec.hardness_calibration
            p_hard = expit(hardness.a * safe_logit(heads[HARDNESS][:, 0]) + hardness.b)
        return Probabilities(calibrated(p_experts_NK, self.spec.calibration), p_hard, p_experts_NK, heads.get(PHASE))

    def _heads(self) -> dict[str, Floats]:
        """Each head's uncalibrated probability, the mean over the views of a network and then over the networks."""
        says = [_mean([_probabilities(view) for view in views]) for views in self.views]
        return _mean(says)


def _probabilities(view: Pending) -> dict[str, Floats]:
    return {head: head_probabilities(head, logits_NC) for head, logits_NC in view.result().items()}


def _mean(says: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
    return {head: np.mean([said[head] for said in says], axis=0) for head in says[0]}


class Classifier:
    """A model bundle ready to classify crops.

    Args:
        bundle: The model.
        backend: ``auto`` (OpenVINO on the CPU, else torch), ``torch`` or ``openvino``.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        batch_size: Crops a forward pass; None for the backend's own.
        precision: ``auto``, ``f32``, ``bf16`` (torch on CUDA) or ``int8`` (OpenVINO, where the bundle holds that form).
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        backend: str = "auto",
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = "auto",
    ) -> None:
        if bundle.spec.provisional:
            logger.warning("%s: %s", bundle.title, PROVISIONAL)
        self.bundle = bundle
        with _inference_errors():
            self.backend = open_backend(
                bundle, backend=backend, device=device, batch_size=batch_size, precision=precision
            )

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.bundle.spec

    @property
    def batch_size(self) -> int:
        """Crops a forward pass."""
        return self.backend.batch_size

    @property
    def capacity(self) -> int:
        """How many batches it is of use to have under way at once."""
        return self.backend.capacity

    def submit(self, crops_NHWC: NDArray[np.uint8]) -> PendingProbabilities:
        """Begin to classify at most ``batch_size`` crops.

        Args:
            crops_NHWC: RGB uint8, (N, crop_px, crop_px, 3), at the model's mpp; N is 1 or more.

        Raises:
            CropError: The crops have another shape or type.
        """
        self._check(crops_NHWC)
        with _inference_errors():
            views = [
                [self.backend.submit(crops, number) for crops in turned(crops_NHWC, network.views)]
                for number, network in enumerate(self.spec.networks)
            ]
        return PendingProbabilities(self.spec, views, len(crops_NHWC))

    def predict(self, crops_NHWC: NDArray[np.uint8]) -> Probabilities:
        """Classify crops.

        Args:
            crops_NHWC: RGB uint8, (N, crop_px, crop_px, 3), at the model's mpp; N may be 0.

        Raises:
            CropError: The crops have another shape or type.
        """
        self._check(crops_NHWC)
        parts = list(self._predict_batches(crops_NHWC))
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

    def _check(self, crops_NHWC: NDArray[np.uint8]) -> None:
        side = self.spec.crop_px
        if crops_NHWC.dtype != np.uint8 or crops_NHWC.shape[1:] != (side, side, 3):
            raise CropError(f"crops must be uint8 (N, {side}, {side}, 3), not {crops_NHWC.dtype} {crops_NHWC.shape}.")

    def _predict_batches(self, crops_NHWC: NDArray[np.uint8]) -> Iterator[Probabilities]:
        """What the model says, batch by batch in their order, with ``capacity`` of them under way."""
        under_way: deque[PendingProbabilities] = deque()
        for start in range(0, len(crops_NHWC), self.batch_size):
            if len(under_way) == self.capacity:
                yield under_way.popleft().result()
            under_way.append(self.submit(crops_NHWC[start : start + self.batch_size]))
        for pending in under_way:
            yield pending.result()


def load_model(
    model: str | Path | None = None,
    *,
    backend: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "auto",
) -> Classifier:
    """Open a model bundle and put it on a device.

    Args:
        model: A shipped name, a bundle's folder, or None for the default model.
        backend: ``auto`` (OpenVINO on the CPU, else torch), ``torch`` or ``openvino``.
        device: ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        batch_size: Crops a forward pass; None for the backend's own.
        precision: ``auto`` or ``f32``; ``bf16`` for torch on CUDA, or ``int8`` for OpenVINO (both faster, less exact).

    Raises:
        BundleError: The bundle is missing, incomplete, altered or does not fit.
        ConfigError: The backend, device or precision is not to be had.

    Example:
        >>> from wsiamf import load_model
        >>> load_model().spec.mpp
        0.25
    """
    return Classifier(open_bundle(model), backend=backend, device=device, batch_size=batch_size, precision=precision)
