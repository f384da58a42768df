"""The OpenVINO backend: CPUs, in float32, or in int8 where the bundle holds that form."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import wsiamf.inference.no_telemetry  # noqa: F401  # isort: skip
import openvino as ov

from wsiamf.bundle import Bundle
from wsiamf.errors import ConfigError
from wsiamf.inference.backend import Logits, fill_padded
from wsiamf.inference.openvino_core import openvino_core
from wsiamf.inference.openvino_files import read_int8, read_or_convert
from wsiamf.machine import usable_cores

# Fixed per form, so that the same crops give the same bytes whatever their number.
_BATCH_SIZES: Final = {"f32": 8, "int8": 16}  # the fastest on two cores


class OpenVinoBackend:
    """A bundle's networks on the CPU: one stream of one thread a core, batches under way side by side.

    Args:
        bundle: The model.
        device: ``auto`` or ``cpu``.
        batch_size: Crops a forward pass; None for the form's own.
        precision: ``auto`` or ``f32``, or ``int8``.

    Raises:
        ConfigError: Another device or precision, or the bundle holds no int8 form.
        BundleError: The bundle or its int8 form is altered.
    """

    name = "openvino"
    device_class = "cpu"

    def __init__(
        self, bundle: Bundle, *, device: str = "auto", batch_size: int | None = None, precision: str = "auto"
    ) -> None:
        if device not in ("auto", "cpu"):
            raise ConfigError(f"--backend openvino --device {device}: runs on cpu alone; use --backend torch.")
        self.precision = _choose_precision(precision)
        self.batch_size = batch_size or _BATCH_SIZES[self.precision]
        cores = usable_cores()
        self.capacity = cores + 1  # so that a stream never waits for a result to be fetched
        models = read_int8(bundle) if self.precision == "int8" else read_or_convert(bundle)
        self._networks = [_Network(model, self.batch_size, cores) for model in models]

    def submit(self, crops_NHWC: NDArray[np.uint8], network: int = 0) -> _Request:
        """As ``Backend.submit``."""
        return self._networks[network].submit(crops_NHWC)


class _Network:
    """One compiled network and its requests that are free."""

    def __init__(self, model: ov.Model, batch_size: int, cores: int) -> None:
        model.reshape([batch_size, *list(model.inputs[0].partial_shape)[1:]])
        self._compiled = openvino_core().compile_model(model, "CPU", _properties(cores))
        self._heads = [output.get_any_name() for output in self._compiled.outputs]
        self._free: deque[ov.InferRequest] = deque()

    def submit(self, crops_NHWC: NDArray[np.uint8]) -> _Request:
        """Copy the crops into a free request's own memory and start it."""
        request = self._free.popleft() if self._free else self._compiled.create_infer_request()
        fill_padded(request.input_tensors[0].data, crops_NHWC)
        request.start_async()
        return _Request(request, self, len(crops_NHWC))

    def fetch(self, request: ov.InferRequest, n: int) -> Logits:
        """Wait for a request, copy what it says of its first ``n`` crops, and free it."""
        request.wait()
        said = {
            head: output.data[:n].astype(np.float64)
            for head, output in zip(self._heads, request.output_tensors, strict=True)
        }
        self._free.append(request)
        return said


class _Request:
    """A batch under way; one that is given up ends by itself."""

    def __init__(self, request: ov.InferRequest, network: _Network, n: int) -> None:
        self._request = request
        self._network = network
        self._n = n
        self._said: Logits | None = None

    def result(self) -> Logits:
        """As ``Pending.result``."""
        if self._said is None:
            self._said = self._network.fetch(self._request, self._n)
        return self._said


def _properties(cores: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": "f32",  # else bf16 where the processor has it; an int8 form stays int8
        "NUM_STREAMS": cores,
        "INFERENCE_NUM_THREADS": cores,
        "ENABLE_CPU_PINNING": False,  # the threads that decode tiles share the cores
    }


def _choose_precision(name: str) -> str:
    if name == "auto":
        return "f32"
    if name not in ("f32", "int8"):
        raise ConfigError(f"--precision {name}: not to be had on cpu; choose auto, f32 or int8 (bf16 on CUDA).")
    return name
