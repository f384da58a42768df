"""Augmentation of training crops: torchvision's transforms, and what it lacks.

Geometry is one resampling of the pixels that are shown; what a turned, shrunk or moved view reaches beyond the
crop is mirrored. Randomness is torch's global generator (torchvision takes no other); the data set seeds it per crop and epoch.
"""

from __future__ import annotations

import io
import math
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as nnf
from torchvision.transforms import v2

from wsiamf import stains
from wsiamf.config import AugmentConfig

RGB_FROM_HED: Final = torch.tensor(stains.RGB_FROM_HED, dtype=torch.float32)
HED_FROM_RGB: Final = torch.tensor(stains.HED_FROM_RGB, dtype=torch.float32)
_JPEG_BEST: Final = 95
_SIGMA_MIN_PX: Final = 0.1  # blurs nothing


class RandomView(nn.Module):
    """The central square of a crop, flipped, turned, scaled and moved at random.

    Args:
        view_px: Its side.
        rotation_deg: It is turned by up to this, either way.
        scale: It is magnified by 1 - scale to 1 + scale.
        shift_px: Its centre moves by up to this along x and y, in px of the crop.
    """

    def __init__(self, view_px: int, *, rotation_deg: float, scale: float, shift_px: float) -> None:
        super().__init__()
        self.view_px = view_px
        self.rotation_rad = math.radians(rotation_deg)
        self.scale = scale
        self.shift_px = shift_px

    def forward(self, crop_CHW: Tensor) -> Tensor:
        """A crop (3, S, S) uint8 to (3, view_px, view_px) float in 0..1."""
        side_px = crop_CHW.shape[-1]
        turn, zoom, *shift = _symmetric(4).tolist()
        angle, magnification = turn * self.rotation_rad, 1 + zoom * self.scale
        rotation = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        flips = 2.0 * torch.randint(2, (2,)) - 1
        # In units of half a side: where in the crop each pixel of the view comes from.
        turned = rotation * flips * (self.view_px / side_px / magnification)
        moved = torch.tensor(shift).view(2, 1) * (2 * self.shift_px / side_px)
        places = nnf.affine_grid(
            torch.cat([turned, moved], dim=1)[None], [1, 3, self.view_px, self.view_px], align_corners=False
        )
        images = crop_CHW[None].float().div(255)
        return nnf.grid_sample(images, places, padding_mode="reflection", align_corners=False)[0]


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
        factors = 1 + self.scale * _symmetric(3, 1, 1)
        shifts = self.shift * _symmetric(3, 1, 1)
        density = -torch.log(image_CHW.clamp(min=1 / 255))
        stained = torch.einsum("chw,cs->shw", density, HED_FROM_RGB) * factors + shifts
        return torch.exp(-torch.einsum("shw,sc->chw", stained, RGB_FROM_HED)).clamp(0, 1)


class CoarseDropout(nn.Module):
    """Paint squares at random places in the image's mean colour (after DeVries & Taylor, 2017).

    Args:
        squares: The most of them.
        square_px: The largest side of one; the smallest is half of it.
    """

    def __init__(self, squares: int, square_px: int) -> None:
        super().__init__()
        self.squares = squares
        self.square_px = square_px

    def forward(self, image_CHW: Tensor) -> Tensor:
        """An image (3, H, W) to another."""
        painted = image_CHW.clone()
        colour = image_CHW.float().mean(dim=(1, 2), keepdim=True).to(image_CHW.dtype)
        for _ in range(_whole(1, self.squares)):
            side = _whole((self.square_px + 1) // 2, self.square_px)
            top, left = (_whole(0, max(0, length - side)) for length in image_CHW.shape[1:])
            painted[:, top : top + side, left : left + side] = colour
        return painted


class JpegCompression(nn.Module):
    """Compress an image as JPEG (4:2:0, as scanners do) and open it again.

    Args:
        worst, best: The quality, 1 to 100, is drawn from this range.
    """

    def __init__(self, worst: int, best: int) -> None:
        super().__init__()
        self.worst = worst
        self.best = best

    def forward(self, image_CHW: Tensor) -> Tensor:
        """An image (3, H, W) uint8 to another."""
        stream = io.BytesIO()
        Image.fromarray(image_CHW.permute(1, 2, 0).numpy()).save(stream, "JPEG", quality=_whole(self.worst, self.best))
        return torch.from_numpy(np.array(Image.open(stream))).permute(2, 0, 1)


def build_augmentation(config: AugmentConfig, *, view_px: int) -> nn.Module:
    """Random changes to one training crop: (3, S, S) uint8 to its central (3, view_px, view_px) uint8."""
    geometry = RandomView(view_px, rotation_deg=config.rotation_deg, scale=config.scale, shift_px=config.shift_px)
    steps: list[nn.Module] = [geometry, *_colours(config)]
    if config.blur_p:
        steps.append(v2.RandomApply([_blur(config.blur_sigma_px, view_px)], p=config.blur_p))
    steps.append(v2.ToDtype(torch.uint8, scale=True))
    if config.jpeg_p:
        jpeg = JpegCompression(config.jpeg_quality, _JPEG_BEST)
        steps.append(v2.RandomApply([jpeg], p=config.jpeg_p))
    if config.erase_p:
        steps.append(v2.RandomApply([CoarseDropout(config.erase_squares, config.erase_px)], p=config.erase_p))
    composed: nn.Module = v2.Compose(steps)
    return composed


def _colours(config: AugmentConfig) -> list[nn.Module]:
    jitter: nn.Module = v2.ColorJitter(
        brightness=config.brightness, contrast=config.contrast, saturation=config.saturation
    )
    if config.stain_scale or config.stain_shift:
        return [jitter, StainJitter(config.stain_scale, config.stain_shift)]
    return [jitter]


def _blur(sigma_px: float, view_px: int) -> nn.Module:
    reach = min(math.ceil(3 * sigma_px), view_px - 1)  # it mirrors the image at its edges
    blur: nn.Module = v2.GaussianBlur(2 * reach + 1, sigma=(min(_SIGMA_MIN_PX, sigma_px), sigma_px))
    return blur


def _symmetric(*shape: int) -> Tensor:
    """Uniform in -1..1."""
    return 2 * torch.rand(shape) - 1


def _whole(low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, ()))
