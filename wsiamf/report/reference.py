"""``--reference``: a value from the literature beside the page's own, never there by default.

The literature has two numbers, AMF / (AMF + NMF) and AMF / NMF, which are easily taken for each other: a page states both of
every reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from wsiamf.errors import ConfigError

CAVEAT: Final = "manual counts, not validated for this model"
_FRACTION: Final = "fraction"
_RATIO: Final = "ratio"
_LONGEST_SOURCE: Final = 300
_EXAMPLE: Final = '0.21:"source", or ratio=0.27:"source" for AMF / NMF'


@dataclass(frozen=True)
class Reference:
    """A value to draw.

    Args:
        fraction: AMF / (AMF + NMF), within 0 and 1.
        source: Where it comes from, in the user's words.
        given_as: ``fraction`` or ``ratio``.
    """

    fraction: float
    source: str
    given_as: str

    @property
    def ratio(self) -> float:
        """AMF / NMF; infinite for a fraction of 1."""
        return self.fraction / (1 - self.fraction) if self.fraction < 1 else math.inf


def parse_reference(text: str) -> Reference:
    """Read ``0.27:source``, ``fraction=0.27:source`` or ``ratio=0.27:source``.

    Raises:
        ConfigError: The number or the source is missing or out of range; says how it is written.
    """
    stated, _, source = text.partition(":")
    kind, is_named, value = stated.rpartition("=")
    kind, source = kind.strip().lower(), " ".join(source.split()).strip("\"'")
    if is_named and kind not in (_FRACTION, _RATIO):
        raise ConfigError(f"--reference {text!r}: {kind!r} is neither fraction nor ratio; write {_EXAMPLE}.")
    if not source or len(source) > _LONGEST_SOURCE:
        raise ConfigError(
            f"--reference {text!r}: names no source (of {_LONGEST_SOURCE} characters at most); write {_EXAMPLE}."
        )
    try:
        number = float(value)
    except ValueError:
        raise ConfigError(f"--reference {text!r}: {value.strip()!r} is not a number; write {_EXAMPLE}.") from None
    largest = math.inf if kind == _RATIO else 1.0
    if not (0 <= number <= largest and math.isfinite(number)):
        raise ConfigError(f"--reference {text!r}: {value.strip()} is no AMF {kind or _FRACTION}; write {_EXAMPLE}.")
    fraction = number / (1 + number) if kind == _RATIO else number
    return Reference(fraction, source, kind or _FRACTION)
