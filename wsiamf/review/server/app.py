"""The web application: addresses, and what answers at each.

Handlers are plain functions, which starlette runs on threads: they read slides and write to the disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wsiamf._version import __version__
from wsiamf.errors import ReviewError, SlideError, SlideNotFoundError, problem_line
from wsiamf.export.results import SlideResult
from wsiamf.review.server.board import Board
from wsiamf.review.server.byte_cache import ByteCache
from wsiamf.review.server.front_end import CONTENT_TYPES
from wsiamf.review.server.gate import SESSION, Gate, HostNames
from wsiamf.review.server.handles import SlideShelf
from wsiamf.review.server.pictures import VIEWS, tile_jpeg, view_jpeg
from wsiamf.review.server.posts import AddedPost, AnswerPost, Keeper, Post, RefusedError, WithdrawPost
from wsiamf.review.server.pyramid import Pyramid
from wsiamf.review.server.readers import Readers
from wsiamf.review.server.shown_slides import mark_of, slide_facts
from wsiamf.slides import Slide, open_slide
from wsiamf.slides.finding import find_slide

# A picture's address names the slide's content, so that it never changes; other than pages it may be kept by the browser.
_KEPT: Final = {"Cache-Control": "private, max-age=86400, immutable"}
_JPEG: Final = "image/jpeg"

RESULTS_HEADER: Final = "Wsiamf-Results"
"""On every answer ``Board.results_hash``, by which a page learns that the server was started anew on other results."""

_Body = TypeVar("_Body", bound=Post)


def make_app(
    board: Board,
    files: dict[str, Path],
    *,
    token: str,
    hosts: HostNames | None = None,
    reader: str | None = None,
    slide_folders: Sequence[Path] = (),
) -> Gate:
    """The application.

    Args:
        board: What is under review.
        files: The built page (``front_end.built_files``).
        token: The secret in the link.
        hosts: Names of this machine; None for loopback's.
        reader: Who reviews; None asks.
        slide_folders: Where slides are looked for that are not where they were.
    """
    handlers = _Handlers(board, files, reader, slide_folders)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        handlers.shelf.close()

    app = Starlette(
        routes=handlers.routes(),
        lifespan=lifespan,
        exception_handlers={
            HTTPException: _http_error,
            RefusedError: _refused,
            ReviewError: partial(_said, status=503),  # the decisions file, which may be busy or its disk full
            SlideNotFoundError: partial(_said, status=404),
            SlideError: partial(_said, status=500),
        },
    )
    # outermost, so that even what answers an unforeseen error carries its headers
    return Gate(app, token=token, hosts=hosts or HostNames(), headers={RESULTS_HEADER: board.results_hash})


class _Handlers:
    """What answers at each address."""

    def __init__(self, board: Board, files: dict[str, Path], reader: str | None, slide_folders: Sequence[Path]) -> None:
        self._board = board
        self._files = files
        self._preset = reader
        self._folders = slide_folders
        self._keeper = Keeper(board)
        self._readers = Readers(bound=board.blinded)
        self._tiles = ByteCache()
        self.shelf = SlideShelf([partial(_open, result, slide_folders) for result in board.results])

    def routes(self) -> list[Route]:
        return [
            *(Route(address, self.page_file, methods=["GET"]) for address in ["/", *self._files]),
            Route("/api/session", self.session, methods=["GET"]),
            Route("/api/slides/{slide:int}", self.slide, methods=["GET"]),
            Route("/api/slides/{slide:int}/figures", self.figures, methods=["GET"]),
            Route("/api/slides/{slide:int}/figures/{figure:int}", self.case, methods=["GET"]),
            Route("/api/worklist", self.worklist, methods=["GET"]),
            Route("/api/answers", self.answers, methods=["GET"]),
            Route("/api/counts", self.counts, methods=["GET"]),
            Route("/api/adjudication", self.adjudication, methods=["GET"]),
            Route("/api/answers", self._post(AnswerPost, self._keeper.keep_answer), methods=["POST"]),
            Route("/api/added", self._post(AddedPost, self._keeper.keep_addition), methods=["POST"]),
            Route("/api/withdraw", self._post(WithdrawPost, self._keeper.withdraw), methods=["POST"]),
            Route("/tiles/{slide:int}/{mark}/{level:int}/{column:int}_{row:int}.jpg", self.tile, methods=["GET"]),
            Route("/pictures/{slide:int}/{mark}/{view}.jpg", self.view, methods=["GET"]),
        ]

    def page_file(self, request: Request) -> Response:
        address = "/index.html" if request.url.path == "/" else request.url.path
        path = self._files[address]
        kept = _KEPT if address.startswith("/assets/") else None
        return Response(path.read_bytes(), media_type=CONTENT_TYPES[path.suffix], headers=kept)

    def session(self, _request: Request) -> Response:
        return JSONResponse(self._board.session() | {"version": __version__, "reader": self._preset})

    def slide(self, request: Request) -> Response:
        number = request.path_params["slide"]
        result = self._slide(number)
        with self.shelf.borrow(number):  # says in time that the slide is not found or cannot be read
            pass
        return JSONResponse(slide_facts(number, result, blinded=self._board.blinded))

    def figures(self, request: Request) -> Response:
        number = request.path_params["slide"]
        self._slide(number)
        return Response(self._board.packed_figures(number), media_type="application/octet-stream")

    def case(self, request: Request) -> Response:
        return JSONResponse(self._board.case(self._row(request)))

    def worklist(self, request: Request) -> Response:
        return JSONResponse({"rows": self._board.worklist(self._reader(request))})

    def answers(self, request: Request) -> Response:
        reader = self._reader(request)
        revision = self._board.shown_revision(reader)
        if request.query_params.get("since") == str(revision):
            return JSONResponse({"revision": revision})
        return JSONResponse({"revision": revision, "answers": self._board.answers(reader)})

    def counts(self, _request: Request) -> Response:
        self._refuse_blinded()
        return JSONResponse(self._board.counts())

    def adjudication(self, _request: Request) -> Response:
        self._refuse_blinded()
        return JSONResponse({"disputes": self._board.disputes()})

    def tile(self, request: Request) -> Response:
        number, level, column, row = (request.path_params[name] for name in ("slide", "level", "column", "row"))
        frame = self._marked(request).frame
        pyramid = Pyramid(frame.width, frame.height)
        box = pyramid.box(level, column, row)
        if box is None:
            raise HTTPException(404, "there is no such tile")
        return self._picture(number, (number, level, column, row), lambda slide: tile_jpeg(slide, pyramid, level, box))

    def view(self, request: Request) -> Response:
        number, name = request.path_params["slide"], request.path_params["view"]
        frame = self._marked(request).frame
        if name not in VIEWS:
            raise HTTPException(404, f"no such view; there are {', '.join(VIEWS)}")
        try:
            x, y = (float(request.query_params[axis]) for axis in ("x", "y"))
        except (KeyError, ValueError):
            raise HTTPException(400, "x and y are level-0 px") from None
        if not (0 <= x <= frame.width and 0 <= y <= frame.height):
            raise HTTPException(404, "the place is not on the slide")
        return self._picture(number, (number, name, x, y), lambda slide: view_jpeg(slide, (x, y), VIEWS[name]))

    def _picture(self, number: int, key: tuple[Any, ...], draw: Callable[[Slide], bytes]) -> Response:
        def make() -> bytes:
            with self.shelf.borrow(number) as slide:
                return draw(slide)

        return Response(self._tiles.get(key, make), media_type=_JPEG, headers=_KEPT)

    def _slide(self, number: int) -> SlideResult:
        result = self._board.slide_of(number)
        if result is None:
            raise HTTPException(404, "there is no such slide")
        return result

    def _marked(self, request: Request) -> SlideResult:
        result = self._slide(request.path_params["slide"])
        if request.path_params["mark"] != mark_of(result):
            raise HTTPException(404, "that was another slide's; reload the page")
        return result

    def _row(self, request: Request) -> int:
        row = self._board.row_of(request.path_params["slide"], request.path_params["figure"])
        if row is None:
            raise HTTPException(404, "there is no such figure")
        return row

    def _reader(self, request: Request) -> str:
        return self._readers.check(request.scope[SESSION], request.query_params.get("reader", ""))

    def _refuse_blinded(self) -> None:
        if self._board.blinded:
            raise HTTPException(403, "this review is blinded")

    def _post(self, kind: type[_Body], keep: Callable[[_Body], int]) -> Callable[[Request], Any]:
        async def handler(request: Request) -> Response:
            try:
                post = kind.model_validate_json(await request.body())
            except ValidationError as error:
                return JSONResponse({"error": problem_line(error.errors())}, 422)
            self._readers.check(request.scope[SESSION], post.reader, status=422)
            return JSONResponse({"id": await run_in_threadpool(keep, post)})

        return handler


def _open(result: SlideResult, folders: Sequence[Path]) -> Slide:
    path = find_slide(result.slide_name, result.fingerprint, result.slide_path, folders)
    return open_slide(path, mpp=result.frame.mpp)


def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "starlette calls a handler with its own kind of error"
    return JSONResponse({"error": error.detail}, error.status_code)


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError), "starlette calls a handler with its own kind of error"
    return JSONResponse({"error": str(error)}, error.status)


def _said(_request: Request, error: Exception, *, status: int) -> Response:
    return JSONResponse({"error": str(error)}, status)
