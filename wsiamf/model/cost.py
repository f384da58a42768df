"""What a model computes for one crop."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from wsiamf.model.building import build_network
from wsiamf.spec import ModelSpec, NetworkSpec


def count_macs(spec: ModelSpec) -> int:
    """Multiply-adds of one crop, in all views and all networks; nothing is computed (torch's ``meta`` device).

    Raises:
        RuntimeError: timm does not know a backbone.
    """
    return sum(network.views * _one_pass(network, len(spec.experts)) for network in spec.networks)


def _one_pass(spec: NetworkSpec, n_experts: int) -> int:
    side = spec.input_px
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        build_network(spec, n_experts).eval()(torch.empty(1, spec.in_channels, side, side))
    return int(counter.get_total_flops()) // 2  # a multiply-add counts as two
