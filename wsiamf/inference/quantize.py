"""From the float32 form and crops to the int8 form: NNCF's quantisation after training."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import wsiamf.inference.no_telemetry  # noqa: F401  # isort: skip
import nncf
import openvino as ov

from wsiamf.bundle import Bundle
from wsiamf.inference.openvino_files import read_or_convert, write_form

_CONVOLUTIONS: Final = ("Convolution", "GroupConvolution")


def write_int8(folder: Path, bundle: Bundle, crops_NHWC: NDArray[np.uint8]) -> None:
    """Quantise a bundle's networks and write the form into an existing, empty folder.

    Args:
        folder: Where the form goes.
        bundle: The model.
        crops_NHWC: Crops that the model was trained on, RGB uint8; the ranges of the activations come from them.

    Raises:
        BundleError: The bundle's weights are altered or do not fit.
    """
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with redirect_stdout(StringIO()):  # NNCF draws progress bars where wsiamf's data go
        models = [_quantized(model, crops_NHWC) for model in read_or_convert(bundle)]
    versions = {name: version(name) for name in ("nncf", "openvino")}
    write_form(folder, models, bundle, precision="int8", versions=versions, n_calibration_crops=len(crops_NHWC))


def _quantized(model: ov.Model, crops_NHWC: NDArray[np.uint8]) -> ov.Model:
    quantized: ov.Model = nncf.quantize(
        model,
        nncf.Dataset([crop[None] for crop in crops_NHWC]),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(crops_NHWC),
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=_kept_in_float(model), validate=False),
    )
    return quantized


def _kept_in_float(model: ov.Model) -> list[str]:
    """Names of the operations before the first convolutions (resizing, normalising) and of the heads' last layers."""
    seen: set[str] = set()
    for operation in model.get_ordered_ops():
        name = operation.get_friendly_name()
        if operation.get_type_name() in _CONVOLUTIONS or any(one in seen for one in _feeding(operation)):
            seen.add(name)
    before = [one.get_friendly_name() for one in model.get_ordered_ops() if _computes(one, seen)]
    return sorted({*before, *_last_layers(model)})


def _feeding(operation: ov.Node) -> Iterator[str]:
    for source in operation.input_values():
        yield source.get_node().get_friendly_name()


def _computes(operation: ov.Node, after: set[str]) -> bool:
    plain = operation.get_type_name() not in ("Constant", "Parameter", "Result")
    return plain and operation.get_friendly_name() not in after


def _last_layers(model: ov.Model) -> Sequence[str]:
    """The matrix product nearest to each result."""
    names = []
    for result in model.get_results():
        node = result.input_value(0).get_node()
        while node.get_type_name() != "MatMul":
            node = node.input_value(0).get_node()
        names.append(node.get_friendly_name())
    return names
