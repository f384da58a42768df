"""The OME-XML of an OME-TIFF: which pictures it holds, on which pages their planes lie, and how large their pixels are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

_UM_PER_UNIT: Final = {
    "pm": 1e-6,
    "Å": 1e-4,
    "nm": 1e-3,
    "µm": 1.0,  # the micro sign, which the schema has
    "μm": 1.0,  # the Greek letter, which some programs write
    "um": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25_400.0,
}
_DEFAULT_UNIT: Final = "µm"
_RGB_NAMES: Final = (("red", "green", "blue"), ("r", "g", "b"))
_RGB_COLOURS: Final = (0xFF0000, 0x00FF00, 0x0000FF)
_MOST_IMAGES: Final = 10_000
_MOST_PLANES: Final = 100_000
"""Of all pictures together: some hundred letters of XML can state any number."""


class OmeXmlError(Exception):
    """The text is no OME-XML that can be used; the message says why."""


@dataclass(frozen=True)
class OmeChannel:
    """A channel.

    Args:
        name: As stated, possibly empty.
        rgb: Its display colour, 0xRRGGBB; None where none is stated.
        samples: Samples per pixel: 3 where one channel is all of RGB.
    """

    name: str
    rgb: int | None
    samples: int


@dataclass
class OmeImage:
    """A picture.

    Args:
        name: As stated, possibly empty.
        pixels: The attributes of its ``Pixels``.
        objective: Id of the objective that it was taken with, or empty.
        channels: In order.
        planes: Page of each plane by (first) channel; those of z and t beyond the first are left out.
        files: Names of the files that planes are said to lie in.
    """

    name: str
    objective: str = ""
    pixels: Mapping[str, str] = field(default_factory=dict)
    channels: list[OmeChannel] = field(default_factory=list)
    planes: dict[int, int] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    @property
    def size_xy(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self.count("SizeX"), self.count("SizeY")

    @property
    def mpp_xy(self) -> tuple[float, float] | None:
        """um per px of each axis as stated; None where one is missing or in no unit of length."""
        x, y = (self._um(axis) for axis in "XY")
        return None if x is None or y is None else (x, y)

    @property
    def is_rgb(self) -> bool:
        """Whether three channels of one sample each are named, or shown in, red, green and blue."""
        names = tuple(channel.name.strip().lower() for channel in self.channels)
        return names in _RGB_NAMES or tuple(channel.rgb for channel in self.channels) == _RGB_COLOURS

    def count(self, attribute: str) -> int:
        """A whole number among the attributes of ``Pixels``.

        Raises:
            OmeXmlError: It is missing, none, or not positive.
        """
        try:
            value = int(self.pixels[attribute])
        except (KeyError, ValueError):
            value = 0
        if value < 1:
            raise OmeXmlError(f"{attribute} is {self.pixels.get(attribute)!r}")
        return value

    def _um(self, axis: str) -> float | None:
        factor = _UM_PER_UNIT.get(self.pixels.get(f"PhysicalSize{axis}Unit", _DEFAULT_UNIT))
        try:
            size = float(self.pixels[f"PhysicalSize{axis}"])
        except (KeyError, ValueError):
            return None
        return size * factor if factor is not None and math.isfinite(size) else None


@dataclass(frozen=True)
class OmeXml:
    """What an OME-XML says.

    Args:
        images: In order.
        powers: Nominal magnification of each objective, by its id.
    """

    images: tuple[OmeImage, ...]
    powers: Mapping[str, str]


def parse_ome_xml(text: str) -> OmeXml:
    """Read an OME-XML.

    Raises:
        OmeXmlError: It is not well-formed, declares a document type, or holds no picture.
    """
    reading = _Reading()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.characters
    parser.StartDoctypeDeclHandler = reading.refuse_doctype
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, ValueError) as error:
        raise OmeXmlError(str(error)) from error
    if not reading.images:
        raise OmeXmlError("it describes no image")
    return OmeXml(tuple(reading.images), reading.powers)


class _Reading:
    """What expat calls."""

    def __init__(self) -> None:
        self.images: list[OmeImage] = []
        self.powers: dict[str, str] = {}
        self._next_page = 0
        self._n_planes = 0

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        name = qualified.rpartition(" ")[2]
        if name == "Objective":
            self.powers[attributes.get("ID", "")] = attributes.get("NominalMagnification", "")
        elif name == "Image":
            if len(self.images) == _MOST_IMAGES:
                raise OmeXmlError(f"it describes more than {_MOST_IMAGES:,} images")
            self.images.append(OmeImage(attributes.get("Name", "")))
        elif self.images:
            self._inside_image(name, attributes, self.images[-1])

    def end(self, qualified: str) -> None:
        """A picture that says nothing of its pages has them in order, from the first one that is free."""
        if qualified.rpartition(" ")[2] == "Image" and self.images:
            image = self.images[-1]
            if not image.planes:
                image.planes[0] = self._next_page
            self._next_page = max(self._next_page, *image.planes.values()) + 1

    def characters(self, text: str) -> None:
        """Text is of no use here."""

    def refuse_doctype(self, *_declaration: object) -> None:
        raise OmeXmlError("it declares a document type, which could define entities")

    def _inside_image(self, name: str, attributes: dict[str, str], image: OmeImage) -> None:
        if name == "Pixels":
            image.pixels = attributes
        elif name == "ObjectiveSettings":
            image.objective = attributes.get("ID", "")
        elif name == "Channel":
            image.channels.append(_channel(attributes))
        elif name == "TiffData":
            self._place_planes(attributes, image)
        elif name == "UUID" and attributes.get("FileName"):
            image.files.add(attributes["FileName"])

    def _place_planes(self, attributes: dict[str, str], image: OmeImage) -> None:
        if any(_whole(attributes.get(key), 0) for key in ("FirstZ", "FirstT")):
            return
        first, page = _whole(attributes.get("FirstC"), 0), _whole(attributes.get("IFD"), 0)
        alone = "IFD" in attributes and "PlaneCount" not in attributes
        n_planes = 1 if alone else _whole(attributes.get("PlaneCount"), _whole(image.pixels.get("SizeC"), 1))
        self._n_planes += max(n_planes, 0)
        if self._n_planes > _MOST_PLANES:
            raise OmeXmlError(f"it describes more than {_MOST_PLANES:,} planes")
        for plane in range(n_planes):
            image.planes.setdefault(first + plane, page + plane)


def _channel(attributes: Mapping[str, str]) -> OmeChannel:
    colour = attributes.get("Color")
    rgb = None if colour is None else (_whole(colour, 0) & 0xFFFFFFFF) >> 8  # a signed number of bytes R, G, B, alpha
    return OmeChannel(attributes.get("Name", ""), rgb, _whole(attributes.get("SamplesPerPixel"), 1))


def _whole(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError as error:
        raise OmeXmlError(f"{text!r} is no whole number") from error
