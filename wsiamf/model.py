"""The network: a timm backbone, a shared fully connected layer, and named heads; and how a crop becomes its input.

After Kotte et al. (MIDOG 2025 track 2): one binary head per expert and one hard/easy head; an auxiliary phase head is ours.
The network gives logits; sigmoids are taken in ``inference``, thresholds in ``summary``.

Shapes: N = crops, C = channels, H, W = pixels, F = backbone features, K = experts, P = phases.
"""

from __future__ import annotations

from typing import Final, cast

import timm
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

from wsiamf.spec import ModelSpec

EXPERTS: Final = "experts"
HARDNESS: Final = "hardness"
PHASE: Final = "phase"


class MitosisClassifier(nn.Module):
    """Backbone -> shared layer -> heads -> logits.

    Args:
        backbone: timm's name of an architecture.
        n_experts: Number of expert heads, K.
        hardness: Whether to have the hard/easy head.
        n_phases: Number of classes of the phase head; 0 for none.
        hidden: Width of the shared layer.
        dropout: Share of the shared layer's outputs that training drops.
    """

    def __init__(
        self,
        backbone: str,
        *,
        n_experts: int,
        hardness: bool = True,
        n_phases: int = 0,
        hidden: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0)
        n_features = cast(int, self.backbone.num_features)
        self.shared = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Dropout(dropout))
        heads = {EXPERTS: n_experts}
        if hardness:
            heads[HARDNESS] = 1
        if n_phases:
            heads[PHASE] = n_phases
        self.heads = nn.ModuleDict({name: nn.Linear(hidden, width) for name, width in heads.items()})

    def forward_features(self, images_NCHW: Tensor) -> Tensor:
        """Normalised images to pooled backbone features (N, F)."""
        return cast(Tensor, self.backbone(images_NCHW))

    def forward_head(self, features_NF: Tensor) -> dict[str, Tensor]:
        """Features to logits: ``experts`` (N, K), ``hardness`` (N, 1), ``phase`` (N, P)."""
        shared = self.shared(features_NF)
        return {name: head(shared) for name, head in self.heads.items()}

    def forward(self, images_NCHW: Tensor) -> dict[str, Tensor]:
        """Normalised images (N, 3, H, W) float to logits per head, as ``forward_head``."""
        return self.forward_head(self.forward_features(images_NCHW))


class Preprocess(nn.Module):
    """Crops (N, S, S, 3) uint8 to the network's input (N, 3, input_px, input_px) float: central view, resize, normalise.

    Args:
        view_px: Side of the central square that is shown, in px of the crop.
        input_px: Side of the network's input.
        mean, std: Per channel, of RGB in 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, *, view_px: int, input_px: int, mean: tuple[float, float, float], std: tuple[float, float, float]
    ) -> None:
        super().__init__()
        self.view_px = view_px
        self.input_px = input_px
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, crops_NHWC: Tensor) -> Tensor:
        """See the class."""
        images = crops_NHWC.permute(0, 3, 1, 2)
        images = vision.center_crop(images, [self.view_px, self.view_px]).float().div(255)
        images = vision.resize(images, [self.input_px, self.input_px], antialias=True)
        return cast(Tensor, (images - self.mean) / self.std)


def build_network(spec: ModelSpec) -> MitosisClassifier:
    """The network that a spec describes, with random weights.

    Raises:
        RuntimeError: timm does not know the backbone.
    """
    return MitosisClassifier(
        spec.backbone,
        n_experts=len(spec.experts),
        hardness=spec.hardness,
        n_phases=len(spec.phases),
        hidden=spec.hidden,
    )


def build_preprocess(spec: ModelSpec) -> Preprocess:
    """The preprocessing that belongs to a spec's weights."""
    return Preprocess(view_px=spec.view_px, input_px=spec.input_px, mean=spec.mean, std=spec.std)
