"""Stacks of crops in one file: multi-page TIFF through tifffile, MetaImage (.mha) through SimpleITK."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from wsiamf.errors import CropError, UnsupportedSlideError
from wsiamf.slides.images import MAX_PIXELS
from wsiamf.slides.interface import WHITE
from wsiamf.slides.resolution import TIFF_TAG, Resolution
from wsiamf.slides.tiff_layout import READ_FAILURES, refuse_incomplete, refuse_undecodable

STACK_SUFFIXES: Final = frozenset({".tif", ".tiff", ".mha"})

_NO_UNIT: Final = 1
_DEFAULT_UNIT: Final = 2
_HEADER_BYTES: Final = 1 << 16
_ITK_UNSTATED: Final = 1.0  # mm per px; what ITK writes where nobody said anything
_UM_PER_MM: Final = 1000.0


@dataclass(frozen=True)
class StackPage:
    """One picture of a stack.

    Args:
        pixels_HW3: RGB uint8, (height, width, 3); what is transparent is laid over white.
        resolution: um per px as the file states it, believable or not.
    """

    pixels_HW3: NDArray[np.uint8]
    resolution: Resolution


def read_stack(path: Path) -> Iterator[StackPage]:
    """Read a stack's pages one by one, in the order of the file; a file of one picture is a stack of one.

    Args:
        path: A ``.mha`` file (8-bit, one to four channels; a third dimension counts pages), or any other as TIFF (8-bit grey
            or RGB, with or without alpha, in every compression and planar configuration that tifffile decodes).

    Raises:
        CropError: The file is missing, incomplete, no such stack, or a page cannot be decoded; names the file and the page.
    """
    if not path.is_file():
        raise CropError(f"{path}: no such stack of crops.")
    return _mha_pages(path) if path.suffix.lower() == ".mha" else _tiff_pages(path)


def _tiff_pages(path: Path) -> Iterator[StackPage]:
    try:
        tiff = tifffile.TiffFile(path)
    except READ_FAILURES as error:
        raise CropError(f"{path}: not a readable TIFF stack ({_one_line(error)}); copy it again.") from error
    with tiff:
        pages = _whole_pages(path, tiff)
        for number, page in enumerate(pages, start=1):
            yield _tiff_page(path, page, f"page {number} of {len(pages)}")


def _whole_pages(path: Path, tiff: tifffile.TiffFile) -> list[Any]:
    """The pages, none of whose pixels lie beyond the end of the file.

    Raises:
        CropError: The file ends too early; names the first page that lacks something.
    """
    try:
        pages = list(tiff.pages)
        for number, page in enumerate(pages, start=1):
            segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
            if not segments or any(not count or offset + count > tiff.filehandle.size for offset, count in segments):
                raise CropError(
                    f"{path}: incomplete, pixels of page {number} of {len(pages)} are missing; copy it again."
                )
        refuse_incomplete(path, tiff)
    except (UnsupportedSlideError, *READ_FAILURES) as error:
        raise CropError(
            f"{path}: incomplete, the stack breaks off after page {len(tiff.pages)}; copy it again."
        ) from error
    return pages


def _tiff_page(path: Path, page: Any, place: str) -> StackPage:
    try:
        _refuse_large(path, page.imagewidth * page.imagelength, place)
        refuse_undecodable(path, [page])
        if tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
            raise CropError(f"{path}: {place} has colours multiplied by their alpha; save it without alpha.")
        samples_HWC = _tiff_samples(page)
    except UnsupportedSlideError as error:
        raise CropError(f"{place}: {error}") from error
    except READ_FAILURES as error:
        raise CropError(f"{path}: {place} cannot be decoded ({_one_line(error)}); copy the stack again.") from error
    return StackPage(_over_white(samples_HWC), _tiff_resolution(page))


def _tiff_samples(page: Any) -> NDArray[np.uint8]:
    """Decode one page: (height, width, samples), the last of two or four being alpha."""
    decoded: NDArray[np.uint8] = page.asarray()
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        decoded = np.moveaxis(decoded, 0, -1)
    samples = decoded.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
    n_colours = 3 if page.samplesperpixel >= 3 else 1
    if page.extrasamples and page.extrasamples[0] != tifffile.EXTRASAMPLE.UNASSALPHA:
        samples = samples[..., :n_colours]  # a sample that nobody called alpha
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        samples = np.concatenate([255 - samples[..., :1], samples[..., 1:]], axis=2)
    return samples


def _tiff_resolution(page: Any) -> Resolution:
    unit = page.tags.valueof("ResolutionUnit", default=_DEFAULT_UNIT)
    if unit == _NO_UNIT or not {"XResolution", "YResolution"} <= {tag.name for tag in page.tags}:
        return Resolution()
    x, y = page.get_resolution(tifffile.RESUNIT.MICROMETER)  # px per um
    return Resolution(1 / x, 1 / y, TIFF_TAG) if x and y else Resolution()


def _mha_pages(path: Path) -> Iterator[StackPage]:
    sitk = _simple_itk(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        width, height, n_pages = _mha_shape(path, reader)
        _refuse_other_types(path, reader, sitk)
        _refuse_short_mha(path, reader)
        image = reader.Execute()
    except RuntimeError as error:
        raise CropError(f"{path}: not a readable MetaImage ({_one_line(error)}); copy it again.") from error
    pages_NHWC = sitk.GetArrayFromImage(image).reshape(n_pages, height, width, image.GetNumberOfComponentsPerPixel())
    for page_HWC in pages_NHWC:
        yield StackPage(_over_white(page_HWC), _itk_resolution(image.GetSpacing()))


def _simple_itk(path: Path) -> Any:
    try:
        import SimpleITK  # noqa: PLC0415 - an extra: only .mha needs it
    except ImportError as error:
        raise CropError(f'{path}: .mha needs SimpleITK; install it with `pip install "wsiamf[challenge]"`.') from error
    return SimpleITK


def _mha_shape(path: Path, reader: Any) -> tuple[int, int, int]:
    """(width, height, number of pages)."""
    size = tuple(int(side) for side in reader.GetSize())
    if len(size) not in (2, 3):
        raise CropError(f"{path}: an image of {len(size)} dimensions, where a stack has 3 (or 2: one page).")
    width, height, n_pages = (*size, 1)[:3]
    _refuse_large(path, width * height, f"page 1 of {n_pages}")
    return width, height, n_pages


def _refuse_other_types(path: Path, reader: Any, sitk: Any) -> None:
    channels = reader.GetNumberOfComponents()
    if reader.GetPixelID() not in (sitk.sitkUInt8, sitk.sitkVectorUInt8) or channels > 4:
        kind = f"{channels} channels of {sitk.GetPixelIDValueAsString(reader.GetPixelID())}"
        raise CropError(f"{path}: {kind} a pixel, where 8-bit grey or colour is read; save it as 8-bit RGB.")


def _refuse_short_mha(path: Path, reader: Any) -> None:
    """Raise where pixels are missing, and name the first page that lacks some: MetaIO would print to stderr by itself."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    end = re.search(rb"^ElementDataFile\s*=\s*LOCAL\s*?\n", head, flags=re.MULTILINE | re.IGNORECASE)
    if end is None:
        raise CropError(f"{path}: its pixels are in another file; save it as one .mha.")
    present = path.stat().st_size - end.end()
    size = reader.GetSize()
    page_bytes = size[0] * size[1] * reader.GetNumberOfComponents()
    compressed = re.search(rb"^CompressedDataSize\s*=\s*(\d+)", head[: end.end()], flags=re.MULTILINE)
    wanted = int(compressed[1]) if compressed else math.prod(size) * reader.GetNumberOfComponents()
    if present < wanted and not (compressed is None and b"CompressedData = True" in head[: end.end()]):
        where = "" if compressed else f", from page {present // page_bytes + 1} on"
        raise CropError(f"{path}: incomplete, {wanted - present:,} of {wanted:,} bytes of pixels are missing{where}.")


def _itk_resolution(spacing_mm: tuple[float, ...]) -> Resolution:
    x, y = spacing_mm[:2]
    if x == y == _ITK_UNSTATED:
        return Resolution()
    return Resolution(x * _UM_PER_MM, y * _UM_PER_MM, "ElementSpacing")


def _over_white(samples_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey, grey with alpha, RGB or RGBA as RGB over white."""
    samples = samples_HWC[:, :, 0] if samples_HWC.shape[2] == 1 else samples_HWC
    image = Image.fromarray(np.ascontiguousarray(samples)).convert("RGBA")
    return np.array(Image.alpha_composite(Image.new("RGBA", image.size, (*WHITE, 255)), image).convert("RGB"))


def _refuse_large(path: Path, n_pixels: int, place: str) -> None:
    if not 0 < n_pixels <= MAX_PIXELS:
        raise CropError(f"{path}: {place} has {n_pixels:,} pixels, which is no crop; is it a slide?")


def _one_line(error: Exception) -> str:
    """A library's own words; of ITK's several lines the last, which says what is wrong."""
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
