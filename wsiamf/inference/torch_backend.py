"""The torch backend: CUDA, MPS and CPU, in float32; mixed precision (bf16) on CUDA where it is asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from wsiamf.bundle import Bundle
from wsiamf.errors import ConfigError
from wsiamf.model import build_preprocess

DEVICES: Final = ("auto", "cuda", "mps", "cpu")
# Fixed per device, so that the same crops give the same bytes whatever their number.
_BATCH_SIZES: Final = {"cuda": 256, "mps": 64, "cpu": 32}


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA, else MPS, else the CPU; any other name must be there.

    Raises:
        ConfigError: An unknown device, or one that this machine or this torch lacks.
    """
    kind = name.split(":", maxsplit=1)[0]
    if kind not in DEVICES:
        raise ConfigError(f"--device {name}: unknown; choose one of {', '.join(DEVICES)} (or cuda:1).")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(device for device in ("cuda", "mps", "cpu") if present[device]))
    if not present[kind]:
        raise ConfigError(f"--device {name}: not available on this machine; use --device auto or cpu.")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name}: no device; write cpu, mps, cuda or cuda:0.") from error
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s), counted from 0."
        )
    return device


class TorchBackend:
    """A bundle's networks on one device.

    Args:
        bundle: The model.
        device: As ``choose_device``.
        batch_size: Crops a forward pass; None for the device's own.
        precision: ``auto`` or ``f32``, or ``bf16`` (CUDA only): faster, and off by a few hundredths of ``p_atypical``.
    """

    name = "torch"

    def __init__(
        self, bundle: Bundle, *, device: str = "auto", batch_size: int | None = None, precision: str = "auto"
    ) -> None:
        self._device = choose_device(device)
        self.precision = _choose_precision(precision, self._device)
        self.batch_size = batch_size or _BATCH_SIZES[self._device.type]
        self._preprocess = [build_preprocess(network).to(self._device) for network in bundle.spec.networks]
        self._networks = [
            network.to(self._device).to(memory_format=torch.channels_last) for network in bundle.load_networks()
        ]

    @property
    def device_class(self) -> str:
        """``cuda``, ``mps`` or ``cpu``."""
        return self._device.type

    def logits(self, crops_NHWC: NDArray[np.uint8], network: int = 0) -> dict[str, NDArray[np.float64]]:
        """Logits per head of at most ``batch_size`` crops; a short batch is padded to the full size.

        Args:
            crops_NHWC: RGB uint8, (N, crop_px, crop_px, 3).
            network: Which one is asked, by its place in ``ModelSpec.networks``.
        """
        n = len(crops_NHWC)
        assert 0 < n <= self.batch_size
        padded = np.concatenate([crops_NHWC, np.repeat(crops_NHWC[-1:], self.batch_size - n, axis=0)])
        with torch.inference_mode(), self._autocast(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            images = self._preprocess[network](torch.from_numpy(padded).to(self._device))
            outputs = self._networks[network](images.contiguous(memory_format=torch.channels_last))
        return {head: values[:n].double().cpu().numpy() for head, values in outputs.items()}

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16":
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return nullcontext()


def _choose_precision(name: str, device: torch.device) -> str:
    if name == "auto":
        return "f32"  # p_atypical agrees across devices to 1e-3, which bf16 does not
    if name not in ("f32", "bf16") or (name == "bf16" and device.type != "cuda"):
        raise ConfigError(f"--precision {name}: not to be had on {device.type}; choose auto or f32 (bf16 on CUDA).")
    return name
