"""OME-TIFF through tifffile: OpenSlide would show the first page and neither its pyramid nor its resolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import tifffile

from wsiamf.addresses import Address
from wsiamf.errors import UnsupportedSlideError
from wsiamf.slides.ome_xml import OmeImage, OmeXml, OmeXmlError, parse_ome_xml
from wsiamf.slides.resolution import OME_SIZE, POWER_KEY, mpp_properties
from wsiamf.slides.tiff_layout import open_tiff, refuse_incomplete, refuse_undecodable, repeats
from wsiamf.slides.tifffile_slide import TiffContent, TifffileSlide, tag_properties

_VENDOR: Final = "ome-tiff"
_COLOURS: Final = frozenset({1, 3, 4})  # samples of grey, RGB, RGB with alpha


def is_ome_tiff(path: Path) -> bool:
    """Whether a TIFF says that it is OME's.

    Raises:
        UnsupportedSlideError: It is no TIFF, or its directory is damaged.
    """
    with open_tiff(path) as tiff:
        return bool(tiff.is_ome)


class OmeTiffSlide(TifffileSlide):
    """The largest picture of an OME-TIFF, with its pyramid (sub-directories). Label and macro pictures are left out.

    Args:
        path: The file.
        given: The caller's resolution, which overrides the file's.
        remote: The file where it is not on a local disk.

    Raises:
        UnsupportedSlideError: Its OME-XML is unusable, it is a stack, of other channels than RGB or grey, spread over
            several files, holds several slides, is incomplete, or not decodable.
    """

    def _content(self, path: Address, tiff: tifffile.TiffFile) -> TiffContent:
        refuse_incomplete(path, tiff)
        try:
            first: Any = tiff.pages[0]
            xml = parse_ome_xml(first.description)
            image = _slide_image(path, xml)
            levels = _levels(path, tiff, image)
        except OmeXmlError as error:
            raise UnsupportedSlideError(
                f"{path}: its OME-XML cannot be used: {error}; save it again as OME-TIFF, or as a plain RGB TIFF."
            ) from error
        refuse_undecodable(path, [page for level in levels for page in level])
        return TiffContent(_VENDOR, levels, tag_properties(levels[0][0]) | _properties(xml, image))


def _slide_image(path: Address, xml: OmeXml) -> OmeImage:
    """The largest picture."""
    slide = max(xml.images, key=lambda image: image.size_xy[0] * image.size_xy[1])
    twins = [image for image in xml.images if _are_twins(slide, image)]
    if len(twins) > 1:
        alike = "size" if slide.mpp_xy is None else "resolution"
        raise UnsupportedSlideError(
            f"{path}: holds {len(twins)} pictures of one {alike} ({', '.join(image.name or '?' for image in twins)}), "
            "and nothing says which is meant; save each as a file of its own."
        )
    depths = slide.count("SizeZ"), slide.count("SizeT")
    if depths != (1, 1):
        raise UnsupportedSlideError(
            f"{path}: a stack of {depths[0]} planes and {depths[1]} times, not one picture; save one plane by itself."
        )
    if len(slide.files) > 1:
        raise UnsupportedSlideError(
            f"{path}: its planes are spread over {len(slide.files)} files; save it as one file."
        )
    return slide


def _are_twins(slide: OmeImage, image: OmeImage) -> bool:
    """Whether a picture may be meant as well as the largest: label and macro are coarser, or where that is unsaid smaller."""
    same = image.mpp_xy == slide.mpp_xy
    return same and (slide.mpp_xy is not None or image.size_xy == slide.size_xy)


def _levels(path: Address, tiff: tifffile.TiffFile, image: OmeImage) -> list[list[Any]]:
    """The pages of each level, finest first: one, or three of grey that are red, green and blue."""
    first = _page(tiff, image, 0)
    size = (first.imagewidth, first.imagelength)
    if size != image.size_xy:
        raise OmeXmlError(
            f"page {image.planes[0]} has {size[0]} x {size[1]} px, not {' x '.join(map(str, image.size_xy))}"
        )
    n_channels = image.count("SizeC")
    if first.samplesperpixel == n_channels in _COLOURS:
        planes = [first]
    elif first.samplesperpixel == 1 and n_channels == 3 and image.is_rgb:
        planes = [_page(tiff, image, channel) for channel in range(3)]
    else:
        raise UnsupportedSlideError(f"{path}: {_channels_line(image, n_channels)}; save it as 8-bit RGB.")
    if len({_shape(page) for page in planes}) != 1:
        raise OmeXmlError("its channels are of several sizes or kinds")
    finer, levels = first, [planes]
    for number, page in enumerate(first.pages or ()):
        if repeats(first, page) and page.imagewidth < finer.imagewidth:
            finer = page
            levels.append([page, *(_sub_page(plane, number, page) for plane in planes[1:])])
    return levels


def _page(tiff: tifffile.TiffFile, image: OmeImage, channel: int) -> Any:
    number = image.planes.get(channel)
    if number is None or not 0 <= number < len(tiff.pages):
        raise OmeXmlError(f"page {number} of channel {channel} is not in the file")
    return tiff.pages[number]


def _sub_page(plane: Any, number: int, like: Any) -> Any:
    pages = plane.pages or ()
    if number >= len(pages) or _shape(pages[number]) != _shape(like):
        raise OmeXmlError("its channels have different pyramids")
    return pages[number]


def _shape(page: Any) -> tuple[Any, ...]:
    tile = (page.tilewidth, page.tilelength) if page.is_tiled else page.rowsperstrip
    return page.imagewidth, page.imagelength, page.samplesperpixel, page.dtype, tile


def _channels_line(image: OmeImage, n_channels: int) -> str:
    names = ", ".join(channel.name or "without name" for channel in image.channels[:5])
    if n_channels == 3:
        return f"three channels ({names}) on pages of their own that nothing calls red, green and blue"
    return f"{n_channels} channels ({names}), where a stained slide has 3 (red, green, blue) or 1 (grey)"


def _properties(xml: OmeXml, image: OmeImage) -> dict[str, str]:
    properties = {} if image.mpp_xy is None else mpp_properties(OME_SIZE, *image.mpp_xy)
    if power := xml.powers.get(image.objective):
        properties[POWER_KEY] = power
    return properties
