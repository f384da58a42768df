"""Augmentation of training crops: torchvision's transforms, and jitter of the stains, which torchvision lacks."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from wsiamf.config import AugmentConfig

# Optical density of haematoxylin, eosin and DAB in R, G, B: Ruifrok & Johnston, Anal Quant Cytol Histol 2001, 23(4):291-299.
RGB_FROM_HED: Final = torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
HED_FROM_RGB: Final = torch.linalg.inv(RGB_FROM_HED)


class StainJitter(nn.Module):
    """Scale and shift each of the three stains of an RGB image by a random amount (Tellez et al., TMI 2018).

    Args:
        scale: Each stain is multiplied by 1 - scale to 1 + scale.
        shift: Each stain's optical density (natural logarithm) is moved by -shift to shift.
    """

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale = scale
        self.shift = shift

    def forward(self, image_CHW: Tensor) -> Tensor:
        """A float image (3, H, W) in 0..1 to another."""
        factors = 1 + self.scale * (2 * torch.rand(3, 1, 1) - 1)
        shifts = self.shift * (2 * torch.rand(3, 1, 1) - 1)
        density = -torch.log(image_CHW.clamp(min=1 / 255))
        stains = torch.einsum("chw,cs->shw", density, HED_FROM_RGB) * factors + shifts
        return torch.exp(-torch.einsum("shw,sc->chw", stains, RGB_FROM_HED)).clamp(0, 1)


def build_augmentation(config: AugmentConfig, *, crop_px: int, view_px: int) -> nn.Module:
    """Random changes to one training crop: (3, crop_px, crop_px) uint8 to its central (3, view_px, view_px) uint8.

    Randomness is torch's global generator (torchvision takes no other); the data set seeds it per crop and epoch.
    """
    # A view turned by 45 deg and shrunk reaches this far; what the crop lacks is mirrored.
    reach_px = math.ceil(view_px * math.sqrt(2) / (1 - config.scale))
    padding_px = max(0, math.ceil((reach_px - crop_px) / 2))
    steps: list[nn.Module] = [
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.Pad(padding_px, padding_mode="reflect"),
        v2.RandomAffine(
            degrees=config.rotation_deg,
            scale=(1 - config.scale, 1 + config.scale),
            interpolation=v2.InterpolationMode.BILINEAR,
        ),
        v2.CenterCrop(view_px),
        v2.ColorJitter(brightness=config.brightness, contrast=config.contrast, saturation=config.saturation),
        v2.ToDtype(torch.float32, scale=True),
    ]
    if config.stain_scale or config.stain_shift:
        steps.append(StainJitter(config.stain_scale, config.stain_shift))
    steps.append(v2.ToDtype(torch.uint8, scale=True))
    composed: nn.Module = v2.Compose(steps)
    return composed
