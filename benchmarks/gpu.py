"""Crops a second on CUDA, beside torch's eager mode and the slower of two steps: ``python benchmarks/gpu.py``.

A ResNet-50 of random weights on the central 128 px at 224 px, in bf16, batches of 256: wsiamf's torch backend (pinned buffers,
CUDA graph) and the same network called batch by batch in eager mode, which read no slide. Then ``screen_slide`` with it on the
made slide of ``speed.py``, beside the slower of reading that slide's candidates and classifying.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from made_bundle import write_random_bundle
from made_slide import WORK, made_slide
from numpy.typing import NDArray
from speed import read_ours
from turns import in_turn

from wsiamf import screen_slide
from wsiamf.bundle import Bundle
from wsiamf.inference import Classifier
from wsiamf.model import build_preprocess
from wsiamf.weights import load_networks

N_CROPS = 25_600
BATCH = 256
ROUNDS = 3
CLASSIFYING_TARGET = 8_000  # crops a second, on an H100 or what is like it
SCREEN_TARGET = 0.9  # of the slower of reading and classifying


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


def compare_screening(model: Classifier, classifying: float) -> None:
    """Print crops per second of a whole screening, and its share of the slower of its two steps."""
    made = made_slide(WORK)
    made.slide.read_bytes()  # so that both sides find it in memory
    file = made.points["uniform"]
    points = np.loadtxt(file, delimiter=",", skiprows=1)
    with TemporaryDirectory() as out:
        sides: dict[str, Callable[[], object]] = {
            "reading": partial(read_ours, made.slide, points, model.spec),
            "screen": partial(screen_slide, made.slide, file, out=Path(out), model=model, overwrite=True),
        }
        rates = {name: len(points) / timed.seconds for name, timed in in_turn(sides, ROUNDS).items()}
    share = rates["screen"] / min(rates["reading"], classifying)
    print(f"reading {rates['reading']:.0f}/s, screen {rates['screen']:.0f}/s")
    print(
        f"screen / slower of reading and classifying = {share:.2f} (target {SCREEN_TARGET:g}: {_reached(share, SCREEN_TARGET)})"
    )


def _reached(value: float, target: float) -> str:
    return "reached" if value >= target else "not reached"


def main() -> None:
    """Run both in turn and print the best of each and their ratio."""
    if not torch.cuda.is_available():
        print("no CUDA device")
        return
    crops = np.random.default_rng(0).integers(0, 256, (N_CROPS, 128, 128, 3), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        bundle = write_random_bundle(
            Path(folder), backbone="resnet50", hidden=512, n_experts=3, view_px=128, input_px=224
        )
        model = Classifier(bundle, backend="torch", device="cuda", precision="bf16", batch_size=BATCH)
        sides: dict[str, Callable[[NDArray[np.uint8]], object]] = {"wsiamf": model.predict, "eager": eager(bundle)}
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, predict in sides.items():
                predict(crops[:BATCH])
                speeds[name].append(crops_per_second(predict, crops))
        best = {name: max(values) for name, values in speeds.items()}
        print(f"{torch.cuda.get_device_name()}: wsiamf {best['wsiamf']:.0f}/s, eager {best['eager']:.0f}/s")
        print(f"target {CLASSIFYING_TARGET:,}/s: {_reached(best['wsiamf'], CLASSIFYING_TARGET)}")
        print(f"wsiamf / eager = {best['wsiamf'] / best['eager']:.2f}")
        compare_screening(model, best["wsiamf"])


if __name__ == "__main__":
    main()
