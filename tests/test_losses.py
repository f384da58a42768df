"""The masked focal loss."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy
from torchvision.ops import sigmoid_focal_loss

from wsiamf.config import FocalConfig, LossConfig
from wsiamf.training.loop.losses import Targets, expert_loss, hardness_loss, phase_loss, total_loss

NAN = float("nan")
FOCAL = FocalConfig(alpha=0.4, gamma=2.0)


def made_targets(
    *,
    hard: torch.Tensor | None = None,
    amf: torch.Tensor | None = None,
    phases: torch.Tensor | None = None,
) -> Targets:
    """Six crops that all three raters call AMF."""
    return Targets(
        votes_NK=torch.ones(6, 3),
        hard_N=torch.ones(6) if hard is None else hard,
        phases_NR=torch.zeros(6, 2, dtype=torch.int64) if phases is None else phases,
        amf_N=torch.ones(6) if amf is None else amf,
    )


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


def test_equals_torchvision_on_full_votes(logits: torch.Tensor) -> None:
    votes = (torch.arange(18).reshape(6, 3) % 2).float()
    expected = sigmoid_focal_loss(logits, votes, alpha=0.4, gamma=2.0, reduction="mean")
    assert torch.isclose(expert_loss(logits, votes, FOCAL), expected)


def test_mean_over_votes_present_then_over_crops(logits: torch.Tensor) -> None:
    votes = torch.tensor([[1, 0, NAN], [NAN, NAN, 1], [NAN, NAN, NAN], [0, 0, 0], [1, 1, 1], [NAN, 1, 0]])
    per_crop = []
    for row, vote in zip(logits, votes, strict=True):
        present = ~torch.isnan(vote)
        if present.any():
            per_crop.append(sigmoid_focal_loss(row[present], vote[present], alpha=0.4, gamma=2.0).mean())
    assert torch.isclose(expert_loss(logits, votes, FOCAL), torch.stack(per_crop).mean())


def test_a_missing_vote_gives_no_gradient() -> None:
    logits = torch.zeros(2, 2, requires_grad=True)
    expert_loss(logits, torch.tensor([[1, NAN], [NAN, 0]]), FOCAL).backward()  # type: ignore[no-untyped-call]  # torch
    assert logits.grad is not None
    assert (logits.grad == 0).tolist() == [[False, True], [True, False]]


def test_no_votes_at_all_is_zero_not_nan(logits: torch.Tensor) -> None:
    unknown = made_targets(hard=torch.full((6,), NAN))
    assert expert_loss(logits, torch.full((6, 3), NAN), FOCAL) == 0
    assert hardness_loss(logits[:, :1], unknown, FOCAL) == 0
    assert hardness_loss(torch.randn(6, 4), unknown, FOCAL) == 0
    assert phase_loss(torch.randn(6, 8), torch.full((6, 2), -1)) == 0


def test_hardness_is_masked(logits: torch.Tensor) -> None:
    hard = torch.tensor([1, NAN, 0, NAN, NAN, 1])
    known = [0, 2, 5]
    expected = sigmoid_focal_loss(logits[known, 0], hard[known], alpha=0.4, gamma=2.0, reduction="mean")
    assert torch.isclose(hardness_loss(logits[:, :1], made_targets(hard=hard), FOCAL), expected)


class TestFourClassHardness:
    hard = torch.tensor([1, NAN, 0, 0, NAN, 1])
    amf = torch.tensor([1.0, 1, 1, 0, 0, 0])
    known = (0, 2, 3, 5)
    classes = torch.tensor([3, 2, 0, 1])  # NMF easy, NMF hard, AMF easy, AMF hard

    @pytest.fixture
    def four(self) -> torch.Tensor:
        return torch.randn(6, 4, generator=torch.Generator().manual_seed(2))

    def test_equals_cross_entropy_at_gamma_0(self, four: torch.Tensor) -> None:
        loss = hardness_loss(four, made_targets(hard=self.hard, amf=self.amf), FocalConfig(alpha=-1, gamma=0))
        assert torch.isclose(loss, cross_entropy(four[list(self.known)], self.classes))

    def test_alpha_weighs_the_hard_classes_and_gamma_the_surprising_ones(self, four: torch.Tensor) -> None:
        p = four[list(self.known)].softmax(dim=1)[range(4), self.classes]
        alpha = torch.tensor([0.4, 0.6, 0.6, 0.4])
        expected = (alpha * (1 - p) ** 2 * -p.log()).mean()
        assert torch.isclose(hardness_loss(four, made_targets(hard=self.hard, amf=self.amf), FOCAL), expected)

    def test_unknown_hardness_gives_no_gradient_and_certainty_a_finite_one(self, four: torch.Tensor) -> None:
        four[0, 3] = 100.0
        four.requires_grad_()
        targets = made_targets(hard=self.hard, amf=self.amf)
        hardness_loss(four, targets, FocalConfig(gamma=0.5)).backward()  # type: ignore[no-untyped-call]  # torch
        assert four.grad is not None
        assert torch.isfinite(four.grad).all()
        assert (four.grad[[1, 4]] == 0).all()


def test_weights_multiply_each_crops_loss(logits: torch.Tensor) -> None:
    targets = made_targets(hard=torch.tensor([1.0, 0, NAN, 1, 0, 0]), phases=torch.arange(12).reshape(6, 2) % 8)
    heads = {"experts": logits, "hardness": logits[:, :1], "phase": torch.randn(6, 8)}
    config = LossConfig(phase_weight=0.2, expert=FOCAL)
    weights = torch.tensor([2.0, 0, 1, 1, 0.5, 1.5])
    alone = [torch.zeros(6).index_fill(0, torch.tensor([row]), 1.0) for row in range(6)]
    parts = torch.stack([total_loss(heads, targets, config, one) for one in alone])
    assert torch.isclose(total_loss(heads, targets, config, weights), (weights * parts).sum())
    assert torch.isclose(total_loss(heads, targets, config, torch.ones(6)), total_loss(heads, targets, config))


def test_phase_takes_every_raters_label() -> None:
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    phases = torch.tensor([[0, 1], [-1, 2], [-1, -1]])
    expected = cross_entropy(logits[[0, 0, 1]], torch.tensor([0, 1, 2]))
    assert torch.isclose(phase_loss(logits, phases), expected)


def test_total_is_the_weighted_sum(logits: torch.Tensor) -> None:
    config = LossConfig(theta=0.3, expert=FOCAL, hardness=FocalConfig(alpha=-1, gamma=1), phase_weight=0.2)
    targets = made_targets()
    heads = {"experts": logits, "hardness": logits[:, :1], "phase": torch.zeros(6, 8)}
    expected = (
        0.3 * expert_loss(logits, targets.votes_NK, FOCAL)
        + 0.7 * hardness_loss(logits[:, :1], targets, config.hardness)
        + 0.2 * torch.log(torch.tensor(8.0))
    )
    assert torch.isclose(total_loss(heads, targets, config), expected)


def test_without_a_hardness_head_theta_does_not_shrink_the_loss(logits: torch.Tensor) -> None:
    targets = made_targets()
    config = LossConfig(theta=0.3, expert=FOCAL)
    assert torch.isclose(total_loss({"experts": logits}, targets, config), expert_loss(logits, targets.votes_NK, FOCAL))
