"""Where a slide is: a path on a local disk, or the URL of an object in a store or on a web server.

``Path("s3://bucket/a.svs")`` collapses to ``s3:/bucket/a.svs``, so text that may name a slide goes through ``parse_address``
before it becomes a path. A URL may hold credentials: ``str(url)`` leaves them out, so that messages, logs and records are safe
without further thought, and what really opens the slide asks for ``Url.full``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

_SCHEME: Final = r"[a-z][a-z0-9+.-]+://"  # two letters at least: C:// is a disk of Windows
_LINK: Final = rf"::(?={_SCHEME})"
_URL: Final = re.compile(rf"(?:[a-z][a-z0-9+.-]+::)*{_SCHEME}", re.IGNORECASE)
_LINKED: Final = re.compile(_LINK, re.IGNORECASE)
_IN_TEXT: Final = re.compile(
    rf"(?P<scheme>{_SCHEME})(?P<user>[^\s/?#'\"<>]*@)?(?P<place>(?:(?!{_LINK})[^\s?#'\"<>])*)(?:[?#][^\s'\"<>]*)?",
    re.IGNORECASE,
)
_WEB: Final = frozenset({"http", "https"})
_CONTAINER_FIRST: Final = frozenset({"abfs", "abfss", "az", "oci", "wasb", "wasbs"})
"""Protocols that write ``container@account``: what stands before ``@`` there is no user, unless it has a password."""

_REPOSITORY_FIRST: Final = "github"  # github://organisation:repository@branch/
_SHORTEST_SECRET: Final = 4  # a user of one letter would be cut out of every word
_SHORTEST_VALUE: Final = 8  # as would "media" of "?alt=media"


class Url:
    """The address of a slide that is not on a local disk. It has of a path's words what a slide's name needs.

    Args:
        full: The URL, with the credentials that it may hold.
    """

    __slots__ = ("full",)

    def __init__(self, full: str) -> None:
        self.full = full

    @property
    def protocol(self) -> str:
        """What stands before ``://``, in lower case: ``s3``, ``https``, ``memory``, ..."""
        return self.full.partition("://")[0].lower()

    @property
    def name(self) -> str:
        """The last component of its path, without query; of a web address as it reads decoded. Empty where there is none."""
        place = str(self).partition("://")[2].rstrip("/").partition("/")[2]
        if self.protocol in _WEB:
            place = unquote(place)
        return place.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The name's last suffix, with its dot."""
        return Path(self.name).suffix

    def absolute(self) -> Url:
        """Itself: an address is not relative to anything."""
        return self

    def without_secrets(self, text: str) -> str:
        """A text about this address, such as a library's message, without any of the credentials that it may repeat."""
        text = text.replace(self.full, str(self))
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "...")
        return without_secrets(text)

    def _secrets(self) -> set[str]:
        """Users, passwords and the query, whole and value by value, as they stand in the URL and decoded."""
        found = {secret for part in _LINKED.split(self.full) for secret in _secrets_of(part)}
        return {secret for secret in found | set(map(unquote, found)) if len(secret) >= _SHORTEST_SECRET}

    def __str__(self) -> str:
        return "::".join(_shown(part) for part in _LINKED.split(self.full))

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.full == other.full

    def __hash__(self) -> int:
        return hash(self.full)


Address = Path | Url


def parse_address(place: str | Path | Url, folder: Path | None = None) -> Address:
    """What text, or a path, says about where a slide is; ``file://`` is a path.

    Args:
        place: A path, or a URL.
        folder: What a relative path starts from; the working folder where left out. A URL is left as it is.
    """
    if isinstance(place, str) and _URL.match(place):
        if not place.lower().startswith("file://"):
            return Url(place)
        place = url2pathname(urlsplit(place).path)
    if isinstance(place, Url):
        return place
    return Path(place) if folder is None else folder / place


def without_secrets(text: str) -> str:
    """A text whose URLs have lost users, passwords, queries and fragments."""

    def shown(found: re.Match[str]) -> str:
        user = found["user"] or ""
        return f"{found['scheme']}{'' if _is_secret(found['scheme'], user) else user}{found['place']}"

    return _IN_TEXT.sub(shown, text)


def _shown(part: str) -> str:
    """One address, of the several that a chained one may hold, without its secrets."""
    scheme, mark, rest = part.partition("://")
    rest = rest.partition("?")[0]
    if scheme.lower() in _WEB:
        rest = rest.partition("#")[0]  # a store's names may hold one
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    return f"{scheme}{mark}{host if _is_secret(scheme, user) else f'{user}{at}{host}'}{slash}{path}"


def _secrets_of(part: str) -> set[str]:
    scheme, _, rest = part.partition("://")
    place, _, query = rest.partition("?")
    user, query = place.partition("/")[0].rpartition("@")[0], query.partition("#")[0]
    values = {value for pair in query.split("&") if len(value := pair.partition("=")[2]) >= _SHORTEST_VALUE}
    return {query, *values} | ({user, user.partition(":")[2]} if _is_secret(scheme, user) else set())


def _is_secret(scheme: str, user: str) -> bool:
    """Whether what stands before ``@`` is a user, with or without a password, rather than a part of the place."""
    protocol = scheme.lower().removesuffix("://")
    return protocol != _REPOSITORY_FIRST and (protocol not in _CONTAINER_FIRST or ":" in user)
