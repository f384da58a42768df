"""Optical densities of the stains of histology, and what is usual for them.

Density here is the natural logarithm of the absorbed light, -ln(value / white); rows are haematoxylin, eosin, DAB, columns
red, green, blue. Constants only: who uses them turns them into tensors.
"""

from __future__ import annotations

from typing import Final

import numpy as np

RGB_FROM_HED: Final = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Ruifrok & Johnston, Anal Quant Cytol Histol 2001, 23(4):291-299."""

HED_FROM_RGB: Final = np.linalg.inv(RGB_FROM_HED)

HED_MEAN: Final = (0.5, 0.55, 0.3)
HED_STD: Final = (0.6, 0.4, 0.3)
"""Mean and standard deviation of each density round mitotic figures (AMi-Br and AtNorM-MD together), rounded."""
