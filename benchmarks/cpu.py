"""Crops a second of the default model on the CPU, from memory: ``python benchmarks/cpu.py``.

OpenVINO in f32 and, where the model holds the form, in int8, at several batch sizes, beside torch in eager mode (batch 32).
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from wsiamf.bundle import FORMS, open_bundle
from wsiamf.inference import Classifier
from wsiamf.machine import usable_cores

N_CROPS = 256
BATCHES = (4, 8, 16, 32)
ROUNDS = 5


def main() -> None:
    """Run the sides in turn and print medians and their ratios to torch."""
    torch.set_num_threads(usable_cores())
    bundle = open_bundle()
    forms = ("f32", "int8") if (bundle.folder / FORMS).is_dir() else ("f32",)
    sides = {"torch 32": Classifier(bundle, backend="torch", device="cpu", batch_size=32)}
    for form in forms:
        for size in BATCHES:
            sides[f"{form} {size}"] = Classifier(bundle, backend="openvino", batch_size=size, precision=form)
    crops = np.random.default_rng(0).integers(0, 256, (N_CROPS, 128, 128, 3), dtype=np.uint8)
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, classifier in sides.items():
            started = time.perf_counter()
            classifier.predict(crops)
            speeds[name].append(N_CROPS / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, median in medians.items():
        best = max(speeds[name]) / max(speeds["torch 32"])
        print(f"{name:<9} {median:6.0f}/s, {median / medians['torch 32']:5.2f} of torch (best of each: {best:.2f})")


if __name__ == "__main__":
    main()
