"""Where figures count: regions of interest drawn in QuPath, or else a tissue mask; shapely geometry in level-0 px."""

from __future__ import annotations

from wsiamf.regions.named import NamedRegion, check_named_regions, read_named_regions
from wsiamf.regions.qupath import DEFAULT_EXCLUDE, DEFAULT_INCLUDE, read_regions
from wsiamf.regions.region import Region
from wsiamf.regions.tissue import region_of_mask, tissue_mask, tissue_region

__all__ = [
    "DEFAULT_EXCLUDE",
    "DEFAULT_INCLUDE",
    "NamedRegion",
    "Region",
    "check_named_regions",
    "read_named_regions",
    "read_regions",
    "region_of_mask",
    "tissue_mask",
    "tissue_region",
]
