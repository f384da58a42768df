"""What an OME-Zarr group says of itself (NGFF 0.1 to 0.5): its axes, its levels and how large their pixels are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wsiamf.errors import UnsupportedSlideError

_UM_PER_UNIT: Final = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "micron": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
_OLD_AXES: Final = "tczyx"  # of versions 0.1 and 0.2, which name none
_OLD_VERSIONS: Final = frozenset({"0.1", "0.2"})
_KNOWN_AXES: Final = frozenset("tczyx")
_RGB: Final = ("FF0000", "00FF00", "0000FF")


@dataclass(frozen=True)
class NgffLevel:
    """One dataset of a multiscale picture.

    Args:
        path: Its array's path in the group.
        scale_xy: Size of a pixel along x and y in the axes' unit; None where nothing is stated.
    """

    path: str
    scale_xy: tuple[float, float] | None


@dataclass(frozen=True)
class Multiscale:
    """A multiscale picture.

    Args:
        axes: Names of the axes (t, c, z, y, x) in the arrays' order.
        um_per_unit_xy: um per unit of ``NgffLevel.scale_xy``; None where the axes state no unit of length.
        levels: As listed, finest first by the specification.
    """

    axes: tuple[str, ...]
    um_per_unit_xy: tuple[float, float] | None
    levels: tuple[NgffLevel, ...]

    @property
    def mpp_xy(self) -> tuple[float, float] | None:
        """um per px of the first level along x and y; None where scale or unit are missing."""
        scale, unit = self.levels[0].scale_xy, self.um_per_unit_xy
        return None if scale is None or unit is None else (scale[0] * unit[0], scale[1] * unit[1])


def ngff_metadata(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a group's attributes that NGFF defines: under ``ome`` from 0.5 on, else the attributes themselves."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def parse_multiscale(name: str, metadata: Mapping[str, Any]) -> Multiscale:
    """The first multiscale picture of a group.

    Args:
        name: The slide, for messages.
        metadata: What ``ngff_metadata`` gives.

    Raises:
        UnsupportedSlideError: There is none, or it is not as the specification has it, or its channels are no RGB.
    """
    try:
        first = metadata["multiscales"][0]
        axes = _axes(first)
        names = tuple(axis["name"] for axis in axes)
        common = _scale_xy(first.get("coordinateTransformations"), names)
        levels = tuple(_level(dataset, names, common) for dataset in first["datasets"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnsupportedSlideError(
            f"{name}: no OME-Zarr picture, since its `multiscales` are missing or malformed ({_reason(error)}); "
            "name a store of NGFF 0.4 or 0.5, or convert it again."
        ) from error
    _refuse_axes(name, names)
    _refuse_false_colours(name, metadata)
    if not levels:
        raise UnsupportedSlideError(f"{name}: its `multiscales` list no dataset; convert it again.")
    return Multiscale(names, _um_per_unit_xy(axes), levels)


def _axes(multiscale: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Axes as 0.4 writes them; 0.3 lists their names alone, versions before it mean t, c, z, y, x."""
    if "axes" not in multiscale and multiscale.get("version") in _OLD_VERSIONS:
        return [{"name": name} for name in _OLD_AXES]
    return [{"name": axis} if isinstance(axis, str) else dict(axis) for axis in multiscale["axes"]]


def _level(dataset: Mapping[str, Any], axes: Sequence[str], common: tuple[float, float] | None) -> NgffLevel:
    own = _scale_xy(dataset.get("coordinateTransformations"), axes)
    path = dataset["path"]
    if not isinstance(path, str):
        raise TypeError("a dataset's path is no text")
    if own is None or common is None:
        return NgffLevel(path, own or common)
    return NgffLevel(path, (own[0] * common[0], own[1] * common[1]))


def _scale_xy(transformations: Sequence[Mapping[str, Any]] | None, axes: Sequence[str]) -> tuple[float, float] | None:
    """(x, y) of the product of all scalings; None where there is none that stands in the metadata itself."""
    found = [one["scale"] for one in transformations or () if one.get("type") == "scale" and "scale" in one]
    if not found:
        return None
    x, y = (math.prod(float(scale[axes.index(axis)]) for scale in found) for axis in "xy")
    return x, y


def _um_per_unit_xy(axes: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    units = {axis["name"]: axis.get("unit") for axis in axes}
    x, y = (_UM_PER_UNIT.get(str(units[axis])) for axis in "xy")
    return None if x is None or y is None else (x, y)


def _refuse_axes(name: str, axes: Sequence[str]) -> None:
    if len(set(axes)) == len(axes) and {"y", "x"} <= set(axes) <= _KNOWN_AXES:
        return
    raise UnsupportedSlideError(
        f"{name}: has the axes {', '.join(map(str, axes))}, where a slide has y, x, channels c, and t and z of length 1; "
        "save one plane by itself."
    )


def _refuse_false_colours(name: str, metadata: Mapping[str, Any]) -> None:
    """Raise where three channels are shown in colours of their own, as fluorescence is."""
    omero = metadata.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list) or len(channels) != len(_RGB):
        return
    stated = tuple(str(channel.get("color", "")).upper() for channel in channels if isinstance(channel, Mapping))
    if len(set(stated)) == len(_RGB) and stated != _RGB:
        raise UnsupportedSlideError(
            f"{name}: its channels are shown in the colours {', '.join(stated)}, so they are not the red, green and blue of "
            "a stained slide; save it as RGB."
        )


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
