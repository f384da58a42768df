"""OME-TIFF files and OME-Zarr stores of known pixels, written with tifffile and zarr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

Levels = Sequence[NDArray[np.uint8]]


def halves(pixels: NDArray[np.uint8], levels: int = 3) -> tuple[NDArray[np.uint8], ...]:
    """Every second pixel of the level above, not averaged, so that each still names its place."""
    return tuple(np.ascontiguousarray(pixels[:: 2**level, :: 2**level]) for level in range(levels))


def write_ome_zarr(
    folder: Path,
    levels: Levels,
    *,
    version: str = "0.4",
    axes: str = "tczyx",
    scale: tuple[float, float] = (0.25, 0.25),
    unit: str | None = "micrometer",
    chunk: int = 64,
    shard: int | None = None,
    compressor: Any = "auto",
    metadata: Mapping[str, Any] | None = None,
    **array_options: Any,
) -> Path:
    """Write a store: Zarr 2 for NGFF up to 0.4, Zarr 3 from 0.5 on.

    Args:
        folder: Its root.
        levels: Pixels of each level, (height, width, 3) or, without an axis c, (height, width).
        version: Of NGFF.
        axes: In the arrays' order.
        scale: Size of a level-0 pixel along x and y.
        unit: Of ``scale``; None states none.
        chunk: Side of a chunk in px; all channels stand in one where c is the last axis, else each in its own.
        shard: Side of a shard in px; None for no sharding.
        compressor: As of zarr's ``create_array``.
        metadata: Further or other entries of the metadata.
        array_options: Passed on to zarr's ``create_array``.
    """
    group = zarr.open_group(folder, mode="w", zarr_format=3 if version >= "0.5" else 2)
    datasets = []
    for number, pixels in enumerate(levels):
        data = _arranged(pixels, axes)
        array = group.create_array(
            str(number),
            shape=data.shape,
            dtype=data.dtype,
            chunks=_blocks(axes, data.shape, chunk),
            shards=None if shard is None else _blocks(axes, data.shape, shard),
            compressors=compressor,
            **array_options,
        )
        array[...] = data
        factors = {"x": scale[0] * 2**number, "y": scale[1] * 2**number}
        datasets.append(
            {
                "path": str(number),
                "coordinateTransformations": [{"type": "scale", "scale": [factors.get(axis, 1.0) for axis in axes]}],
            }
        )
    described = {
        "version": version,
        "multiscales": [{"axes": [_axis(axis, unit) for axis in axes], "datasets": datasets, "version": version}],
    } | dict(metadata or {})
    group.attrs.update({"ome": described} if version >= "0.5" else described)
    return folder


def _axis(axis: str, unit: str | None) -> dict[str, str]:
    kind = {"t": "time", "c": "channel"}.get(axis, "space")
    return {"name": axis, "type": kind} | ({"unit": unit} if unit and kind == "space" else {})


def _arranged(pixels: NDArray[np.uint8], axes: str) -> NDArray[np.uint8]:
    """(height, width, 3) in the axes' order."""
    own = "yxc"[: pixels.ndim]
    moved = pixels.transpose([own.index(axis) for axis in axes if axis in own])
    for position, axis in enumerate(axes):
        if axis not in own:
            moved = np.expand_dims(moved, position)
    return moved


def _blocks(axes: str, shape: tuple[int, ...], side: int) -> tuple[int, ...]:
    return tuple(
        side if axis in "xy" else length if axis == "c" and axes.endswith("c") else 1
        for axis, length in zip(axes, shape, strict=True)
    )


def write_ome_tiff(
    path: Path,
    levels: Levels,
    *,
    mpp: tuple[float, float] | None = (0.25, 0.25),
    unit: str = "µm",
    planar: bool = False,
    **page_options: Any,
) -> Path:
    """Write an RGB OME-TIFF by tifffile, its pyramid in SubIFDs.

    Args:
        path: The file.
        levels: Pixels of each level, (height, width, 3).
        mpp: Physical size of a level-0 px along x and y in ``unit``; None states none.
        unit: Of ``mpp``.
        planar: Whether red, green and blue lie in planes of their own.
        page_options: Passed on to ``TiffWriter.write`` for every page.
    """
    options = {"photometric": "rgb", "tile": (64, 64), "compression": "deflate"} | page_options
    if planar:
        options["planarconfig"] = "separate"
    stated: dict[str, Any] = {} if mpp is None else dict(zip(("PhysicalSizeX", "PhysicalSizeY"), mpp, strict=True))
    if stated:
        stated |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    metadata = {"axes": "CYX" if planar else "YXS"} | stated
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number, pixels in enumerate(levels):
            data = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planar else pixels
            if number == 0:
                writer.write(data, subifds=len(levels) - 1, metadata=metadata, **options)
            else:
                writer.write(data, subfiletype=1, metadata=None, **options)
    return path


def write_pages_ome_tiff(
    path: Path,
    pixels: NDArray[Any],
    *,
    names: Sequence[str] = ("Red", "Green", "Blue"),
    sizes: Mapping[str, int] | None = None,
    pyramid: int = 1,
) -> Path:
    """Write an OME-TIFF whose channels are pages of grey, as Bio-Formats writes them.

    Args:
        path: The file.
        pixels: (channels, height, width).
        names: Of the channels.
        sizes: Other sizes than the pixels' to state, such as ``SizeZ``.
        pyramid: Number of levels, each every second pixel of the one before, in each page's SubIFDs.
    """
    stated = {"SizeX": pixels.shape[2], "SizeY": pixels.shape[1], "SizeC": pixels.shape[0], "SizeZ": 1, "SizeT": 1}
    attributes = " ".join(f'{key}="{value}"' for key, value in (stated | dict(sizes or {})).items())
    channels = "".join(
        f'<Channel ID="Channel:0:{i}" Name={quoteattr(name)} SamplesPerPixel="1"/>' for i, name in enumerate(names)
    )
    planes = "".join(f'<TiffData FirstC="{i}" IFD="{i}" PlaneCount="1"/>' for i in range(pixels.shape[0]))
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name="slide"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="{pixels.dtype}" {attributes} '
        f'PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="250" PhysicalSizeYUnit="nm">{channels}{planes}'
        "</Pixels></Image></OME>"
    )
    options: dict[str, Any] = {
        "photometric": "minisblack",
        "tile": (64, 64),
        "metadata": None,
        "compression": "deflate",
    }
    with tifffile.TiffWriter(path) as writer:
        for number, plane in enumerate(pixels):
            writer.write(
                np.ascontiguousarray(plane),
                description=xml.encode() if number == 0 else None,
                subifds=pyramid - 1,
                **options,
            )
            for level in range(1, pyramid):
                writer.write(np.ascontiguousarray(plane[:: 2**level, :: 2**level]), subfiletype=1, **options)
    return path
