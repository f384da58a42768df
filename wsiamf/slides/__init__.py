"""Slides and crop images: what opens them, and one interface over the libraries that read them."""

from __future__ import annotations

from wsiamf.slides.facts import slide_facts
from wsiamf.slides.images import read_image
from wsiamf.slides.interface import Slide, TileGrid, Tiles
from wsiamf.slides.opening import open_slide, read_fingerprint, refuse_unreadable_address
from wsiamf.slides.parts import dicom_series, dicom_slides, is_ome_zarr, is_slide_folder
from wsiamf.slides.waiting import work_through

__all__ = [
    "Slide",
    "TileGrid",
    "Tiles",
    "dicom_series",
    "dicom_slides",
    "is_ome_zarr",
    "is_slide_folder",
    "open_slide",
    "read_fingerprint",
    "read_image",
    "refuse_unreadable_address",
    "slide_facts",
    "work_through",
]
