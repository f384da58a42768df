"""The optimizer, the course of its learning rates, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wsiamf.config import FitConfig
from wsiamf.model import MitosisClassifier


def new_optimizer(network: MitosisClassifier, fit: FitConfig) -> torch.optim.AdamW:
    """AdamW on what is trained, with a rate for the backbone and one for the shared layer and the heads."""
    heads = [*network.shared.parameters(), *network.heads.parameters()]
    groups = [
        {"params": _trained(network.backbone.parameters()), "lr": fit.lr_backbone},
        {"params": heads, "lr": fit.lr_heads},
    ]
    return torch.optim.AdamW(groups, weight_decay=fit.weight_decay)


def new_scheduler(optimizer: torch.optim.AdamW, fit: FitConfig, steps: int) -> LRScheduler:
    """Learning rates over a whole run of so many steps."""
    if fit.schedule == "cosine":
        return LambdaLR(optimizer, partial(cosine_rate, steps=steps, warmup_steps=round(fit.warmup * steps)))
    peaks = [fit.lr_backbone, fit.lr_heads]
    return OneCycleLR(optimizer, max_lr=peaks, total_steps=steps, pct_start=fit.warmup)


def cosine_rate(step: int, *, steps: int, warmup_steps: int) -> float:
    """Share of the peak rate: a straight rise over the warm-up, then half a cosine down to 0."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return (1 + math.cos(math.pi * done)) / 2


def new_average(network: nn.Module, fit: FitConfig) -> AveragedModel | None:
    """The exponential moving average of weights and statistics; None where ``fit.ema_decay`` is 0."""
    if fit.ema_decay == 0:
        return None
    update: Callable[..., None] = get_ema_multi_avg_fn(fit.ema_decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
