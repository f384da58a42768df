"""Mixed precision: forward passes in bf16 or f16, weights and losses in f32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal

import torch
from torch import Tensor

from wsiamf.errors import ConfigError

Precision = Literal["f32", "bf16", "f16"]
_TYPES: Final = {"bf16": torch.bfloat16, "f16": torch.float16}
_SCALE_MIN: Final = 1.0  # gradients that are not finite unscaled are not the scaler's fault


class MixedPrecision:
    """Forward and backward passes on one device; with f16 the loss is scaled, and steps that overflow are left out.

    Raises:
        ConfigError: The device does not have the precision.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        check_precision(precision, device)
        self._type = _TYPES.get(precision)
        self._device = device
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "f16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Of forward passes."""
        return nullcontext() if self._type is None else torch.autocast(self._device.type, dtype=self._type)

    @property
    def may_overflow(self) -> bool:
        """Whether a gradient that is not finite only means that the loss was scaled too high."""
        return self._scaler.is_enabled() and self._scaler.get_scale() > _SCALE_MIN

    def backward(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """New gradients, unscaled."""
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(loss))
        self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Move the weights; False where the gradients overflowed, and the weights stayed."""
        scale = self._scaler.get_scale()
        self._scaler.step(optimizer)
        self._scaler.update()
        return self._scaler.get_scale() >= scale

    def state_dict(self) -> dict[str, Any]:
        """The scaler's; empty without one."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        if state:
            self._scaler.load_state_dict(state)


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise a ``ConfigError`` unless the device has the precision."""
    if precision == "f16" and device.type != "cuda":
        raise ConfigError(f"fit.precision: f16 is for CUDA alone, and this is {device.type}; choose bf16 or f32.")
    if precision == "bf16" and not _has_bf16(device):
        raise ConfigError(f"fit.precision: this {device.type} device has no bf16; choose f32 (on CUDA also f16).")


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" or bool(torch.backends.mps.is_macos_or_newer(14, 0))
