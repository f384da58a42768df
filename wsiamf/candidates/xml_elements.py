"""XML of other programs, element by element: no DTD, so no entities; nothing is fetched; depth and memory are bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from xml.parsers import expat

from wsiamf.errors import CandidateError
from wsiamf.wording import shown

_CHUNK_BYTES: Final = 1 << 16
_MOST_SILENT_BYTES: Final = 1 << 20
"""An element, comment or text longer than this is no annotation's: expat holds the whole of it in memory."""
_MOST_DEPTH: Final = 64
_MOST_TEXT: Final = 4096
_FAILURES: Final = (expat.ExpatError, ValueError, LookupError)  # the last two: unknown encodings


class Start(NamedTuple):
    """An element begins."""

    name: str
    attributes: dict[str, str]


class End(NamedTuple):
    """An element ends; ``text`` is its own, from after its last child, without outer blanks."""

    name: str
    text: str


class _RootFoundError(Exception):
    """Ends a look at a file's first bytes."""


def root_of(head: bytes) -> str | None:
    """Name of the outermost element of a file that starts like XML, else None; a document type's name where it has one."""
    names: list[str] = []

    def found(name: str, *_rest: object) -> None:
        names.append(name)
        raise _RootFoundError

    parser = expat.ParserCreate()
    parser.StartElementHandler = parser.StartDoctypeDeclHandler = found
    try:
        parser.Parse(head, False)
    except (*_FAILURES, _RootFoundError):
        pass
    return names[0] if names else None


def xml_events(path: Path, root: str) -> Iterator[Start | End]:
    """Beginnings and ends of a file's elements in their order.

    Args:
        path: The file.
        root: The name that the outermost element must have.

    Raises:
        CandidateError: Another outermost element, not well-formed, cut short, in an unknown encoding, with a document type,
            nested too deeply, or with one element, text or comment of many megabytes.
    """
    events = _Events(path, root)
    parser = events.parser()
    n_silent = 0
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK_BYTES)
            try:
                parser.Parse(chunk, not chunk)
            except _FAILURES as error:
                raise CandidateError(f"{path}: not well-formed XML: {error}; export it again.") from error
            n_silent = 0 if events.pending else n_silent + len(chunk)
            if n_silent > _MOST_SILENT_BYTES:
                raise CandidateError(f"{path}: one piece of it is longer than 1 MB; this is no file of annotations.")
            yield from events.pending
            events.pending.clear()
            if not chunk:
                return


class _Events:
    """What expat calls; events wait in ``pending``."""

    def __init__(self, path: Path, root: str) -> None:
        self.pending: list[Start | End] = []
        self._path = path
        self._root = root
        self._depth = 0
        self._text = ""

    def parser(self) -> expat.XMLParserType:
        """A parser that calls this object."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse
        return parser

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and name != self._root:
            raise CandidateError(f"{self._path}: its outermost element is {shown(name)}; expected {self._root!r}.")
        if self._depth > _MOST_DEPTH:
            raise CandidateError(f"{self._path}: elements nested {_MOST_DEPTH} deep; this is no file of annotations.")
        self._text = ""
        self.pending.append(Start(name, attributes))

    def _end(self, name: str) -> None:
        self._depth -= 1
        self.pending.append(End(name, self._text.strip()))
        self._text = ""

    def _characters(self, text: str) -> None:
        if len(self._text) < _MOST_TEXT:
            self._text += text[:_MOST_TEXT]

    def _refuse(self, *_declaration: object) -> None:
        raise CandidateError(
            f"{self._path}: declares a document type, which could define entities; take the DOCTYPE out of the file."
        )
