"""How messages quote and count."""

from __future__ import annotations

_SHOWN_CHARACTERS = 40
_REASON_CHARACTERS = 200


def shown(value: object) -> str:
    """A value as a message quotes it: escaped, on one line, not too long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def counted(n: int, word: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def reason_of(error: object) -> str:
    """What a library says of a file: its first words, on one line, without characters that a terminal would act on."""
    return printable(" ".join(str(error).splitlines())[:_REASON_CHARACTERS])


def one_line(error: Exception) -> str:
    """What an error says, on one line without its full stop; its kind where it says nothing."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def printable(text: str) -> str:
    """A text with what a terminal would act on escaped."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
