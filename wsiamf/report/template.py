"""Templates to a page that asks for nothing: style and script inside, and a policy that lets a browser load nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from wsiamf._version import __version__
from wsiamf.classes import AMF, CLASS_COLORS, HARD_CASE_COLOR, HOTSPOT_COLOR, NMF

REPORT: Final = "report.html"
GENERATOR: Final = "wsiamf report"
_TEMPLATES: Final = Path(__file__).with_name("templates")
_HEAD_BYTES: Final = 2048
_MADE_FROM: Final = re.compile(rb'<meta name="wsiamf-made-from" content="([0-9a-f]{64})">')
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_COLORS: Final = {"amf": CLASS_COLORS[AMF], "nmf": CLASS_COLORS[NMF], "hard": HARD_CASE_COLOR, "hotspot": HOTSPOT_COLOR}


def render(template: str, *, more_style: str = "", **context: Any) -> str:
    """Fill a template of this package.

    Args:
        template: Its file name.
        more_style: CSS of this page alone, made here and of no user's text.
        **context: What it shows; text is escaped, and control and bidirectional characters in it are shown as such.

    Raises:
        KeyError: The context lacks something, as that of results of another version may.
    """
    environment = _environment()
    colors = "".join(f"--{name}:rgb({red} {green} {blue});" for name, (red, green, blue) in _COLORS.items())
    style = f":root{{{colors}}}\n{_text('style.css')}\n{more_style}"
    script = _text("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    inside = {"style": Markup(style), "script": Markup(script)}  # noqa: S704 - files of this package, and numbers
    try:
        return environment.get_template(template).render(
            policy=policy, generator=f"{GENERATOR} {__version__}", **inside, **context
        )
    except UndefinedError as error:
        raise KeyError(str(error)) from error


def is_own_page(path: Path) -> bool:
    """Whether a file is a report of wsiamf's, and so may be replaced by a new one."""
    return f'<meta name="generator" content="{GENERATOR} '.encode() in _head(path)


def made_from(path: Path) -> str | None:
    """The sha256 of the file that a cohort's page says it was made from; None where it says nothing."""
    found = _MADE_FROM.search(_head(path))
    return found[1].decode() if found else None


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES)


def data_uri(kind: str, content: bytes) -> Markup:
    """Bytes as the address of a picture.

    Args:
        kind: ``png`` or ``jpeg``.
        content: The file's.
    """
    return Markup(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")  # noqa: S704 - base64 alone


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _visible(value: Any) -> Any:
    """Text without characters that a page cannot hold, or that make it read other than it is; other values as they are."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value)
    return value


@cache
def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text("utf-8")


def _source(text: str) -> str:
    """How a content policy names an inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
