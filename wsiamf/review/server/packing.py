"""Figures as bytes for the page: a hundred thousand in 1.2 MB, and no JSON to parse.

Little-endian: ``WAF1``, n (uint32), x and y (float32 each, level-0 px), P(AMF) (uint16, 1/10000; 65535 for none), class and
flags (uint8 each).
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.classes import AMF, NMF

MAGIC: Final = b"WAF1"
NO_P: Final = 0xFFFF
CLASS_NUMBERS: Final = {AMF: 1, NMF: 2}
"""0 is a figure whose class is not shown."""

HARD: Final = 1
IN_HOTSPOT: Final = 2
CERTAIN: Final = 4
RANDOM: Final = 8


def class_numbers(figures: pd.DataFrame) -> NDArray[np.uint8]:
    """Number of each figure's class, (n,)."""
    return np.array([CLASS_NUMBERS.get(label, 0) for label in figures["label"]], dtype=np.uint8)


def packed_p(figures: pd.DataFrame) -> NDArray[np.uint16]:
    """P(AMF) of each figure in ten-thousandths, (n,)."""
    p = figures["p_atypical"].to_numpy(dtype=np.float64)
    return np.where(np.isnan(p), NO_P, np.rint(np.nan_to_num(p) * 10_000)).astype(np.uint16)


def flags_of(figures: pd.DataFrame, strata: pd.Series) -> NDArray[np.uint8]:
    """Bits of each figure, (n,).

    Args:
        figures: The figures.
        strata: Of each of them ``certain``, ``random``, or null.
    """
    bits = np.zeros(len(figures), dtype=np.uint8)
    for bit, mask in (
        (HARD, figures["hard"].fillna(value=False)),
        (IN_HOTSPOT, figures["in_hotspot"].fillna(value=False)),
        (CERTAIN, strata == "certain"),
        (RANDOM, strata == "random"),
    ):
        bits[mask.to_numpy(dtype=bool)] |= bit
    return bits


def pack_figures(
    figures: pd.DataFrame, classes: NDArray[np.uint8], p: NDArray[np.uint16], flags: NDArray[np.uint8]
) -> bytes:
    """The figures of one slide.

    Args:
        figures: With x, y in level-0 px.
        classes, p, flags: What is shown of each, (n,).
    """
    places = (figures[name].to_numpy(dtype="<f4").tobytes() for name in ("x", "y"))
    head = struct.pack("<4sI", MAGIC, len(figures))
    return b"".join((head, *places, p.astype("<u2").tobytes(), classes.tobytes(), flags.tobytes()))
