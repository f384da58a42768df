"""The loss: focal on every expert head (missing votes masked) and on the hardness head, plus the phase head's cross entropy.

Shapes: N = crops, K = experts, P = phases, R = raters who gave a phase.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf
from torchvision.ops import sigmoid_focal_loss

from wsiamf.config import FocalConfig, LossConfig
from wsiamf.model import EXPERTS, HARDNESS, PHASE


@dataclass(frozen=True)
class Targets:
    """What a batch should be called.

    Args:
        votes_NK: 1 AMF, 0 NMF, NaN where the rater did not vote.
        hard_N: 1 the raters disagreed, 0 they agreed, NaN below two votes.
        phases_NR: Index of the phase, -1 where a rater gave none.
    """

    votes_NK: Tensor
    hard_N: Tensor
    phases_NR: Tensor


def masked_focal(logits: Tensor, targets: Tensor, focal: FocalConfig) -> Tensor:
    """Focal loss of each element, 0 where the target is NaN; equal to torchvision's on full targets."""
    known = ~torch.isnan(targets)
    filled = torch.where(known, targets, torch.zeros_like(targets))
    loss: Tensor = sigmoid_focal_loss(logits, filled, alpha=focal.alpha, gamma=focal.gamma, reduction="none")
    return loss * known


def expert_loss(logits_NK: Tensor, votes_NK: Tensor, focal: FocalConfig) -> Tensor:
    """Mean over the votes present in a crop, then over the crops that have any."""
    n_votes = (~torch.isnan(votes_NK)).sum(dim=1)
    per_crop = masked_focal(logits_NK, votes_NK, focal).sum(dim=1) / n_votes.clamp(min=1)
    return per_crop.sum() / (n_votes > 0).sum().clamp(min=1)


def hardness_loss(logits_N1: Tensor, hard_N: Tensor, focal: FocalConfig) -> Tensor:
    """Mean over the crops whose hardness is known."""
    known = (~torch.isnan(hard_N)).sum().clamp(min=1)
    return masked_focal(logits_N1.squeeze(1), hard_N, focal).sum() / known


def phase_loss(logits_NP: Tensor, phases_NR: Tensor) -> Tensor:
    """Cross entropy, mean over every label that is present."""
    n_raters = phases_NR.shape[1]
    labels = phases_NR.reshape(-1)
    if not bool((labels >= 0).any()):
        return logits_NP.sum() * 0.0
    return nnf.cross_entropy(logits_NP.repeat_interleave(n_raters, dim=0), labels, ignore_index=-1)


def total_loss(logits: dict[str, Tensor], targets: Targets, config: LossConfig) -> Tensor:
    """The loss that is minimised: theta x experts + (1 - theta) x hardness + phase_weight x phase."""
    if HARDNESS not in logits:
        loss = expert_loss(logits[EXPERTS], targets.votes_NK, config.expert)
    else:
        experts = expert_loss(logits[EXPERTS], targets.votes_NK, config.expert)
        hardness = hardness_loss(logits[HARDNESS], targets.hard_N, config.hardness)
        loss = config.theta * experts + (1 - config.theta) * hardness
    if PHASE in logits and config.phase_weight > 0:
        loss = loss + config.phase_weight * phase_loss(logits[PHASE], targets.phases_NR)
    return loss
