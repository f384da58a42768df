"""One network from several runs: the mean of their weights ("model soup", Wortsman et al., ICML 2022).

Runs that start from the same weights end in one basin; the mean of their weights is about as good as the ensemble of them, at
the cost of a single network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wsiamf.model import Preprocess
from wsiamf.training.labels import LabelledCrops

_BATCH = 64


def average_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each floating-point tensor; step counters are the first run's."""
    first = states[0]
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }


def reestimate_statistics(network: nn.Module, preprocess: Preprocess, data: LabelledCrops) -> None:
    """Measure the batch-norm statistics of averaged weights anew, on the training crops unaugmented, in place."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    device = next(network.parameters()).device
    with torch.no_grad():
        for rows in torch.split(order, _BATCH):
            crops = torch.from_numpy(data.crops_NSS3[rows.numpy()]).to(device)
            network(preprocess(crops))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
