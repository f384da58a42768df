"""Crops round candidates: level choice, resampling, edge padding, batches; and crop images from files.

Shapes: N = crops, S = crop side in px. Crops are RGB uint8 at the model's mpp; what lies outside the slide is white.
"""

from wsiamf.crops.pixels import crop_hash, paint_padding_white, read_crop_image, sharpness
from wsiamf.crops.plan import CROP_PX, ReadingPlan, plan_reading
from wsiamf.crops.reading import CropBatch, iter_crops, read_crop

__all__ = [
    "CROP_PX",
    "CropBatch",
    "ReadingPlan",
    "crop_hash",
    "iter_crops",
    "paint_padding_white",
    "plan_reading",
    "read_crop",
    "read_crop_image",
    "sharpness",
]
