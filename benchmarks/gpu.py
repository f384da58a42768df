"""Crops a second from memory on CUDA, beside torch's eager mode: ``python benchmarks/gpu.py``.

A ResNet-50 of random weights on the central 128 px at 224 px, in bf16, batches of 256: wsiamf's torch backend (pinned buffers,
CUDA graph) and the same network called batch by batch in eager mode. Neither reads a slide.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from wsiamf.bundle import Bundle, write_bundle
from wsiamf.files import sha256_bytes
from wsiamf.inference import Classifier
from wsiamf.model import build_network, build_preprocess
from wsiamf.spec import ModelSpec, Thresholds
from wsiamf.weights import load_networks, store_weights

N_CROPS = 25_600
BATCH = 256
ROUNDS = 3


def resnet50(folder: Path) -> Bundle:
    """A bundle of a ResNet-50 of random weights with three experts."""
    torch.manual_seed(0)
    spec = ModelSpec(
        name="resnet50",
        version="0",
        weights_sha256="0" * 64,
        backbone="resnet50",
        experts=("a/1", "a/2", "a/3"),
        view_px=128,
        input_px=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        thresholds=Thresholds(balanced=0.5, count=0.5),
        definition="none",
    )
    weights = store_weights(build_network(spec, len(spec.experts)))
    spec = spec.model_copy(update={"weights_sha256": sha256_bytes(weights)})
    return write_bundle(folder, weights, spec, card="", licenses="")


def eager(bundle: Bundle) -> Callable[[NDArray[np.uint8]], None]:
    """The network in eager mode, bf16 and channels_last, each batch copied, computed and fetched before the next."""
    preprocess = build_preprocess(bundle.spec).cuda()
    network = load_networks(bundle)[0].cuda().to(memory_format=torch.channels_last)

    def predict(crops_NHWC: NDArray[np.uint8]) -> None:
        for start in range(0, len(crops_NHWC), BATCH):
            with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16):
                images = preprocess(torch.from_numpy(crops_NHWC[start : start + BATCH]).cuda())
                outputs = network(images.contiguous(memory_format=torch.channels_last))
            for values in outputs.values():
                values.double().cpu()

    return predict


def crops_per_second(predict: Callable[[NDArray[np.uint8]], object], crops_NHWC: NDArray[np.uint8]) -> float:
    """Of one pass over all crops."""
    started = time.perf_counter()
    predict(crops_NHWC)
    return len(crops_NHWC) / (time.perf_counter() - started)


def main() -> None:
    """Run both in turn and print the best of each and their ratio."""
    if not torch.cuda.is_available():
        print("no CUDA device")
        return
    crops = np.random.default_rng(0).integers(0, 256, (N_CROPS, 128, 128, 3), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        bundle = resnet50(Path(folder))
        ours = Classifier(bundle, backend="torch", device="cuda", precision="bf16", batch_size=BATCH).predict
        sides: dict[str, Callable[[NDArray[np.uint8]], object]] = {"wsiamf": ours, "eager": eager(bundle)}
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, predict in sides.items():
                predict(crops[:BATCH])
                speeds[name].append(crops_per_second(predict, crops))
    best = {name: max(values) for name, values in speeds.items()}
    print(f"{torch.cuda.get_device_name()}: wsiamf {best['wsiamf']:.0f}/s, eager {best['eager']:.0f}/s")
    print(f"wsiamf / eager = {best['wsiamf'] / best['eager']:.2f}")


if __name__ == "__main__":
    main()
