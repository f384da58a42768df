"""What a student learns from its teachers: their probabilities on the same augmented crop, head by head."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as nnf

from wsiamf.classes import EXPERTS, HARDNESS, PHASE
from wsiamf.config import LossConfig

Teacher = Callable[[Tensor], dict[str, Tensor]]
"""Augmented crops (N, S, S, 3) uint8 to logits per head."""


def distillation_loss(
    student: dict[str, Tensor],
    teacher: dict[str, Tensor],
    config: LossConfig,
    temperature: float,
    weights_N: Tensor | None = None,
) -> Tensor:
    """theta x experts + (1 - theta) x hardness + phase_weight x phase, each against the teacher's probabilities.

    Args:
        student, teacher: Logits per head; a head that only one of them has teaches nothing.
        config: The weights of the heads, as for the votes.
        temperature: Divides the logits of both (Hinton et al., 2015).
        weights_N: Weight of each crop, 1 on average over the training set; None for 1.
    """
    heads = {EXPERTS: config.theta, HARDNESS: 1 - config.theta, PHASE: config.phase_weight}
    if HARDNESS not in student:
        heads[EXPERTS] = 1.0
    loss = torch.zeros((), device=student[EXPERTS].device)
    for head, weight in heads.items():
        if weight > 0 and head in student and head in teacher:
            per_crop = _head_loss(head, student[head] / temperature, teacher[head] / temperature)
            loss = loss + weight * (per_crop if weights_N is None else per_crop * weights_N).mean()
    return loss


def _head_loss(head: str, student: Tensor, teacher: Tensor) -> Tensor:
    """Of each crop: binary cross entropy; where a head's outputs exclude one another, the Kullback-Leibler divergence."""
    if head == PHASE or (head == HARDNESS and student.shape[-1] > 1):
        return nnf.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="none").sum(dim=1)
    return nnf.binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="none").mean(dim=1)
