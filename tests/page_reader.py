"""A page as a test sees it: its elements, its words, and what it would fetch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})
FETCHING = ("src", "href", "xlink:href", "srcset", "action", "data", "poster", "formaction")


@dataclass
class Element:
    """One element: its tag, its attributes and all text in it."""

    tag: str
    attributes: dict[str, str]
    parents: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Parses a page; an element that is closed out of turn is a failure."""

    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(one.tag for one in self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, ()))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> stands inside <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [one for one in self.elements if one.tag in tags]

    @property
    def words(self) -> str:
        """What a reader sees or hears, style and script left out."""
        (body,) = self.all("body")
        text = body.text
        for script in self.all("script", "style"):
            text = text.replace(script.text, " ")
        spoken = [one.attributes.get(name, "") for one in self.elements for name in ("alt", "aria-label", "title")]
        return " ".join([text, *spoken])


def read_page(text: str) -> Page:
    """Parse; every element must be closed."""
    page = Page()
    page.feed(text)
    page.close()
    assert page._open == []
    return page


def check_page(text: str, *, most_bytes: int = 2_000_000) -> Page:
    """What every page keeps: small, offline, with words for pictures, headings in order and tables with headers."""
    assert len(text.encode()) <= most_bytes
    page = read_page(text)
    assert [one.attributes.get("lang") for one in page.all("html")] == ["en"]
    for one in page.elements:
        assert not [name for name in one.attributes if name.startswith("on")], "an event handler in an attribute"
        assert "style" not in one.attributes
        for name in FETCHING:
            address = one.attributes.get(name, "")
            assert address == "" or address.startswith(("data:image/", "#", "./")), f"{one.tag} {name}={address[:80]}"
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.all("link", "iframe", "object", "embed", "base") == []
    for image in page.all("img"):
        assert image.attributes["alt"]
    for drawing in page.all("svg"):
        named = drawing.attributes.get("aria-label") or drawing.attributes.get("aria-labelledby")
        hidden = drawing.attributes.get("aria-hidden") == "true"
        assert hidden or named or "svg" in drawing.parents
    levels = [int(one.tag[1]) for one in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tables, heads = page.all("table"), page.all("th")
    assert len(tables) <= len(heads)
    assert all(head.attributes.get("scope") in ("col", "row") for head in heads)
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for one in page.elements:
        target = one.attributes.get("href", "")
        assert not target.startswith("#") or target[1:] in ids, target
    assert not re.search(r"(?<![\w-])(NaN|nan|None|inf|Infinity|null|undefined)(?![\w-])", page.words)
    assert "Research use only" in page.words
    return page
