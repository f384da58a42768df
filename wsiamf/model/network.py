"""The network: a timm backbone or two, a shared fully connected layer, and named heads.

After Kotte et al. (MIDOG 2025 track 2): one binary head per expert and one hard/easy head; an auxiliary phase head is ours.
The network gives logits; sigmoids are taken in ``inference``, thresholds in ``summary``.

Shapes: N = crops, C = channels, H, W = pixels, F = backbone features, K = experts, P = phases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from wsiamf.classes import EXPERTS, HARDNESS, PHASE
from wsiamf.spec import BackboneSpec


class MitosisClassifier(nn.Module):
    """Backbone -> shared layer -> heads -> logits.

    Args:
        backbone: timm's name of an architecture.
        n_experts: Number of expert heads, K.
        hardness: Whether to have the hard/easy head.
        hardness_classes: 2 for one logit (hard), 4 for one of each class of ``HARD_CLASSES``.
        n_phases: Number of classes of the phase head; 0 for none.
        hidden: Width of the shared layer; 0 for none, the heads then sit on the features.
        dropout: Share of the shared layer's outputs (of the features, where there is none) that training drops.
        backbone_args: Further arguments of ``timm.create_model``.
        in_channels: Of the input; the first three are the main view.
        frozen: Whether the backbone keeps its weights and statistics in training.
        second: A frozen backbone that sees the main view, and whose features stand beside the first's.

    Raises:
        RuntimeError: timm does not know a backbone.
        TypeError: A backbone does not take one of its arguments.
    """

    def __init__(
        self,
        backbone: str,
        *,
        n_experts: int,
        hardness: bool = True,
        hardness_classes: int = 2,
        n_phases: int = 0,
        hidden: int = 512,
        dropout: float = 0.0,
        backbone_args: Mapping[str, Any] | None = None,
        in_channels: int = 3,
        frozen: bool = False,
        second: BackboneSpec | None = None,
    ) -> None:
        super().__init__()
        self.backbone = _backbone(backbone, backbone_args or {}, in_channels)
        self.second = _backbone(second.backbone, second.backbone_args, 3) if second is not None else None
        self._frozen = [part for part in (self.backbone if frozen else None, self.second) if part is not None]
        for part in self._frozen:
            part.requires_grad_(requires_grad=False)
        width = sum(_n_features(part) for part in (self.backbone, self.second) if part is not None)
        self.shared = nn.Sequential(nn.Dropout(dropout))
        if hidden:
            self.shared = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout))
        heads = {EXPERTS: n_experts}
        if hardness:
            heads[HARDNESS] = 1 if hardness_classes == 2 else hardness_classes
        if n_phases:
            heads[PHASE] = n_phases
        self.heads = nn.ModuleDict({name: nn.Linear(hidden or width, size) for name, size in heads.items()})

    def train(self, mode: bool = True) -> MitosisClassifier:
        """Switch to training; frozen backbones stay in evaluation, so that their statistics and outputs do not move."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward_features(self, images_NCHW: Tensor) -> Tensor:
        """Normalised images to pooled backbone features (N, F)."""
        features = cast(Tensor, self.backbone(images_NCHW))
        if self.second is None:
            return features
        return torch.cat([features, self.second(images_NCHW[:, :3])], dim=1)

    def forward_head(self, features_NF: Tensor) -> dict[str, Tensor]:
        """Features to logits: ``experts`` (N, K), ``hardness`` (N, 1) or (N, 4), ``phase`` (N, P)."""
        shared = self.shared(features_NF)
        return {name: head(shared) for name, head in self.heads.items()}

    def forward(self, images_NCHW: Tensor) -> dict[str, Tensor]:
        """Normalised images (N, C, H, W) float to logits per head, as ``forward_head``."""
        return self.forward_head(self.forward_features(images_NCHW))


def _backbone(name: str, arguments: Mapping[str, Any], in_channels: int) -> nn.Module:
    backbone: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, in_chans=in_channels, **arguments)
    return backbone


def _n_features(backbone: nn.Module) -> int:
    """Width of the pooled features; some of timm's networks widen what they pool before the classifier."""
    return cast(int, getattr(backbone, "head_hidden_size", backbone.num_features))
