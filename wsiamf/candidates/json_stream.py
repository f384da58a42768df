"""JSON read piece by piece, so that a file of a million objects needs no more memory than its largest object."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from wsiamf.errors import CandidateError
from wsiamf.packed import ByteStream

_CHUNK_BYTES: Final = 1 << 20
_ALWAYS_ALLOWED: Final = 4 << 20
_MOST_CHARACTERS: Final = 64 << 20
"""Of one value: as objects of Python it takes twenty times the memory, if it is lists of nothing."""
_MOST_TIMES: Final = 10
"""How many times its packed size the one value of a file may be; GeoJSON packs to a seventh."""
_BLANKS: Final = re.compile(r"[ \t\n\r]*")


def json_items(stream: ByteStream, path: Path, key: str) -> Iterator[Any]:
    """The elements of a file's list, or of the list ``key`` of its object; the whole object where it has no such list.

    Args:
        stream: The file's bytes, UTF-8.
        path: The file, for messages.
        key: The object's list that is streamed, ``features`` for GeoJSON.

    Raises:
        CandidateError: Not UTF-8, not JSON, nested too deeply, or one element is longer than 64 Mi characters (packed, than
            4 Mi and ten times the size of the file).
    """
    text = JsonText(stream, path)
    if text.peek() == "[":
        yield from elements(text)
    elif text.peek() == "{":
        yield from _members(text, key)
    else:
        yield text.value()
    text.end()


def _members(text: JsonText, key: str) -> Iterator[Any]:
    others: dict[str, Any] = {}
    streamed = False
    for name in member_names(text):
        if name == key and text.peek() == "[":
            streamed = True
            yield from elements(text)
        else:
            others[name] = text.value()
    if not streamed:
        yield others


def member_names(text: JsonText) -> Iterator[str]:
    """Keys of an object; after each its value must be taken, by ``text.value`` or ``elements``."""
    text.take("{")
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        name = text.value()
        if not isinstance(name, str):
            raise text.error("a key is no text")
        text.take(":")
        yield name
        if text.peek() == "}":
            text.take("}")
            return
        text.take(",")


def elements(text: JsonText) -> Iterator[Any]:
    """The elements of a list, one by one."""
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.peek() == "]":
            text.take("]")
            return
        text.take(",")


class JsonText:
    """The text that is still to be read, as much of it as is needed.

    Args:
        stream: The file's bytes, UTF-8.
        path: The file, for messages.
    """

    def __init__(self, stream: ByteStream, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._before = 0  # characters that have been let go
        self._ended = False
        self._most = min(_MOST_CHARACTERS, max(_ALWAYS_ALLOWED, _MOST_TIMES * path.stat().st_size))

    def error(self, reason: str) -> CandidateError:
        """An error at the present place."""
        return CandidateError(f"{self._path}: not valid JSON: {reason} (at character {self._before + self._at:,}).")

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            self._at += len(_BLANKS.match(self._text, self._at)[0])  # type: ignore[index]  # it matches nothing too
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            raise self.error("more follows after the end")

    def take(self, character: str) -> None:
        """Step over a character that must come next."""
        if self.peek() != character:
            raise self.error(f"expected {character!r}")
        self._at += 1

    def value(self) -> Any:
        """The next value."""
        self.peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except RecursionError:
                raise self.error("nested too deeply") from None
            except json.JSONDecodeError as error:
                if not self._more():
                    raise self.error(error.msg) from error
                continue
            except ValueError as error:  # an integer of thousands of digits
                raise self.error(str(error).split(";", maxsplit=1)[0]) from error
            if end < len(self._text) or not self._more():  # what ends where the text ends may go on
                self._at = end
                return value

    def _more(self) -> bool:
        """Read on; whether anything came."""
        if self._ended:
            return False
        rest = self._text[self._at :]
        if len(rest) > self._most:
            raise CandidateError(
                f"{self._path}: the object at character {self._before + self._at:,} is longer than {self._most:,} characters, "
                "the most that is read of one; write it as several, or the points as a table (CSV, Parquet)."
            )
        # doubling, so that long values are not scanned too often
        data = self._stream.read(min(max(_CHUNK_BYTES, len(rest)), self._most + 1 - len(rest)))
        try:
            new = self._decode(data, not data)
        except UnicodeDecodeError as error:
            raise CandidateError(f"{self._path}: is not UTF-8 text; save the file as UTF-8.") from error
        self._before += self._at
        self._text, self._at = rest + new, 0
        self._ended = not data
        return bool(data)
