"""Models as one would run them plainly: torch eager, float32, 32 crops at a time, on every core of this process.

Shapes: N = crops, S = crop side in px, K = experts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from reading import Points, openslide_crops

from wsiamf.bundle import open_bundle
from wsiamf.classes import EXPERTS
from wsiamf.config import find_config, load_train_config
from wsiamf.inference.classifier import calibrated, turned
from wsiamf.model import MitosisClassifier, build_network, build_preprocess
from wsiamf.spec import Calibration, NetworkSpec
from wsiamf.training.networks import network_spec
from wsiamf.weights import load_networks

BATCH: Final = 32
PAPER: Final = "paper/resnet50"
PAPER_EXPERTS: Final = 3


class EagerModel:
    """Networks and what comes before and after them.

    Args:
        networks: Each network's spec and the network, whose words are averaged.
        calibration: From the experts' mean to ``p_atypical``.
    """

    def __init__(self, networks: Sequence[tuple[NetworkSpec, MitosisClassifier]], calibration: Calibration) -> None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self._parts = [(spec.views, build_preprocess(spec), network.eval()) for spec, network in networks]
        self._calibration = calibration

    def classify(self, crops: Iterable[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """``p_atypical`` of crops (S, S, 3) as they come, (N,)."""
        with torch.inference_mode():
            p_experts_NK = [self._experts(np.stack(batch)) for batch in _batches(crops)]
        return calibrated(np.concatenate(p_experts_NK), self._calibration)

    def _experts(self, crops_NSS3: NDArray[np.uint8]) -> NDArray[np.float64]:
        said = [
            torch.sigmoid(network(preprocess(torch.from_numpy(view)))[EXPERTS]).double().numpy()
            for views, preprocess, network in self._parts
            for view in turned(crops_NSS3, views)
        ]
        return np.asarray(np.mean(said, axis=0))


def default_model() -> EagerModel:
    """The network that wsiamf ships."""
    bundle = open_bundle()
    return EagerModel(list(zip(bundle.spec.networks, load_networks(bundle), strict=True)), bundle.spec.calibration)


def paper_model() -> EagerModel:
    """The paper's network (ResNet-50 at 224 px) with random weights, which take as long as trained ones."""
    spec = network_spec(load_train_config(find_config(PAPER)).network)
    return EagerModel([(spec, build_network(spec, PAPER_EXPERTS))], Calibration())


def naive_pipeline(slide: Path, points: Points, model: EagerModel) -> NDArray[np.float64]:
    """``p_atypical`` of every point: OpenSlide per point, then the model, batch after batch."""
    return model.classify(openslide_crops(slide, points))


def _batches(crops: Iterable[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    waiting = iter(crops)
    while batch := list(islice(waiting, BATCH)):
        yield batch
