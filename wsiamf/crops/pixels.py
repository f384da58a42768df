"""What is done to the pixels of crops, wherever they come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsiamf.slides.images import read_image


def paint_padding_white(crops_NSS3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint border rows and columns that are wholly zero white: the data sets pad with black, slides with glass.

    Args:
        crops_NSS3: Crops, (N, S, S, 3); not changed.
    """
    painted = crops_NSS3.copy()
    filled_NSS = (crops_NSS3 != 0).any(axis=3)
    for crop, filled in zip(painted, np.asarray(filled_NSS), strict=True):
        for along in (0, 1):
            line_filled = filled.any(axis=1 - along)
            first = int(np.argmax(line_filled)) if line_filled.any() else len(line_filled)
            last = len(line_filled) - int(np.argmax(line_filled[::-1]))
            lines = crop if along == 0 else crop.transpose(1, 0, 2)
            lines[:first] = 255
            lines[last:] = 255
    return painted


def read_crop_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file that holds one crop: (height, width, 3), RGB uint8.

    Raises:
        CropError: It is missing or no readable image; names the file.
    """
    return read_image(path)


def crop_hash(crop_SS3: NDArray[np.uint8]) -> str:
    """First 16 hex digits of the sha256 of a crop's pixels, as ``TrainingData.crops`` holds it."""
    return hashlib.sha256(np.ascontiguousarray(crop_SS3).tobytes()).hexdigest()[:16]


def sharpness(crops_NSS3: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Variance of the Laplacian of each crop's grey values (means of R, G and B), (N,): low where a crop is out of focus."""
    # Sums of three bytes and their Laplacian fit 16-bit integers, which is several times as fast as floats.
    sums = crops_NSS3[..., 0].astype(np.int16)
    for channel in (1, 2):
        sums += crops_NSS3[..., channel]
    laplacian = -4 * sums[:, 1:-1, 1:-1]
    for neighbours in (sums[:, :-2, 1:-1], sums[:, 2:, 1:-1], sums[:, 1:-1, :-2], sums[:, 1:-1, 2:]):
        laplacian += neighbours
    n, height, width = laplacian.shape
    values_NP = laplacian.reshape(n, height * width).astype(np.float32)
    mean_square = np.einsum("np,np->n", values_NP, values_NP).astype(np.float64) / (height * width)
    variance: NDArray[np.float64] = (mean_square - values_NP.mean(axis=1, dtype=np.float64) ** 2) / 9
    return variance
