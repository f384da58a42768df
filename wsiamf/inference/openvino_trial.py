"""Whether OpenVINO works here: a tiny graph compiled and computed, for ``wsiamf doctor``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any, Final

import wsiamf.inference.no_telemetry  # noqa: F401  # isort: skip
import numpy as np
import openvino as ov
from openvino import opset13 as ops

from wsiamf.inference.openvino_core import openvino_core

_DEVICE: Final = "CPU"
_TELEMETRY: Final = "openvino_telemetry"


def try_openvino() -> dict[str, Any]:
    """Version, device, whether telemetry is barred, and what went wrong (``error``, None for nothing)."""
    facts = {"version": version("openvino"), "device": _DEVICE, "telemetry_barred": _barred(), "error": None}
    given = ops.parameter([4], np.float32)
    compiled = openvino_core().compile_model(ov.Model([ops.relu(given)], [given]), _DEVICE)
    outcome = compiled(np.array([-1.0, 0.0, 2.0, -3.0], dtype=np.float32))[0]
    if outcome.tolist() != [0.0, 0.0, 2.0, 0.0]:
        return facts | {"error": f"computes wrong numbers on {_DEVICE}: {outcome.tolist()}"}
    return facts


def _barred() -> bool:
    return _TELEMETRY in sys.modules and sys.modules[_TELEMETRY] is None
