"""The table of docs/slides.md: every line that claims to be checked is made or at hand, and opens as the line says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests import test_slides_backends, test_slides_formats, test_slides_vendors
from tests.coordinate_slide import coordinate_coded, write_plain_tiff, write_pyramid_tiff
from tests.made_dicom import JPEG_LS_LOSSLESS, write_dicom_slide
from tests.made_ome import halves, write_ome_tiff, write_ome_zarr
from tests.made_vendor_slides import (
    jpeg_stream,
    write_mrxs,
    write_ndpi,
    write_philips,
    write_scn,
    write_trestle,
    write_ventana,
    write_vms,
)
from tests.slide_contract import SlideContract
from wsiamf.slides import open_slide

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "slides.md").read_text("utf-8")
PIXELS = coordinate_coded(256, 192)
LEVELS = halves(PIXELS, 2)
STREAMS = [jpeg_stream(level, restart_blocks=8) for level in LEVELS]
REAL, MADE, NOT_AT_ALL = "real files", "made files", "not at all"


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    format: str
    name: str
    backend: str
    pixels: str
    mpp_from: str
    checked_on: str


def lines() -> list[Line]:
    rows = re.findall(r"^\| (.*) \|$", PAGE, flags=re.MULTILINE)
    cells = [row.replace("`", "").split(" | ") for row in rows]
    return [Line(*row) for row in cells if row[0] not in ("format", "---")]


def picture(path: Path) -> Path:
    Image.fromarray(PIXELS).save(path, dpi=(101_600, 101_600) if path.suffix != ".jpg" else (50_800, 50_800))
    return path


def dicom(folder: Path, syntax: str) -> Path:
    write_dicom_slide(folder, LEVELS, syntax=syntax)
    return folder


def ndpi(path: Path) -> Path:
    return write_ndpi(path, [(stream, level.shape[1::-1]) for stream, level in zip(STREAMS, LEVELS, strict=True)])


MADE_BY: dict[str, Callable[[Path], Path]] = {
    "plain TIFF": lambda folder: write_plain_tiff(folder / "a.tif", PIXELS),
    "OME-TIFF": lambda folder: write_ome_tiff(folder / "a.ome.tif", LEVELS),
    "OME-Zarr 0.4": lambda folder: write_ome_zarr(folder / "a.zarr", LEVELS),
    "OME-Zarr 0.5": lambda folder: write_ome_zarr(folder / "a.zarr", LEVELS, version="0.5", axes="cyx"),
    "DICOM that OpenSlide refuses": lambda folder: dicom(folder / "series", JPEG_LS_LOSSLESS),
    "3DHISTECH MRXS": lambda folder: write_mrxs(folder / "a.mrxs", halves(coordinate_coded(256, 256), 2)),
    "Hamamatsu NDPI": lambda folder: ndpi(folder / "a.ndpi"),
    "Hamamatsu VMS": lambda folder: write_vms(folder / "a.vms", *STREAMS, width_nm=64_000, height_nm=48_000)[0],
    "Leica SCN": lambda folder: write_scn(folder / "a.scn", LEVELS, whole=(300, 200)),
    "Philips TIFF": lambda folder: write_philips(folder / "a.tiff", LEVELS),
    "Ventana BIF": lambda folder: write_ventana(folder / "a.bif", LEVELS),
    "Trestle TIFF": lambda folder: write_trestle(folder / "a.tif", LEVELS),
    "PNG": lambda folder: picture(folder / "a.png"),
    "JPEG": lambda folder: picture(folder / "a.jpg"),
    "BMP": lambda folder: picture(folder / "a.bmp"),
}
REAL_FILES = {"Aperio SVS": "CMU-1-Small-Region.svs", "tiled TIFF": "boxes.tiff", "DICOM": "boxes_0.dcm"}
CONTRACTS = {
    "Aperio SVS": test_slides_backends.TestAperio,
    "tiled TIFF": test_slides_backends.TestGenericTiff,
    "plain TIFF": test_slides_backends.TestPlainStrips,
    "OME-TIFF": test_slides_formats.TestOmeTiff,
    "OME-Zarr 0.4": test_slides_formats.TestOmeZarr04Blosc,
    "OME-Zarr 0.5": test_slides_formats.TestOmeZarr05Sharded,
    "DICOM": test_slides_backends.TestDicom,
    "DICOM that OpenSlide refuses": test_slides_formats.TestDicomThatOpenSlideRefuses,
    "3DHISTECH MRXS": test_slides_vendors.TestMiraxWithBounds,
    "Hamamatsu NDPI": test_slides_vendors.TestHamamatsuNdpi,
    "Hamamatsu VMS": test_slides_vendors.TestHamamatsuVms,
    "Leica SCN": test_slides_vendors.TestLeicaWithBounds,
    "Philips TIFF": test_slides_vendors.TestPhilips,
    "Ventana BIF": test_slides_vendors.TestVentana,
    "Trestle TIFF": test_slides_vendors.TestTrestle,
    "PNG": test_slides_formats.TestPng,
    "JPEG": test_slides_formats.TestJpeg,
    "BMP": test_slides_formats.TestBmp,
}


def test_each_line_is_checked_on_what_it_says() -> None:
    by_word = {word: {line.format for line in lines() if line.checked_on == word} for word in (REAL, MADE, NOT_AT_ALL)}
    assert by_word[REAL] == set(REAL_FILES)
    assert by_word[MADE] == set(MADE_BY)
    assert by_word[NOT_AT_ALL]
    assert sum(map(len, by_word.values())) == len(lines()) == len({line.format for line in lines()})


def test_each_checked_line_has_the_contract() -> None:
    assert set(CONTRACTS) == {line.format for line in lines() if line.checked_on != NOT_AT_ALL}
    assert all(issubclass(contract, SlideContract) for contract in CONTRACTS.values())
    assert len(set(CONTRACTS.values())) == len(CONTRACTS)


@pytest.mark.parametrize("line", [line for line in lines() if line.checked_on == MADE], ids=lambda line: line.format)
def test_a_made_file_opens_as_the_line_says(line: Line, tmp_path: Path) -> None:
    check(line, MADE_BY[line.format](tmp_path))


@pytest.mark.parametrize("line", [line for line in lines() if line.checked_on == REAL], ids=lambda line: line.format)
def test_a_real_file_opens_as_the_line_says(line: Line, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "slides" / REAL_FILES[line.format]
    if line.format == "tiled TIFF":  # the real one states 72 dpi, which is refused
        with open_slide(path) as slide:
            assert (slide.backend, slide.mpp_source) == (line.backend, "none")
        path = write_pyramid_tiff(tmp_path / "a.tif", PIXELS)
    check(line, path)


def check(line: Line, path: Path) -> None:
    with open_slide(path) as slide:
        assert slide.backend == line.backend
        assert (slide.tiles(0) is not None) == (line.pixels == "raw tiles")
        assert line.pixels in ("raw tiles", "regions")
        assert slide.mpp_source == line.mpp_from
    assert path.is_file() or "folder" in line.name
