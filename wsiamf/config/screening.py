"""Options of a screening."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from wsiamf.config.base import Fraction, Frozen, Positive
from wsiamf.errors import ConfigError, problem_line


class ScreenOptions(Frozen):
    """What a user may choose of a screening; every field changes what is written, and all of them go into ``run.json``."""

    threshold: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["balanced", "count"] = "count"
    """On the calibrated ``p_atypical``: one of the bundle's, or a number."""
    conformal_error: Annotated[float, Field(ge=0.01, le=0.5)] = 0.1
    """Share of either class that the column ``conformal`` may call the other class."""
    mpp: Positive | None = None
    """um per level-0 px, in place of the slide's own."""
    points_format: str | None = None
    points_frame: Literal["auto", "level0", "qupath"] = "auto"
    points_unit: Literal["auto", "px", "um", "mm"] = "auto"
    points_scale: Positive = 1.0
    points_swap_xy: bool = False
    points_flip_y: bool = False
    force: bool = False
    """Go on where the points do not fit the slide."""
    min_score: float | None = None
    merge_um: Annotated[float, Field(ge=0.0)] = 7.5
    include_non_mitotic: bool = False
    skip_bad_points: bool = False
    raters: tuple[str, ...] | None = None
    """Persons in the points file whose AMF and NMF labels are votes; None: the experts of formats that name experts."""
    include_classes: tuple[str, ...] = ("Tumor",)
    """Region classes that count (unclassified regions do as well)."""
    exclude_classes: tuple[str, ...] = ("Necrosis", "Ulcer", "Ignore*")
    hotspot_mm2: Positive = 2.37
    max_unreadable: Fraction = 0.01
    """Share of candidates whose pixels may fail to decode before the slide fails."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the contact sheet's random crops and of every bootstrap."""
    gzip_geojson: bool = False
    """Write ``*.geojson.gz``, which QuPath opens too, in place of ``*.geojson``."""
    report: bool = True
    """Write ``report.html``."""


def parse_screen_options(values: dict[str, Any]) -> ScreenOptions:
    """Check options given by name.

    Raises:
        ConfigError: An unknown option or a wrong value; names it.
    """
    try:
        return ScreenOptions.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"options: {problem_line(error.errors())}.") from error
