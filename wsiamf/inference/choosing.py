"""Which backend the options ask for. Torch takes seconds to load, so it is loaded only where it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from wsiamf.bundle import Bundle
from wsiamf.errors import ConfigError
from wsiamf.inference.backend import BACKENDS, PRECISIONS, Backend, check_choice, refuse_numbered_cpu
from wsiamf.inference.openvino_backend import OpenVinoBackend
from wsiamf.machine import may_have_gpu


def open_backend(bundle: Bundle, *, backend: str, device: str, batch_size: int | None, precision: str) -> Backend:
    """Put a bundle on a backend; ``auto`` is OpenVINO on the CPU and torch on CUDA and MPS.

    Raises:
        ConfigError: An unknown value, a device that is not there, or values that do not go together.
        BundleError: The bundle or its int8 form is altered.
    """
    check_choice("backend", backend, BACKENDS)
    check_choice("precision", precision, PRECISIONS)
    refuse_numbered_cpu(device)
    if _takes_openvino(backend, device, precision):
        device = "cpu" if backend == "auto" else device
        return OpenVinoBackend(bundle, device=device, batch_size=batch_size, precision=precision)
    opened: Backend = _torch_backend().TorchBackend(bundle, device=device, batch_size=batch_size, precision=precision)
    return opened


def _takes_openvino(backend: str, device: str, precision: str) -> bool:
    if backend != "auto":
        return backend == "openvino"
    if precision == "int8" and device == "auto":
        return True
    on_cpu = _is_cpu(device)
    if precision == "int8" and not on_cpu:
        raise ConfigError(f"--precision int8 --device {device}: int8 runs on cpu alone; leave one of them out.")
    return on_cpu


def _is_cpu(device: str) -> bool:
    if device == "cpu" or (device == "auto" and not may_have_gpu()):
        return True
    return bool(_torch_backend().choose_device(device).type == "cpu")


def _torch_backend() -> Any:
    return import_module("wsiamf.inference.torch_backend")
