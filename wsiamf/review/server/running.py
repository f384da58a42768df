"""Serving until Ctrl-C: the socket, the link, and a clean end."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvicorn

from wsiamf.errors import ReviewError
from wsiamf.export.results import find_results
from wsiamf.files import dump_json, write_text
from wsiamf.review.decisions import DecisionStore, check_reader
from wsiamf.review.places import ReviewPlaces, check_out
from wsiamf.review.server.app import make_app
from wsiamf.review.server.board import UNLISTED_REVIEW, Board
from wsiamf.review.server.front_end import built_files
from wsiamf.review.server.gate import LOOPBACK_NAMES, HostNames
from wsiamf.review.worklist import Worklist
from wsiamf.review.worklist_files import read_worklist

_log = logging.getLogger(__name__)

_END_S: Final = 3


def serve_review(
    out: Path,
    *,
    announce: Callable[[str], None],
    slide_folders: Sequence[Path] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    reader: str | None = None,
    blinded: bool = False,
    adjudicator: str | None = None,
) -> None:
    """Serve the review of a folder of results until the process is interrupted.

    Args:
        out: The OUT of screen or cohort.
        announce: Called with the link once the server can be reached.
        slide_folders: Where slides are looked for that are not where they were.
        host: Name or address to listen on.
        port: 0 for the one that OUT was served on last, or any that is free: browsers keep what they have not sent under
            host and port.
        reader: Who reviews; None lets the page ask.
        blinded: Hide calls, ranks, reasons and other readers.
        adjudicator: The reader who decides where the others have no majority.

    Raises:
        ReviewError: The page is not built, the port is taken, or decisions or worklist cannot be used.
        ExportError: There are no results.
        OutputError: The port cannot be kept in OUT.
    """
    files = built_files()
    for name in (reader, adjudicator):
        if name is not None:
            check_reader(name)
    places = check_out(out)
    results = find_results(out)  # before anything is written
    worklist = _worklist(places)
    with listening_again(host, port, places) as listener, DecisionStore(places.decisions) as store:
        if port or not _kept_port(places):
            _keep_port(places, listener)
        board = Board(out, results, store, worklist=worklist, blinded=blinded, adjudicator=adjudicator)
        token = secrets.token_urlsafe(32)
        names = host_names(host)
        app = make_app(board, files, token=token, hosts=names, reader=reader, slide_folders=slide_folders)
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_END_S,
                limit_concurrency=200,
            ),
            lambda: announce(link_of(host, listener.getsockname()[1], token)),
        )
        with suppress(KeyboardInterrupt):  # uvicorn has ended by then, and raises the signal again
            server.run(sockets=[listener])


def _worklist(places: ReviewPlaces) -> Worklist | None:
    if places.worklist.exists():
        return read_worklist(places.out)
    _log.warning(
        "no worklist: the first %d figures by rank are listed, which makes no estimate valid; draw one: "
        "wsiamf review worklist %s --review-budget N",
        UNLISTED_REVIEW,
        places.out,
    )
    return None


def listening_again(host: str, port: int, places: ReviewPlaces) -> socket.socket:
    """A socket on the port asked for; where none is, on the one that the review was served on last if it is free."""
    kept = 0 if port else _kept_port(places)
    if kept:
        try:
            return listening(host, kept)
        except ReviewError:
            _log.warning(
                "port %d, on which %s was served last, is in use; serving on another. What a browser has kept unsent is sent "
                "when the review is served there again.",
                kept,
                places.out,
            )
    return listening(host, port)


def _kept_port(places: ReviewPlaces) -> int:
    try:
        port = int(json.loads(places.server.read_text("utf-8"))["port"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0
    return port if 0 < port < 1 << 16 else 0


def _keep_port(places: ReviewPlaces, listener: socket.socket) -> None:
    write_text(places.server, dump_json({"port": listener.getsockname()[1]}))


class _Server(uvicorn.Server):
    """Says when it can be reached."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._on_start()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ReviewError: The host is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # elsewhere it would let two servers share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ReviewError(f"{host}:{port}: cannot be listened on: {reason}; choose other --host or --port.") from error
    return listener


def host_names(host: str) -> HostNames:
    """The names under which a server on that host may be asked."""
    if _is_loopback(host):
        return HostNames(LOOPBACK_NAMES)
    own = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return HostNames(LOOPBACK_NAMES | own, any_address=True)


def link_of(host: str, port: int, token: str) -> str:
    """The link that lets a browser in."""
    shown = socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/?token={token}"


def _is_loopback(host: str) -> bool:
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
