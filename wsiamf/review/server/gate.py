"""Who may ask: the host's name, the token in the link, the cookie it is exchanged for, and where a post comes from.

The server holds patients' slides, and any page that the same browser has open can send it requests. So a request needs a
cookie that only the printed link gives and that the browser never sends along from another site (SameSite=Strict; cookies know
no ports, so that another server under this host name is sent it too); a post needs
this server's own Origin; and a name that is not this machine's is refused, so that a foreign name which resolves to this
address (DNS rebinding) leads nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES: Final = 64 << 10
"""A decision is a few hundred bytes."""

SESSION: Final = "wsiamf.session"
"""In the scope of what passes: the secret that tells one browser from another."""

LOOPBACK_NAMES: Final = frozenset({"localhost"})

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Browsers ignore it, and complain, where a page comes over the network without encryption.
_LOOPBACK_HEADERS: Final = {"Cross-Origin-Opener-Policy": "same-origin"}
# The page that follows the link: a redirect would be made on behalf of whatever page held the link, and a strict cookie is
# not sent on its behalf; a page that goes on by itself is our own.
_ENTRANCE: Final = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
    '<link rel="icon" href="data:,"><title>wsiamf review</title>'
)


@dataclass(frozen=True)
class HostNames:
    """Names under which this server may be asked.

    Args:
        names: Host names, in lower case and without a port.
        any_address: Whether an IP address of any kind will do, for a server that listens on all of them; else loopback
            addresses alone. An address is no name that somebody else can point here.
    """

    names: Collection[str] = LOOPBACK_NAMES
    any_address: bool = False

    def allows(self, host: str) -> bool:
        """Whether a ``Host`` header names this machine, whatever its port (a tunnel may have another)."""
        name = _without_port(host)
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return self.any_address or address.is_loopback


class Gate:
    """ASGI middleware that lets pass what this server's own page asks, and puts the security headers on every answer.

    Args:
        app: What lies behind.
        token: The secret in the link.
        hosts: Names of this machine.
        headers: Of every answer from behind the gate, for those alone that it lets pass.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: HostNames, headers: Mapping[str, str]) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts
        self._behind = headers
        self._cookie = f"wsiamf-review-{hashlib.sha256(token.encode()).hexdigest()[:12]}"
        self._sessions: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer = self._answer(Request(scope))
        headers = _headers_for(Headers(scope=scope).get("host", ""))
        if answer is not None:
            await answer(scope, receive, _with_headers(send, headers))
            return
        await self._app(scope, receive, _with_headers(send, {**headers, **self._behind}))

    def _answer(self, request: Request) -> Response | None:
        """What is said in place of passing the request on; None lets it pass."""
        headers = request.headers
        if not self._hosts.allows(headers.get("host", "")):
            return PlainTextResponse("This server does not go by that name.", 421)
        if request.method not in {"GET", "HEAD", "POST"}:
            return PlainTextResponse("Not allowed.", 405)
        if request.url.path == "/" and "token" in request.query_params:
            return self._enter(request)
        session = self._session(headers)
        if session is None:
            return PlainTextResponse("Open the link that wsiamf review printed last; it lets this browser in.", 403)
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return PlainTextResponse("Asked by another site.", 403)
        request.scope[SESSION] = session
        return _refused_post(request) if request.method == "POST" else None

    def _enter(self, request: Request) -> Response:
        if not _same(request.query_params["token"], self._token):
            return PlainTextResponse("That link is of no use; open the one that wsiamf review printed last.", 403)
        session = self._session(request.headers) or secrets.token_urlsafe(32)
        self._sessions.add(session)
        entrance = HTMLResponse(_ENTRANCE, headers={"Cache-Control": "no-store"})
        entrance.set_cookie(self._cookie, session, httponly=True, samesite="strict", path="/")
        return entrance

    def _session(self, headers: Headers) -> str | None:
        """The session that the browser's cookie names; None where there is none."""
        named = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        found = [session for session in self._sessions if _same(named, session)]
        return found[0] if found else None


def _refused_post(request: Request) -> Response | None:
    """A post must come from this server's own page, hold JSON and be small."""
    headers = request.headers
    if headers.get("origin", "").partition("://")[2] != headers["host"]:
        return _error("posted by another site", 403)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return _error("not JSON", 415)
    length = headers.get("content-length", "")
    if not length.isdigit() or "transfer-encoding" in headers:  # which would override the length
        return _error("no content length", 411)
    return _error("too large", 413) if int(length) > MAX_BODY_BYTES else None


def _error(words: str, status: int) -> Response:
    return JSONResponse({"error": words}, status)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _headers_for(host: str) -> dict[str, str]:
    return _HEADERS | _LOOPBACK_HEADERS if HostNames().allows(host) else _HEADERS


def _with_headers(send: Send, added: Mapping[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in added.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
