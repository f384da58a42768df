"""JSON files with one long list or object, read entry by entry: memory holds one entry, whatever the file's size."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from wsiamf.errors import CandidateError

_CHUNK_BYTES: Final = 1 << 20
_MOST_ENTRY: Final = 1 << 25
"""Characters of one entry; a cell with its outline has a few thousand."""
_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


class JsonStream:
    """A JSON object, its members taken one after another; for each, call either ``value`` or ``elements``, once.

    Args:
        path: The file, UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text, self._at, self._ended = "", 0, False
        self._chunks: Iterator[str] = iter(())

    @contextmanager
    def opened(self) -> Iterator[JsonStream]:
        """The file, open; every fault of its content is a ``CandidateError``."""
        try:
            with self._path.open("rb") as stream:
                reader = codecs.getreader("utf-8-sig")(stream)
                self._chunks = iter(lambda: reader.read(_CHUNK_BYTES), "")
                yield self
        except CandidateError:
            raise
        except (ValueError, RecursionError) as error:
            raise CandidateError(f"{self._path}: not valid JSON: {' '.join(str(error).split())}.") from error

    def members(self) -> Iterator[str]:
        """Keys of the outermost object."""
        self._take("{")
        while not self._next_is("}"):
            key = self.value()
            if not isinstance(key, str):
                raise CandidateError(f"{self._path}: not valid JSON: a key of its outermost object is no text.")
            self._take(":")
            yield key
            if not self._next_is("}"):
                self._take(",")
        self._take("}")
        if self._next():
            raise CandidateError(f"{self._path}: not valid JSON: something follows its outermost object.")

    def elements(self) -> Iterator[Any]:
        """The elements of a list, one by one."""
        if not self._next_is("["):
            raise CandidateError(f"{self._path}: holds no list where one is expected.")
        self._take("[")
        while not self._next_is("]"):
            yield self.value()
            if not self._next_is("]"):
                self._take(",")
        self._take("]")

    def value(self) -> Any:
        """The value, whole."""
        self._next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if self._ended:
                    raise
            else:
                # The number 12 may go on in the next chunk.
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._more()

    def _next(self) -> str:
        """The next character that is not blank, which stays; empty at the end."""
        while True:
            found = _BLANKS.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def _next_is(self, character: str) -> bool:
        return self._next() == character

    def _take(self, character: str) -> None:
        if not self._next_is(character):
            raise CandidateError(f"{self._path}: not valid JSON: {character!r} is missing{self._place()}.")
        self._at += 1

    def _place(self) -> str:
        rest = self._text[self._at : self._at + 20]
        return f" before {rest!r}" if rest else " at its end"

    def _more(self) -> None:
        """Another chunk, and as much again while one entry stays unfinished, so that time grows with its length."""
        rest = self._text[self._at :]
        if len(rest) > _MOST_ENTRY:
            raise CandidateError(f"{self._path}: one entry is longer than {_MOST_ENTRY >> 20} MB; no points do that.")
        chunks, n_wanted = [rest], max(1, len(rest))
        while n_wanted > 0 and not self._ended:
            chunk = next(self._chunks, "")
            chunks.append(chunk)
            n_wanted -= len(chunk)
            self._ended = not chunk
        self._text, self._at = "".join(chunks), 0
