"""What a backend is, and which one an option means."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from wsiamf.errors import ConfigError

Logits = dict[str, NDArray[np.float64]]
"""Per head (N, C) of N crops."""

BACKENDS: Final = ("auto", "torch", "openvino")
PRECISIONS: Final = ("auto", "f32", "bf16", "int8")


class Pending(Protocol):
    """A batch that is under way."""

    def result(self) -> Logits:
        """Wait for the logits of the batch's own crops; an error of the computation is raised here."""
        ...


class Backend(Protocol):
    """A bundle's networks, ready to compute on one device in one precision."""

    @property
    def name(self) -> str:
        """``torch`` or ``openvino``."""
        ...

    @property
    def precision(self) -> str:
        """``f32``, ``bf16`` or ``int8``."""
        ...

    @property
    def device_class(self) -> str:
        """``cuda``, ``mps`` or ``cpu``."""
        ...

    @property
    def batch_size(self) -> int:
        """Crops a forward pass; fixed, so that the same crops give the same bytes whatever their number."""
        ...

    @property
    def capacity(self) -> int:
        """How many batches it is of use to have under way at once."""
        ...

    def submit(self, crops_NHWC: NDArray[np.uint8], network: int = 0) -> Pending:
        """Begin with at most ``batch_size`` crops; a short batch is padded to the full size.

        Args:
            crops_NHWC: RGB uint8, (N, crop_px, crop_px, 3); may be changed once this returns.
            network: Which one is asked, by its place in ``ModelSpec.networks``.
        """
        ...


def fill_padded(batch_BHWC: NDArray[np.uint8], crops_NHWC: NDArray[np.uint8]) -> None:
    """Copy crops into a batch of the fixed size; the places left over repeat the last crop."""
    n = len(crops_NHWC)
    assert 0 < n <= len(batch_BHWC)
    batch_BHWC[:n] = crops_NHWC
    batch_BHWC[n:] = crops_NHWC[-1]


def refuse_numbered_cpu(device: str) -> None:
    """Raise a ``ConfigError`` for ``cpu:1``: there is one."""
    if device.startswith("cpu:"):
        raise ConfigError(f"--device {device}: processors have no numbers; write cpu.")


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ``ConfigError`` unless an option's value is one of its choices."""
    if value not in choices:
        raise ConfigError(f"--{option} {value}: unknown; choose one of {', '.join(choices)}.")
