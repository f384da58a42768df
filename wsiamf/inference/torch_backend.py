"""The torch backend: CUDA, MPS and CPU, in float32; mixed precision (bf16) on CUDA where it is asked for.

On CUDA a batch goes to the device as uint8 through pinned memory while the one before is computed; the forward pass is a CUDA
graph of the fixed batch size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsiamf.bundle import Bundle
from wsiamf.errors import ConfigError
from wsiamf.inference.backend import Logits, Pending, fill_padded, refuse_numbered_cpu
from wsiamf.machine import core_limit
from wsiamf.model import MitosisClassifier, Preprocess, build_preprocess
from wsiamf.weights import load_networks

DEVICES: Final = ("auto", "cuda", "mps", "cpu")
# Fixed per device, so that the same crops give the same bytes whatever their number.
_BATCH_SIZES: Final = {"cuda": 256, "mps": 64, "cpu": 32}
_N_BUFFERS: Final = 2  # one is filled while the other is computed
_N_WARM_UPS: Final = 3

Forward = Callable[[Tensor], dict[str, Tensor]]
"""Crops (N, S, S, 3) uint8 on the device to logits per head."""


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA, else MPS, else the CPU; any other name must be there.

    Raises:
        ConfigError: An unknown device, or one that this machine or this torch lacks.
    """
    refuse_numbered_cpu(name)
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
        if limit := core_limit():
            torch.set_num_threads(limit)
        self._device = choose_device(device)
        self.precision = _choose_precision(precision, self._device)
        self.batch_size = batch_size or _BATCH_SIZES[self._device.type]
        on_cuda = self._device.type == "cuda"
        self.capacity = _N_BUFFERS if on_cuda else 1
        shape = (self.batch_size, bundle.spec.crop_px, bundle.spec.crop_px, 3)
        runner: type[_OnCuda | _Plain] = _OnCuda if on_cuda else _Plain
        self._runners: list[_Runner] = [
            runner(self._forward(build_preprocess(spec), network), shape, self._device)
            for spec, network in zip(bundle.spec.networks, load_networks(bundle), strict=True)
        ]

    @property
    def device_class(self) -> str:
        """``cuda``, ``mps`` or ``cpu``."""
        return self._device.type

    def submit(self, crops_NHWC: NDArray[np.uint8], network: int = 0) -> Pending:
        """As ``Backend.submit``."""
        return self._runners[network].submit(crops_NHWC)

    def _forward(self, preprocess: Preprocess, network: MitosisClassifier) -> Forward:
        preprocess = preprocess.to(self._device)
        network = network.to(self._device).to(memory_format=torch.channels_last)
        mixed = self.precision == "bf16"

        def forward(crops_NHWC: Tensor) -> dict[str, Tensor]:
            with _exact_convolutions(), _autocast(self._device, enabled=mixed):
                images = preprocess(crops_NHWC).contiguous(memory_format=torch.channels_last)
                outputs: dict[str, Tensor] = network(images)
                return outputs

        return forward


class _Runner(Protocol):
    """One network's forward passes."""

    def submit(self, crops_NHWC: NDArray[np.uint8]) -> Pending:
        """As ``Backend.submit``."""
        ...


@dataclass(frozen=True)
class _Done:
    """A batch that was computed when it was submitted."""

    said: Logits

    def result(self) -> Logits:
        """As ``Pending.result``."""
        return self.said


class _Plain:
    """Forward passes one after the other (CPU, MPS)."""

    def __init__(self, forward: Forward, shape: tuple[int, ...], device: torch.device) -> None:
        self._forward = forward
        self._batch = np.zeros(shape, dtype=np.uint8)
        self._device = device

    def submit(self, crops_NHWC: NDArray[np.uint8]) -> Pending:
        """As ``Backend.submit``."""
        fill_padded(self._batch, crops_NHWC)
        with torch.inference_mode():
            outputs = self._forward(torch.from_numpy(self._batch).to(self._device))
        return _Done(_as_logits(outputs, len(crops_NHWC)))


class _OnCuda:
    """One network's forward pass as a CUDA graph, fed through pinned buffers.

    After "Whole-network capture" in PyTorch's notes on CUDA semantics: warm up on a side stream, capture, then copy into the
    graph's own input and replay.
    """

    def __init__(self, forward: Forward, shape: tuple[int, ...], device: torch.device) -> None:
        self._device = device
        self._copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._computing = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.device(device), torch.no_grad():
            self._crops = torch.zeros(shape, dtype=torch.uint8, device=device)
            self._computing.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(self._computing):
                for _ in range(_N_WARM_UPS):
                    forward(self._crops)
            torch.cuda.current_stream(device).wait_stream(self._computing)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._computing):
                self._outputs = forward(self._crops)
        self._free = deque(self._new_buffers() for _ in range(_N_BUFFERS))

    def submit(self, crops_NHWC: NDArray[np.uint8]) -> Pending:
        """As ``Backend.submit``."""
        buffers = self._free.popleft() if self._free else self._new_buffers()
        fill_padded(buffers.host.numpy(), crops_NHWC)
        with torch.cuda.device(self._device), torch.no_grad():
            with torch.cuda.stream(self._copying):
                buffers.device.copy_(buffers.host, non_blocking=True)
            self._computing.wait_stream(self._copying)
            with torch.cuda.stream(self._computing):
                self._crops.copy_(buffers.device, non_blocking=True)
                self._graph.replay()
                for head, values in self._outputs.items():
                    buffers.outputs[head].copy_(values, non_blocking=True)
                buffers.done.record(self._computing)
        return _InFlight(buffers, self._free, len(crops_NHWC))

    def _new_buffers(self) -> _Buffers:
        device = torch.empty_like(self._crops)
        for stream in (self._copying, self._computing):
            device.record_stream(stream)
        return _Buffers(
            host=torch.empty(self._crops.shape, dtype=torch.uint8, pin_memory=True),
            device=device,
            outputs={
                head: torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
                for head, values in self._outputs.items()
            },
            done=torch.cuda.Event(),  # type: ignore[no-untyped-call]
        )


@dataclass(frozen=True)
class _Buffers:
    """Where one batch and its logits lie: pinned memory on the host's side, and the batch on the device's."""

    host: Tensor
    device: Tensor
    outputs: dict[str, Tensor]
    done: torch.cuda.Event


@dataclass
class _InFlight:
    """A batch under way on CUDA; its buffers are free again once its logits were fetched."""

    buffers: _Buffers
    free: deque[_Buffers]
    n: int
    said: Logits | None = None

    def result(self) -> Logits:
        """As ``Pending.result``."""
        if self.said is None:
            self.buffers.done.synchronize()
            self.said = _as_logits(self.buffers.outputs, self.n)
            self.free.append(self.buffers)
        return self.said


def _as_logits(outputs: dict[str, Tensor], n: int) -> Logits:
    """Copies of the first ``n`` rows."""
    return {head: values[:n].cpu().to(torch.float64, copy=True).numpy() for head, values in outputs.items()}


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """float32 means float32, not TF32."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@contextmanager
def _autocast(device: torch.device, *, enabled: bool) -> Iterator[None]:
    """bf16 where it is on; without the cache of cast weights, which a CUDA graph must not share."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled, cache_enabled=False):
        yield


def _choose_precision(name: str, device: torch.device) -> str:
    if name == "auto":
        return "f32"  # p_atypical agrees across devices to 1e-3, which bf16 does not
    if name == "int8":
        raise ConfigError("--precision int8: is OpenVINO's, on cpu; leave --backend out, or choose auto or f32.")
    if name not in ("f32", "bf16") or (name == "bf16" and device.type != "cuda"):
        raise ConfigError(f"--precision {name}: not to be had on {device.type}; choose auto or f32 (bf16 on CUDA).")
    return name
