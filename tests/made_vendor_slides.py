"""Small slides of known pixels in scanner vendors' formats, made so that OpenSlide takes them for the vendor's.

They follow what OpenSlide reads of each format, and hold no more than that: no label, no macro image where none is needed.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

Levels = Sequence[NDArray[np.uint8]]

_TILE = 64
_XMP = 700
_SLIDE_ID = "0123456789ABCDEF0123456789ABCDEF"


def write_scn(
    path: Path, levels: Levels, *, mpp: float = 0.25, offset: tuple[int, int] = (0, 0), whole: tuple[int, int]
) -> Path:
    """Write a Leica SCN: BigTIFF whose XML places one scanned area on the slide.

    Args:
        path: The file.
        levels: Pixels of each level of the area.
        mpp: um per level-0 px.
        offset: Upper left corner of the area on level 0, in px.
        whole: (width, height) of level 0 in px, of which the area is a part.
    """
    nm = round(mpp * 1000)
    height, width = levels[0].shape[:2]
    dimensions = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{number}" ifd="{number}"/>'
        for number, level in enumerate(levels)
    )
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection sizeX="{whole[0] * nm}" sizeY="{whole[1] * nm}"><barcode></barcode><image>'
        '<creationDate>2025-01-01T00:00:00Z</creationDate><device model="made" version="1"/>'
        f'<view sizeX="{width * nm}" sizeY="{height * nm}" offsetX="{offset[0] * nm}" offsetY="{offset[1] * nm}"/>'
        f'<pixels sizeX="{width}" sizeY="{height}">{dimensions}</pixels><scanSettings><objectiveSettings>'
        "<objective>40</objective></objectiveSettings><illuminationSettings><numericalAperture>0.65</numericalAperture>"
        "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image></collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for number, level in enumerate(levels):
            _write_page(writer, level, mpp * 2**number, description=xml if number == 0 else None)
    return path


def write_philips(path: Path, levels: Levels, *, mpp: float = 0.25) -> Path:
    """Write a Philips TIFF, whose XML states the pixel spacing of each level in mm."""
    spacings = [f'"{mpp * 2**number / 1000:.6f}" "{mpp * 2**number / 1000:.6f}"' for number in range(len(levels))]
    representations = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        f'<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" Element="0x0030" PMSVR="IDoubleArray">{spacing}</Attribute>'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_NUMBER">{number}</Attribute></DataObject>'
        for number, spacing in enumerate(spacings)
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">'
        f'<Attribute Name="DICOM_PIXEL_SPACING">{spacings[0]}</Attribute>'
        '<Attribute Name="DICOM_DERIVATION_DESCRIPTION">tiff-useBigTIFF=0-levels=40,10002</Attribute>'
        '<Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{representations}</Array></Attribute>'
        "</DataObject></Array></Attribute></DataObject>"
    )
    with tifffile.TiffWriter(path) as writer:
        for number, level in enumerate(levels):
            _write_page(
                writer,
                level,
                None,
                description=xml if number == 0 else f"level={number} mag=10 quality=80",
                software="Philips DP v1.0",
                subfiletype=int(number > 0),
            )
    return path


def write_ventana(path: Path, levels: Levels, *, mpp: float = 0.25) -> Path:
    """Write a Ventana BIF of one area without overlaps, whose sides are whole tiles."""
    height, width = levels[0].shape[:2]
    columns, rows = width // _TILE, height // _TILE
    joints = "".join(_ventana_joint(column, row, columns) for row in range(rows) for column in range(columns))
    scanned = (
        f'<EncodeInfo Ver="2"><SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" Width="{_TILE}" Height="{_TILE}" '
        f'NumRows="{rows}" NumCols="{columns}" Pos-X="0" Pos-Y="0">{joints}</ImageInfo></SlideStitchInfo>'
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    scan = f'<iScan Magnification="40" ScanRes="{mpp}" Z-layers="1" ScannerModel="made"/>'
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        macro = np.full((_TILE, _TILE, 3), 200, np.uint8)
        _write_page(writer, macro, None, description="Label Image", extratags=[_xmp(scan)])
        for number, level in enumerate(levels):
            description = f"level={number} mag={40 / 2**number:g} quality=90"
            extratags = [_xmp(scanned)] if number == 0 else []
            _write_page(writer, level, None, description=description, extratags=extratags)
    return path


def _ventana_joint(column: int, row: int, columns: int) -> str:
    """Joints of a tile with those to its right and above it; tiles are numbered from below, every other row backwards."""

    def number(at_column: int, at_row: int) -> int:
        return at_row * columns + (columns - at_column if at_row % 2 else at_column + 1)

    text = ""
    if column + 1 < columns:
        text += _joint(number(column, row), number(column + 1, row), "RIGHT")
    if row > 0:
        text += _joint(number(column, row - 1), number(column, row), "UP")
    return text


def _joint(first: int, second: int, direction: str) -> str:
    return (
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{direction}" Tile1="{first}" Tile2="{second}" '
        'OverlapX="0" OverlapY="0"/>'
    )


def write_trestle(path: Path, levels: Levels, *, mpp: float = 0.25) -> Path:
    """Write a Trestle TIFF, whose resolution tags hold um per px as they are."""
    description = "Objective Power=40;Background Color=FFFFFF;OverlapsXY= " + " ".join(["0 0"] * len(levels))
    with tifffile.TiffWriter(path) as writer:
        for level in levels:
            _write_page(
                writer,
                level,
                None,
                software="MedScan",
                description=description,
                resolution=(mpp, mpp),
                resolutionunit="NONE",
            )
    return path


def _write_page(writer: tifffile.TiffWriter, pixels: NDArray[np.uint8], mpp: float | None, **options: Any) -> None:
    stated = {} if mpp is None else {"resolution": (10_000 / mpp, 10_000 / mpp), "resolutionunit": "CENTIMETER"}
    writer.write(
        np.ascontiguousarray(pixels),
        photometric="rgb",
        tile=(_TILE, _TILE),
        compression="deflate",
        metadata=None,
        **(stated | options),
    )


def _xmp(text: str) -> tuple[int, str, int, bytes, bool]:
    data = text.encode()
    return (_XMP, "B", len(data), data, True)


def write_ndpi(path: Path, jpegs: Sequence[tuple[bytes, tuple[int, int]]], *, mpp: float = 0.25) -> Path:
    """Write a Hamamatsu NDPI: a TIFF of 64-bit offsets under the old version number, one JPEG a level.

    Args:
        path: The file.
        jpegs: The stream of each level with its (width, height).
        mpp: um per level-0 px.
    """
    data = bytearray(struct.pack("<2sHQ", b"II", 42, 0))
    places = []
    for stream, _ in jpegs:
        places.append(len(data))
        data += stream + b"\0" * (len(stream) % 2)
    pointer = 4  # of the first directory
    for number, ((stream, (width, height)), place) in enumerate(zip(jpegs, places, strict=True)):
        resolution = len(data)
        data += struct.pack("<2I", round(10_000 / (mpp * 2**number)), 1)
        maker = len(data)
        data += b"Hamamatsu\0"
        bits = len(data)
        data += struct.pack("<3H", 8, 8, 8)
        starts = _restart_places(stream)
        listed = len(data)
        data += struct.pack(f"<{len(starts)}I", *starts)
        entries = [
            (256, 4, struct.pack("<I", width)),
            (257, 4, struct.pack("<I", height)),
            (258, 3, struct.pack("<I", bits), 3),
            (259, 3, struct.pack("<H", 7)),
            (262, 3, struct.pack("<H", 6)),
            (271, 2, struct.pack("<I", maker), 10),
            (273, 4, struct.pack("<I", place)),
            (277, 3, struct.pack("<H", 3)),
            (278, 4, struct.pack("<I", height)),
            (279, 4, struct.pack("<I", len(stream))),
            (282, 5, struct.pack("<I", resolution)),
            (283, 5, struct.pack("<I", resolution)),
            (296, 3, struct.pack("<H", 3)),
            (65420, 4, struct.pack("<I", 1)),
            (65421, 11, struct.pack("<f", 40.0 / 2**number)),
            (65422, 9, struct.pack("<i", 1_000_000)),
            (65423, 9, struct.pack("<i", -2_000_000)),
            (65424, 9, struct.pack("<i", 0)),
            (65426, 4, struct.pack("<I", listed), len(starts)),
        ]
        struct.pack_into("<Q", data, pointer, len(data))
        data += struct.pack("<H", len(entries))
        data += b"".join(
            struct.pack("<HHI4s", tag, kind, *(count or [1]), value) for tag, kind, value, *count in entries
        )
        pointer = len(data)
        data += bytes(8 + 4 * len(entries))  # the next directory, then the high halves of this one's offsets
    path.write_bytes(data)
    return path


def _restart_places(stream: bytes) -> list[int]:
    """Where the data of each restart interval begin in a JPEG."""
    scan = stream.index(b"\xff\xda")
    first = scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4], "big")
    return [first, *(first + found.end() for found in re.finditer(rb"\xff[\xd0-\xd7]", stream[first:]))]


def jpeg_stream(pixels: NDArray[np.uint8], *, restart_blocks: int = 0) -> bytes:
    """A JPEG of full chroma resolution, with a restart marker every so many blocks of 8 x 8 px."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, subsampling=0, restart_marker_blocks=restart_blocks)
    return stream.getvalue()


def decoded(stream: bytes) -> NDArray[np.uint8]:
    """A JPEG's pixels by Pillow."""
    return np.array(Image.open(io.BytesIO(stream)).convert("RGB"))


def write_vms(path: Path, image: bytes, overview: bytes, *, width_nm: int, height_nm: int) -> list[Path]:
    """Write a Hamamatsu VMS: an index beside two JPEGs, which are its two levels.

    Returns:
        The index and the JPEGs.
    """
    parts = [path, path.parent / "image.jpg", path.parent / "map.jpg"]
    parts[1].write_bytes(image)
    parts[2].write_bytes(overview)
    path.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\nImageFile=image.jpg\nMapFile=map.jpg\n"
        f"PhysicalWidth={width_nm}\nPhysicalHeight={height_nm}\nSourceLens=40\n"
        "XOffsetFromSlideCentre=1000000\nYOffsetFromSlideCentre=-2000000\n"
    )
    return parts


def write_mrxs(
    path: Path, levels: Levels, *, mpp: float = 0.25, tile: int = _TILE, first: tuple[int, int] = (0, 0)
) -> Path:
    """Write a 3DHISTECH MRXS of PNG tiles without overlaps.

    Args:
        path: The ``.mrxs``; its data lie in the folder of its stem.
        levels: Pixels of each level, whose sides are whole tiles of the coarsest one.
        mpp: um per level-0 px.
        tile: Side of a tile in px.
        first: (column, row) of the first tile that is written; what comes before was not scanned.
    """
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(b"\xff\xd8\xff\xd9")
    data = bytearray()
    pages: list[list[tuple[int, int, int]]] = []
    columns, rows = levels[0].shape[1] // tile, levels[0].shape[0] // tile
    for number, level in enumerate(levels):
        step = 2**number
        page = []
        for row in range(first[1], rows, step):
            for column in range(first[0], columns, step):
                y, x = row // step * tile, column // step * tile
                stream = io.BytesIO()
                Image.fromarray(np.ascontiguousarray(level[y : y + tile, x : x + tile])).save(stream, "PNG")
                page.append((row * columns + column, len(data), len(stream.getvalue())))
                data += stream.getvalue()
        pages.append(page)
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_mrxs_index(pages))
    (folder / "Slidedat.ini").write_text(_mrxs_ini(len(levels), (columns, rows), mpp, tile), encoding="utf-8-sig")
    return path


def _mrxs_index(pages: Sequence[Sequence[tuple[int, int, int]]]) -> bytes:
    """Version, id, two roots; then of each level a list of pages, here one, of (image, offset, length, file)."""
    head = ("01.02" + _SLIDE_ID).encode()
    table = len(head) + 8
    records = table + 4 * len(pages)
    data = bytearray(head + struct.pack("<2i", table, 0) + bytes(4 * len(pages)))
    assert len(data) == records
    for number, page in enumerate(pages):
        struct.pack_into("<i", data, table + 4 * number, len(data))
        data += struct.pack("<2i", 0, len(data) + 8)
        data += struct.pack("<2i", len(page), 0)
        data += b"".join(struct.pack("<4i", *image, 0) for image in page)
    return bytes(data)


def _mrxs_ini(n_levels: int, images: tuple[int, int], mpp: float, tile: int) -> str:
    groups: dict[str, Mapping[str, object]] = {
        "GENERAL": {
            "SLIDE_VERSION": "01.02",
            "SLIDE_ID": _SLIDE_ID,
            "IMAGENUMBER_X": images[0],
            "IMAGENUMBER_Y": images[1],
            "OBJECTIVE_MAGNIFICATION": 40,
            "CameraImageDivisionsPerSide": 1,
        },
        "HIERARCHICAL": {
            "INDEXFILE": "Index.dat",
            "HIER_COUNT": 1,
            "NONHIER_COUNT": 0,
            "HIER_0_NAME": "Slide zoom level",
            "HIER_0_COUNT": n_levels,
            **{f"HIER_0_VAL_{level}_SECTION": f"LAYER_0_LEVEL_{level}_SECTION" for level in range(n_levels)},
        },
        "DATAFILE": {"FILE_COUNT": 1, "FILE_0": "Data0000.dat"},
    }
    for level in range(n_levels):
        groups[f"LAYER_0_LEVEL_{level}_SECTION"] = {
            "OVERLAP_X": 0,
            "OVERLAP_Y": 0,
            "MICROMETER_PER_PIXEL_X": mpp * 2**level,
            "MICROMETER_PER_PIXEL_Y": mpp * 2**level,
            "IMAGE_FORMAT": "PNG",
            "IMAGE_FILL_COLOR_BGR": 0xFFFFFF,
            "DIGITIZER_WIDTH": tile,
            "DIGITIZER_HEIGHT": tile,
            "IMAGE_CONCAT_FACTOR": int(level > 0),
        }
    return "".join(
        f"[{group}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items()) for group, keys in groups.items()
    )
