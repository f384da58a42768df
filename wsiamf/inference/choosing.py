"""Which backend the options ask for."""

from __future__ import annotations

from wsiamf.bundle import Bundle
from wsiamf.errors import ConfigError
from wsiamf.inference.backend import BACKENDS, PRECISIONS, Backend, check_choice
from wsiamf.inference.openvino_backend import OpenVinoBackend
from wsiamf.inference.torch_backend import TorchBackend, choose_device


def open_backend(bundle: Bundle, *, backend: str, device: str, batch_size: int | None, precision: str) -> Backend:
    """Put a bundle on a backend; ``auto`` is OpenVINO on the CPU and torch on CUDA and MPS.

    Raises:
        ConfigError: An unknown value, a device that is not there, or values that do not go together.
        BundleError: The bundle or its int8 form is altered.
    """
    check_choice("backend", backend, BACKENDS)
    check_choice("precision", precision, PRECISIONS)
    if _takes_openvino(backend, device, precision):
        return OpenVinoBackend(bundle, device=device, batch_size=batch_size, precision=precision)
    return TorchBackend(bundle, device=device, batch_size=batch_size, precision=precision)


def _takes_openvino(backend: str, device: str, precision: str) -> bool:
    if backend != "auto":
        return backend == "openvino"
    if precision == "int8" and device == "auto":
        return True
    on_cpu = choose_device(device).type == "cpu"
    if precision == "int8" and not on_cpu:
        raise ConfigError(f"--precision int8 --device {device}: int8 runs on cpu alone; leave one of them out.")
    return on_cpu
