"""What the page posts, checked, and kept once however often it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from wsiamf.errors import ReviewError, WsiamfError
from wsiamf.review.answers import Answer, Decision, utc_now
from wsiamf.review.server.board import Board
from wsiamf.review.server.shown_slides import mark_of

_CHANGED: Final = "the results have changed since this page was opened; reload it"


class RefusedError(WsiamfError):
    """A post that makes no sense here; asking again would not help.

    Args:
        status: HTTP's number for it.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Post(BaseModel):
    """What every post says: who, and what tells this very post from every other."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reader: Annotated[str, Field(min_length=1, max_length=100)]
    nonce: Annotated[str, Field(min_length=8, max_length=64)]


class _Answering(Post):
    slide: Annotated[str, Field(min_length=1, max_length=255)]
    answer: Annotated[Answer, Field(strict=False)]
    seconds: Annotated[float, Field(ge=0, le=1e7)] | None = None


class AnswerPost(_Answering):
    """An answer about a figure, told by its slide's id and its uuid: rows and numbers are others once OUT has changed."""

    uuid: Annotated[str, Field(max_length=64)]


class AddedPost(_Answering):
    """A figure that the points missed, its centre in level-0 px of the slide that has the id and this content (``mark``)."""

    mark: Annotated[str, Field(max_length=64)]
    x: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    y: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class WithdrawPost(Post):
    """A reader takes an answer back."""

    id: Annotated[int, Field(ge=1)]


class Keeper:
    """Keeps what is posted in the decisions file.

    A browser that lost the answer to a post sends it again. The nonce, which stands in the file beside the row it made, tells
    that it was kept already, however much was answered or taken back since.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    def keep_answer(self, post: AnswerPost) -> int:
        """Keep an answer; it is on disk when this returns.

        Returns:
            Its number as readers are told it (``Board.shown_number``).

        Raises:
            RefusedError: The figure is not among the results, or the nonce is another reader's.
            ReviewError: The file cannot be written to; asking again may help.
        """
        row = self._board.row_named(post.slide, post.uuid)
        if row is None:
            raise RefusedError(f"{post.slide}: {_CHANGED}", 409)
        return self._keep(post, self._board.decision_on(row, post.reader, post.answer, post.seconds, utc_now()))

    def keep_addition(self, post: AddedPost) -> int:
        """Keep a figure that the points missed; as ``keep_answer``."""
        slide = self._board.slide_named(post.slide)
        if slide is None or mark_of(slide) != post.mark:
            raise RefusedError(f"{post.slide}: {_CHANGED}", 409)
        if post.x > slide.frame.width or post.y > slide.frame.height:
            raise RefusedError("the place is not on the slide", 422)
        place = post.x, post.y
        return self._keep(post, self._board.addition(slide, place, post.reader, post.answer, post.seconds, utc_now()))

    def withdraw(self, post: WithdrawPost) -> int:
        """Take an answer back.

        Raises:
            RefusedError: It is no answer of that reader, or was taken back already, other than by this very post.
            ReviewError: The file cannot be written to.
        """
        number = self._board.number_of(post.id, post.reader)
        if number is None:
            raise RefusedError(f"decision {post.id}: there is no such answer to withdraw", 409)
        with _refused_for_good():
            kept = self._board.store.withdraw(number, post.reader, nonce=post.nonce)
        return self._board.shown_number(kept, post.reader)

    def _keep(self, post: AnswerPost | AddedPost, decision: Decision) -> int:
        with _refused_for_good():
            kept = self._board.store.append(decision, nonce=post.nonce)
        return self._board.shown_number(kept, post.reader)


@contextmanager
def _refused_for_good() -> Iterator[None]:
    try:
        yield
    except ReviewError as error:
        if error.__cause__ is not None:  # the disk's fault, so that it is worth while to ask again
            raise
        raise RefusedError(str(error), 409) from None
