"""The loss: focal on every expert head (missing votes masked) and on the hardness head, plus the phase head's cross entropy.

Shapes: N = crops, K = experts, P = phases, R = raters who gave a phase, C = classes of a hardness head (4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf
from torchvision.ops import sigmoid_focal_loss

from wsiamf.classes import EXPERTS, HARDNESS, PHASE
from wsiamf.config import FocalConfig, LossConfig

_P_MIN = 1e-6  # the gradient of a power below 1 is infinite at 0


@dataclass(frozen=True)
class Targets:
    """What a batch should be called.

    Args:
        votes_NK: 1 AMF, 0 NMF, NaN where the rater did not vote.
        hard_N: 1 the raters disagreed, 0 they agreed, NaN below two votes.
        phases_NR: Index of the phase, -1 where a rater gave none.
        amf_N: 1 the majority says AMF, 0 NMF; for a hardness head of four classes.
    """

    votes_NK: Tensor
    hard_N: Tensor
    phases_NR: Tensor
    amf_N: Tensor


def masked_focal(logits: Tensor, targets: Tensor, focal: FocalConfig) -> Tensor:
    """Focal loss of each element, 0 where the target is NaN; equal to torchvision's on full targets."""
    known = ~torch.isnan(targets)
    filled = torch.where(known, targets, torch.zeros_like(targets))
    loss: Tensor = sigmoid_focal_loss(logits, filled, alpha=focal.alpha, gamma=focal.gamma, reduction="none")
    return loss * known


def softmax_focal(logits_NC: Tensor, classes_N: Tensor, positive_N: Tensor, focal: FocalConfig) -> Tensor:
    """Focal loss of each crop where classes exclude one another; cross entropy at gamma 0.

    Args:
        logits_NC: One logit a class.
        classes_N: Index of the right class.
        positive_N: 1 where ``alpha`` weighs the crop, 0 where 1 - ``alpha`` does.
        focal: alpha and gamma.
    """
    log_p_N = nnf.log_softmax(logits_NC, dim=1).gather(1, classes_N[:, None]).squeeze(1)
    wrong_N = (-torch.expm1(log_p_N)).clamp(min=_P_MIN)
    loss = -(wrong_N**focal.gamma) * log_p_N
    if focal.alpha < 0:
        return loss
    return loss * torch.where(positive_N > 0, focal.alpha, 1 - focal.alpha)


def expert_loss(logits_NK: Tensor, votes_NK: Tensor, focal: FocalConfig, weights_N: Tensor | None = None) -> Tensor:
    """Mean over the votes present in a crop, then over the crops that have any, each times its weight."""
    n_votes = (~torch.isnan(votes_NK)).sum(dim=1)
    per_crop = masked_focal(logits_NK, votes_NK, focal).sum(dim=1) / n_votes.clamp(min=1)
    return _mean(per_crop, n_votes > 0, weights_N)


def hardness_loss(logits_NC: Tensor, targets: Targets, focal: FocalConfig, weights_N: Tensor | None = None) -> Tensor:
    """Mean over the crops whose hardness is known, each times its weight.

    Args:
        logits_NC: One logit (hard), or four: NMF easy, NMF hard, AMF easy, AMF hard.
        targets: What the batch should be called.
        focal: alpha (of hard) and gamma.
        weights_N: Weight of each crop; None for 1.
    """
    known = ~torch.isnan(targets.hard_N)
    if logits_NC.shape[1] == 1:
        per_crop = masked_focal(logits_NC.squeeze(1), targets.hard_N, focal)
    else:
        hard = torch.where(known, targets.hard_N, torch.zeros_like(targets.hard_N))
        classes_N = (2 * targets.amf_N + hard).long()
        per_crop = softmax_focal(logits_NC, classes_N, hard, focal) * known
    return _mean(per_crop, known, weights_N)


def phase_loss(logits_NP: Tensor, phases_NR: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """Cross entropy, mean over every label that is present, each times its crop's weight."""
    n_raters = phases_NR.shape[1]
    labels = phases_NR.reshape(-1)
    logits = logits_NP.repeat_interleave(n_raters, dim=0)
    per_label = nnf.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
    return _mean(per_label, labels >= 0, None if weights_N is None else weights_N.repeat_interleave(n_raters))


def total_loss(
    logits: dict[str, Tensor], targets: Targets, config: LossConfig, weights_N: Tensor | None = None
) -> Tensor:
    """The loss that is minimised: theta x experts + (1 - theta) x hardness + phase_weight x phase.

    Args:
        logits: Of each head.
        targets: What the batch should be called.
        config: theta, focal parameters and weights of the heads.
        weights_N: Weight of each crop, 1 on average over the training set; None for 1.
    """
    loss = expert_loss(logits[EXPERTS], targets.votes_NK, config.expert, weights_N)
    if HARDNESS in logits:
        hardness = hardness_loss(logits[HARDNESS], targets, config.hardness, weights_N)
        loss = config.theta * loss + (1 - config.theta) * hardness
    if PHASE in logits and config.phase_weight > 0:
        loss = loss + config.phase_weight * phase_loss(logits[PHASE], targets.phases_NR, weights_N)
    return loss


def _mean(losses: Tensor, present: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over what is present; 0, not NaN, where nothing is."""
    weighted = losses if weights is None else losses * weights
    return (weighted * present).sum() / present.sum().clamp(min=1)
