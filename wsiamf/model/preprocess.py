"""How a crop becomes the network's input.

Shapes: N = crops, S = crop side in px, C = channels, H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

from wsiamf.spec import InputSpec
from wsiamf.stains import HED_FROM_RGB, HED_MEAN, HED_STD


class Preprocess(nn.Module):
    """Crops (N, S, S, 3) uint8 to the network's input (N, C, input_px, input_px) float: central view, resize, normalise.

    Args:
        view_px: Side of the central square that is shown, in px of the crop.
        input_px: Side of the network's input.
        mean, std: Per channel, of RGB in 0..1.
        extra_inputs: Further views, three channels each, behind the main one's; C = 3 x (1 + their number).
    """

    mean: Tensor
    std: Tensor
    hed_from_rgb: Tensor
    hed_mean: Tensor
    hed_std: Tensor

    def __init__(
        self,
        *,
        view_px: int,
        input_px: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        extra_inputs: Sequence[InputSpec] = (),
    ) -> None:
        super().__init__()
        self.input_px = input_px
        self.inputs = (InputSpec(view_px=view_px), *extra_inputs)
        self.register_buffer("hed_from_rgb", torch.tensor(HED_FROM_RGB, dtype=torch.float32), persistent=False)
        for name, values in {"mean": mean, "std": std, "hed_mean": HED_MEAN, "hed_std": HED_STD}.items():
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, crops_NHWC: Tensor) -> Tensor:
        """See the class."""
        images = crops_NHWC.permute(0, 3, 1, 2)
        return torch.cat([self._input(images, one) for one in self.inputs], dim=1)

    def _input(self, images_NCHW: Tensor, one: InputSpec) -> Tensor:
        """One view, normalised."""
        shown = self._shown(images_NCHW, one.view_px)
        if one.colour == "hed":
            return (self._densities(shown) - self.hed_mean) / self.hed_std
        return (shown - self.mean) / self.std

    def _shown(self, images_NCHW: Tensor, view_px: int) -> Tensor:
        """The central square, 0..1, at the input's size."""
        shown = vision.center_crop(images_NCHW, [view_px, view_px]).float().div(255)
        return cast(Tensor, vision.resize(shown, [self.input_px, self.input_px], antialias=True))

    def _densities(self, images_NCHW: Tensor) -> Tensor:
        """RGB in 0..1 to optical densities of haematoxylin, eosin and DAB."""
        density = -torch.log(images_NCHW.clamp(min=1 / 255))
        # A sum of products, not a matrix product, which mixed precision would round.
        return torch.stack([(density * row.view(1, 3, 1, 1)).sum(dim=1) for row in self.hed_from_rgb.T], dim=1)
