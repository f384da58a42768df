"""What a network says of crops that it is not trained on, while it is trained: the figures that choose the epoch."""

from __future__ import annotations

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from wsiamf.classes import EXPERTS
from wsiamf.config import LossConfig
from wsiamf.model import Preprocess
from wsiamf.training.calibration import balanced_threshold
from wsiamf.training.figures.metrics import balanced_accuracy
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.loop.batches import as_targets
from wsiamf.training.loop.logs import Row
from wsiamf.training.loop.losses import total_loss

_BATCH = 64


def validate(network: nn.Module, preprocess: Preprocess, data: LabelledCrops, loss: LossConfig) -> Row:
    """Loss without weights of crops, balanced accuracy at its best threshold, and AUC, all against the majority."""
    logits = predict_logits(network, preprocess, data)
    p = torch.sigmoid(logits[EXPERTS]).mean(dim=1).double().numpy()
    return {
        "validation_loss": float(total_loss(logits, as_targets(data, torch.device("cpu")), loss)),
        "validation_balanced_accuracy": balanced_accuracy(p, data.amf, balanced_threshold(p, data.amf)),
        "validation_auc": float(roc_auc_score(data.amf, p)),
    }


def predict_logits(network: nn.Module, preprocess: Preprocess, data: LabelledCrops) -> dict[str, Tensor]:
    """Logits per head of all crops, unaugmented, in f32 on the CPU; leaves the network in evaluation mode."""
    device = next(network.parameters()).device
    network.eval()
    parts: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        for start in range(0, len(data), _BATCH):
            crops = torch.from_numpy(data.crops_NSS3[start : start + _BATCH]).to(device)
            parts.append(network(preprocess(crops).contiguous(memory_format=torch.channels_last)))
    return {head: torch.cat([part[head] for part in parts]).float().cpu() for head in parts[0]}
