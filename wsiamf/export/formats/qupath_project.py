"""A Groovy script for QuPath 0.4 to 0.7: opens the slide with both GeoJSON files, and the hard cases in a grid.

The script calls only what all four versions have in their source; it was not run in QuPath. It names the paths of slides
and results, and no other export does. The GeoJSON files are in QuPath px.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsiamf.classes import HARD_CASE
from wsiamf.errors import ExportError
from wsiamf.export.formats.base import Format, Options
from wsiamf.export.results import SlideResult

_TEMPLATE: Final = Path(__file__).with_name("open_in_qupath.groovy")
_OBJECTS: Final = ("detections", "review")
_SUFFIXES: Final = (".geojson", ".geojson.gz")
_ASCII_END: Final = 0x7F


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    script = _TEMPLATE.read_text("utf-8").replace("@HARD_CASE@", groovy_text(HARD_CASE))
    slides = ",\n".join(_slide_line(result, options) for result in results)
    path.write_bytes(script.replace("@SLIDES@", slides).encode("ascii"))


def _slide_line(result: SlideResult, options: Options) -> str:
    objects = ", ".join(groovy_text(_objects_file(result, name)) for name in _OBJECTS)
    file, folder = options.slide_of(result).absolute(), result.folder.absolute()
    return f"    [file: {groovy_text(str(file))}, folder: {groovy_text(str(folder))}, objects: [{objects}]]"


def _objects_file(result: SlideResult, name: str) -> str:
    for suffix in _SUFFIXES:
        if (result.folder / f"{name}{suffix}").is_file():
            return f"{name}{suffix}"
    raise ExportError(f"{result.folder / name}.geojson: not there; screen the slide again.")


def groovy_text(text: str) -> str:
    """A string of Groovy in single quotes, in which nothing is filled in; ASCII, in whatever encoding the script is read."""
    units = text.encode("utf-16-be", errors="surrogatepass")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "'" + "".join(map(_groovy_character, codes)) + "'"


def _groovy_character(code: int) -> str:
    if chr(code) in "\\'":
        return f"\\{chr(code)}"
    return chr(code) if ord(" ") <= code < _ASCII_END else f"\\u{code:04x}"


FORMAT: Final = Format(name="qupath-project", suffix=".qupath.groovy", write=_write, many_slides=True)
