"""Augmentation: what each step does to a crop, and what none of them may do."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from wsiamf.config import AugmentConfig
from wsiamf.training.loop.augment import CoarseDropout, RandomView, StainJitter, build_augmentation

STILL = AugmentConfig(rotation_deg=0, scale=0, brightness=0, contrast=0, saturation=0)
STRONG = AugmentConfig(
    shift_px=6, stain_scale=0.3, stain_shift=0.03, blur_p=0.5, jpeg_p=0.5, erase_p=0.5, erase_squares=3
)


def textured(side_px: int = 128) -> Tensor:
    """A smooth pattern without any symmetry, (3, side_px, side_px) uint8."""
    place = torch.linspace(0, 1, side_px)
    planes = [place[:, None] * 0.8 + 0.1 * place, place**2 * 0.5 + 0.3 * place[:, None], (place[:, None] - place) ** 2]
    return torch.stack(planes).mul(255).byte()


def test_shape_type_and_no_black_corners() -> None:
    augment = build_augmentation(STRONG.model_copy(update={"erase_p": 0.0}), view_px=128)
    image = torch.full((3, 128, 128), 200, dtype=torch.uint8)
    for seed in range(20):
        torch.manual_seed(seed)
        changed = augment(image)
        assert (changed.shape, changed.dtype) == ((3, 128, 128), torch.uint8)
        assert changed.min() > 60


def test_without_changes_the_central_view_is_only_flipped() -> None:
    crop = textured()
    view = crop[:, 16:112, 16:112].int()
    flips = [view, view.flip(1), view.flip(2), view.flip(1, 2)]
    augment = build_augmentation(STILL, view_px=96)
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        distances = [int((augment_once(augment, crop, seed).int() - flip).abs().max()) for flip in flips]
        assert min(distances) <= 1
        seen.add(distances.index(min(distances)))
    assert seen == {0, 1, 2, 3}


def augment_once(augment: Any, crop: Tensor, seed: int) -> Tensor:
    torch.manual_seed(seed)
    changed: Tensor = augment(crop)
    return changed


def test_the_seed_decides_and_the_draws_differ() -> None:
    augment = build_augmentation(STRONG, view_px=96)
    draws = [augment_once(augment, textured(), seed) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    again = augment_once(pickle.loads(pickle.dumps(augment)), textured(), 1)  # noqa: S301 - our own
    assert torch.equal(draws[0], again)


@pytest.mark.parametrize(
    ("ranges", "limit_px"),
    [
        ({"rotation_deg": 0, "scale": 0, "shift_px": 0}, 0.0),
        ({"rotation_deg": 10, "scale": 0, "shift_px": 0}, 48 * 2 * 0.0873),  # chord of 10 degrees at 48 px
        ({"rotation_deg": 0, "scale": 0.2, "shift_px": 0}, 48 * 0.25),
        ({"rotation_deg": 0, "scale": 0, "shift_px": 5}, 5.0),
    ],
)
def test_geometry_moves_pixels_as_far_as_it_may_and_no_further(ranges: dict[str, float], limit_px: float) -> None:
    place = torch.arange(128.0)
    crop = torch.stack([place.expand(128, 128), place[:, None].expand(128, 128), torch.zeros(128, 128)])
    geometry = RandomView(96, **ranges)
    row = 48  # half a pixel beside the centre of the view
    furthest = 0.0
    for seed in range(60):
        torch.manual_seed(seed)
        column_px = geometry(crop.byte())[0, row] * 255  # where along x each pixel of the middle row came from
        unflipped = column_px if column_px[-1] > column_px[0] else column_px.flip(0)
        furthest = max(furthest, float((unflipped - place[16:112]).abs().max()))
    assert furthest <= limit_px + 0.6
    if ranges["rotation_deg"] == 0:
        assert furthest >= 0.9 * limit_px


def test_no_stain_jitter_changes_nothing() -> None:
    image = torch.rand(3, 8, 8).clamp(min=0.05)
    assert torch.allclose(StainJitter(0.0, 0.0)(image), image, atol=1e-5)


def test_squares_have_the_mean_colour_and_a_bounded_area() -> None:
    image = textured(96)
    for seed in range(20):
        torch.manual_seed(seed)
        painted = CoarseDropout(squares=3, square_px=16)(image)
        changed = (painted != image).any(dim=0)
        assert 0 < changed.sum() <= 3 * 16 * 16
        assert torch.equal(painted[:, changed].float().mean(dim=1), image.float().mean(dim=(1, 2)).floor())


@pytest.mark.parametrize(
    ("changes", "smoother"), [({"blur_p": 1.0, "blur_sigma_px": 2.0}, True), ({"jpeg_p": 1.0}, False)]
)
def test_blur_and_jpeg_change_the_grain_but_not_the_colour(changes: dict[str, float], *, smoother: bool) -> None:
    crop = torch.randint(60, 200, (3, 96, 96), generator=torch.Generator().manual_seed(0)).byte()
    augment = build_augmentation(STILL.model_copy(update=changes), view_px=96)
    changed = [augment_once(augment, crop, seed).float() for seed in range(8)]
    assert min(float((one - crop.float()).abs().mean()) for one in changed) > 0.5
    assert max(abs(float(one.mean() - crop.float().mean())) for one in changed) < 2
    if smoother:
        assert float(torch.stack(changed).std()) < 0.8 * float(crop.float().std())
