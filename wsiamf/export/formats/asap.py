"""ASAP's XML, in level-0 px: a dot a figure, a group a class. ASAP opens the file that is called as the slide by itself.

The groups' attribute ``labelled_by`` names the model; ASAP keeps groups' attributes when it saves a file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

from wsiamf.export.formats.base import Format, Options
from wsiamf.export.marks import CLASS_NAMES, Mark, class_color, hex_color, iter_marks
from wsiamf.export.results import SlideResult

_NOT_IN_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _write(path: Path, results: Sequence[SlideResult], options: Options) -> None:
    (result,) = results
    used = set()
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write('<?xml version="1.0" encoding="UTF-8"?>\n<ASAP_Annotations>\n<Annotations>\n')
        for mark in iter_marks(result, every_row=options.every_row):
            used.add(mark.class_name)
            stream.write(_dot(mark))
        stream.write("</Annotations>\n<AnnotationGroups>\n")
        stream.writelines(_group(name, result.labelled_by) for name in CLASS_NAMES if name in used)
        stream.write("</AnnotationGroups>\n</ASAP_Annotations>\n")


def _dot(mark: Mark) -> str:
    named = f'Name={_quoted(mark.candidate_id)} Type="Dot" PartOfGroup={_quoted(mark.class_name)}'
    place = f'<Coordinates><Coordinate Order="0" X="{mark.x:.2f}" Y="{mark.y:.2f}"/></Coordinates>'
    return f'<Annotation {named} Color="{hex_color(mark.color)}">{place}</Annotation>\n'


def _group(name: str, labelled_by: str) -> str:
    color = hex_color(class_color(name))
    attributes = f"<Attributes><Attribute labelled_by={_quoted(labelled_by)}/></Attributes>"
    return f'<Group Name={_quoted(name)} PartOfGroup="None" Color="{color}">{attributes}</Group>\n'


def _quoted(text: str) -> str:
    return quoteattr(_NOT_IN_XML.sub("?", text))


FORMAT: Final = Format(name="asap", suffix=".xml", write=_write)
