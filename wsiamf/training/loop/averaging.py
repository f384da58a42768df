"""One network from several runs: the mean of their weights ("model soup", Wortsman et al., ICML 2022).

Runs that start from the same weights end in one basin; the mean of their weights is about as good as the ensemble of them, at
the cost of a single network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wsiamf.model import Preprocess
from wsiamf.training.labels import LabelledCrops

_BATCH = 64


def average_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each floating-point tensor; step counters are the first run's, and what all runs share stays as it is."""
    return {name: _mean([state[name] for state in states]) for name in states[0]}


def reestimate_statistics(network: nn.Module, preprocess: Preprocess, data: LabelledCrops) -> None:
    """Measure the batch-norm statistics of averaged weights anew, on the training crops unaugmented, in place.

    Frozen backbones keep theirs; the network is left in evaluation mode.
    """
    network.train()  # frozen backbones do not follow
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.training]
    network.eval()  # so that dropout and stochastic depth are off
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
    _show_all(network, preprocess, data)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def _show_all(network: nn.Module, preprocess: Preprocess, data: LabelledCrops) -> None:
    """Forward passes of all crops in a random order, for what they leave in the network."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    device = next(network.parameters()).device
    with torch.no_grad():
        for rows in torch.split(order, _BATCH):
            crops = torch.from_numpy(data.crops_NSS3[rows.numpy()]).to(device)
            network(preprocess(crops))


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    first = tensors[0]
    if not first.is_floating_point() or all(torch.equal(first, one) for one in tensors[1:]):
        return first
    return torch.stack(list(tensors)).mean(dim=0)
