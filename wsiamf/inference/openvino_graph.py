"""From a bundle's networks to OpenVINO's graphs: uint8 crops in, logits per head out, the number of crops left open."""

from __future__ import annotations

import warnings
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision

import wsiamf.inference.no_telemetry  # noqa: F401  # isort: skip
import openvino as ov
from openvino._offline_transformations import apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

from wsiamf.bundle import Bundle
from wsiamf.errors import InferenceError
from wsiamf.model import Preprocess
from wsiamf.spec import NetworkSpec
from wsiamf.weights import load_networks

_LONGEST_REASON = 300  # characters of a message that may run over pages
_TRACED_CROPS = 2  # not 1, which would be taken for an axis that broadcasts


def convert_networks(bundle: Bundle) -> list[ov.Model]:
    """A graph of each network, in float32, in the order of ``ModelSpec.networks``.

    Raises:
        BundleError: The weights changed since the spec was written, or do not fit.
        InferenceError: OpenVINO lacks what a network needs.
    """
    networks = load_networks(bundle)
    try:
        return [
            _convert(spec, network, bundle.spec.crop_px)
            for spec, network in zip(bundle.spec.networks, networks, strict=True)
        ]
    except Exception as error:  # of torch's tracing and of OpenVINO, which document none
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise InferenceError(
            f"{bundle.title}: cannot be converted for OpenVINO ({reason}); use --backend torch."
        ) from error


class _Whole(nn.Module):
    """Preprocessing and network in one."""

    def __init__(self, preprocess: Preprocess, network: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network

    def forward(self, crops_NHWC: Tensor) -> dict[str, Tensor]:
        """Crops to logits per head."""
        return cast(dict[str, Tensor], self.network(self.preprocess(crops_NHWC)))


class _AsMatrices(nn.Module):
    """Crops (N, C, S, S) to their central view, 0..1, at the input's size, by a product with a matrix from either side.

    Resizing is linear, and OpenVINO knows no operation that equals torch's with its anti-aliasing.
    """

    matrix: Tensor

    def __init__(self, crop_px: int, view_px: int, input_px: int) -> None:
        super().__init__()
        # As torchvision's center_crop rounds it.
        self.start = round((crop_px - view_px) / 2)
        self.view_px = view_px
        unit = torch.eye(view_px)[None]
        self.register_buffer("matrix", vision.resize(unit, [input_px, view_px], antialias=True)[0])

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """See the class."""
        places = slice(self.start, self.start + self.view_px)
        shown = images_NCHW[:, :, places, places].float() / 255
        if self.matrix.shape[0] == self.matrix.shape[1]:
            return shown
        return self.matrix @ shown @ self.matrix.T


class _ForConversion(Preprocess):
    """``Preprocess`` of operations that OpenVINO has."""

    def __init__(self, spec: NetworkSpec, crop_px: int) -> None:
        super().__init__(
            view_px=spec.view_px,
            input_px=spec.input_px,
            mean=spec.mean,
            std=spec.std,
            extra_inputs=spec.extra_inputs,
        )
        self.resizers = nn.ModuleDict(
            {str(one.view_px): _AsMatrices(crop_px, one.view_px, spec.input_px) for one in self.inputs}
        )

    def _shown(self, images_NCHW: Tensor, view_px: int) -> Tensor:
        return cast(Tensor, self.resizers[str(view_px)](images_NCHW))


def _convert(spec: NetworkSpec, network: nn.Module, crop_px: int) -> ov.Model:
    whole = _Whole(_ForConversion(spec, crop_px), network).eval().requires_grad_(requires_grad=False)
    example = torch.zeros((_TRACED_CROPS, crop_px, crop_px, 3), dtype=torch.uint8)

    def compute(crops_NHWC: Tensor) -> dict[str, Tensor]:  # of a function, weights become constants at once
        return cast(dict[str, Tensor], whole(crops_NHWC))

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated in torch, but takes a third of torch.export's time
        traced = torch.jit.trace(compute, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
    return _converted(traced, crop_px)


def _converted(traced: Any, crop_px: int) -> ov.Model:
    """As ``ov.convert_model`` does it, in a third of the time: a first start waits for it."""
    decoder = TorchScriptPythonDecoder(traced)  # kept alive, since the front end reads from it to the end
    front_end = FrontEndManager().load_by_framework("pytorch")
    model: ov.Model = front_end.convert(front_end.load(decoder))
    model.reshape([-1, crop_px, crop_px, 3])
    apply_moc_transformations(model, cf=False)
    return model
