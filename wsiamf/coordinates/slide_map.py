"""What a low level shows of a slide, asked at points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsiamf.coordinates.overview import Overview

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SlideMap:
    """The overview of a slide with its tissue.

    Args:
        overview: The pictures.
        tissue: (height, width) of the coarse picture: which of its pixels are tissue.
    """

    overview: Overview
    tissue: NDArray[np.bool_]

    def on_tissue(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """(N,) Which points, in level-0 px, lie on tissue; points off the slide do not."""
        scale, (height, width) = self.overview.coarse.scale, self.tissue.shape
        column, row = np.floor(x / scale[0]), np.floor(y / scale[1])
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        hit = np.zeros(len(x), dtype=np.bool_)
        hit[inside] = self.tissue[row[inside].astype(np.intp), column[inside].astype(np.intp)]
        return hit
