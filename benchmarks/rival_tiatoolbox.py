"""TIAToolbox on the same points with the same network; run by ``speed.py`` in an environment that holds TIAToolbox.

``python rival_tiatoolbox.py SLIDE POINTS.csv BUNDLE OUT.json``

The point patch extractor reads the crops, then the patch predictor classifies them, on CPU. The network is built anew from the
bundle's own files, for wsiamf is not installed there. OUT gets crops per second, versions, and what was computed.

Shapes: N = crops, C = classes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import tiatoolbox
import timm
import torch
from safetensors.torch import load_file
from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
from tiatoolbox.models.engine.patch_predictor import PatchPredictor
from tiatoolbox.models.models_abc import ModelABC
from tiatoolbox.tools.patchextraction import get_patch_extractor
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

BATCH: Final = 32
LEVEL: Final = {"resolution": 0, "units": "level"}


class Network(ModelABC):  # type: ignore[misc]
    """wsiamf's network with its preprocessing: crops (N, H, W, 3) uint8 to probabilities of NMF and AMF.

    Args:
        spec: The bundle's ``spec.json``.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = timm.create_model(spec["backbone"], pretrained=False, num_classes=0, **spec["backbone_args"])
        width: Any = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        self.shared = nn.Sequential(nn.Linear(width, spec["hidden"]), nn.ReLU(), nn.Dropout(0.0))
        self.experts = nn.Linear(spec["hidden"], len(spec["experts"]))
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(spec[name]).view(1, 3, 1, 1), persistent=False)

    def forward(self, crops_NHWC: Tensor) -> Tensor:
        """See the class."""
        view, side = self.spec["view_px"], self.spec["input_px"]
        shown = vision.center_crop(crops_NHWC.permute(0, 3, 1, 2), [view, view]).float().div(255)
        images = (vision.resize(shown, [side, side], antialias=True) - self.mean) / self.std
        p_experts = torch.sigmoid(self.experts(self.shared(self.backbone(images)))).double()
        calibration = self.spec["calibration"]
        p = torch.sigmoid(calibration["a"] * torch.logit(p_experts.mean(dim=1), eps=1e-6) + calibration["b"])
        return torch.stack([1 - p, p], dim=1)

    @staticmethod
    def infer_batch(model: nn.Module, batch_data: Tensor, *, device: str) -> np.ndarray[Any, Any]:
        """Probabilities of a batch, (N, C)."""
        with torch.inference_mode():
            probabilities: np.ndarray[Any, Any] = model(batch_data.to(device)).cpu().numpy()
        return probabilities

    @staticmethod
    def postproc(image: Any) -> Any:
        """Probabilities to classes."""
        return image.argmax(axis=-1)


def load_network(bundle: Path) -> Network:
    """The bundle's network in evaluation mode."""
    spec = json.loads((bundle / "spec.json").read_text("utf-8"))
    if spec["members"] or spec["second"] or spec["extra_inputs"] or spec["views"] != 1 or not spec["hidden"]:
        raise SystemExit("rival_tiatoolbox.py: builds models of one backbone, one input and one view only.")
    network = Network(spec)
    weights = {
        name.replace("heads.experts.", "experts."): value.float()
        for name, value in load_file(bundle / "model.safetensors").items()
    }
    missing, _ = network.load_state_dict(weights, strict=False)  # other heads are left out
    if unset := [name for name in missing if not name.endswith("num_batches_tracked")]:
        raise SystemExit(f"rival_tiatoolbox.py: the bundle lacks weights of the network: {unset[0]}.")
    network.eval()
    return network


def read_patches(slide: Path, points: pd.DataFrame, side: int) -> np.ndarray[Any, Any]:
    """The crops, (N, side, side, 3) uint8."""
    # The extractor begins a patch (side - 1) // 2 before its point, wsiamf's crops begin side // 2 before theirs.
    moved = points[["x", "y"]] + ((side - 1) // 2 - side // 2)
    extractor = get_patch_extractor("point", input_img=slide, locations_list=moved, patch_size=side, **LEVEL)
    return np.stack(list(extractor))


def classify(predictor: PatchPredictor, patches: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Probability of AMF, (N,)."""
    side = patches.shape[1]
    as_read = [{"resolution": 1.0, "units": "baseline"}]  # level 0; this class has no word for levels
    config = IOPatchPredictorConfig(
        input_resolutions=as_read, output_resolutions=as_read, patch_input_shape=(side, side), stride_shape=(side, side)
    )
    output = predictor.run(
        patches, patch_mode=True, ioconfig=config, batch_size=BATCH, return_probabilities=True, output_type="dict"
    )
    return np.asarray(output["probabilities"])[:, 1]


def main() -> None:
    """Read, classify, and write down how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("slide", "points", "bundle", "out"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    predictor = PatchPredictor(model=load_network(arguments.bundle), batch_size=BATCH, device="cpu", verbose=False)
    side = predictor.model.spec["crop_px"]
    classify(predictor, np.zeros((BATCH, side, side, 3), dtype=np.uint8))  # the first pass is always slow
    points = pd.read_csv(arguments.points)
    started = time.perf_counter()
    patches = read_patches(arguments.slide, points, side)
    read = time.perf_counter()
    p = classify(predictor, patches)
    done = time.perf_counter()
    found = {
        "tiatoolbox": tiatoolbox.__version__,
        "torch": torch.__version__,
        "read_s": read - started,
        "classify_s": done - read,
        "p_atypical": p.round(6).tolist(),
    }
    arguments.out.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
