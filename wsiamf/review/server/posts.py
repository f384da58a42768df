"""What the page posts, checked, and kept once however often it is sent."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from wsiamf.errors import ReviewError, WsiamfError
from wsiamf.review.answers import ADDED, Answer, Decision, utc_now
from wsiamf.review.decisions import check_reader
from wsiamf.review.server.board import Board

_REMEMBERED: Final = 10_000
_SAME_UM: Final = 1e-6


class RefusedError(WsiamfError):
    """A post that makes no sense here; asking again would not help.

    Args:
        status: HTTP's number for it.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Post(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    reader: Annotated[str, Field(min_length=1, max_length=100)]
    nonce: Annotated[str, Field(min_length=8, max_length=64)]
    retry: bool = False


class _Answering(_Post):
    slide: Annotated[int, Field(ge=0)]
    answer: Annotated[Answer, Field(strict=False)]
    seconds: Annotated[float, Field(ge=0, le=1e7)] | None = None


class AnswerPost(_Answering):
    """An answer about a figure; its uuid must be that of the row, lest a page that is out of date judges another."""

    figure: Annotated[int, Field(ge=0)]
    uuid: Annotated[str, Field(max_length=64)]


class AddedPost(_Answering):
    """A figure that the points missed, its centre in level-0 px."""

    x: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    y: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class WithdrawPost(_Post):
    """A reader takes an answer back."""

    id: Annotated[int, Field(ge=1)]


class Keeper:
    """Keeps what is posted in the decisions file.

    A browser that lost the answer to a post sends it again. The nonce tells that it was kept already; after a restart, which
    forgets nonces, a post sent again is compared with what stands.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, int] = OrderedDict()

    def keep_answer(self, post: AnswerPost) -> int:
        """Keep an answer; it is on disk when this returns.

        Returns:
            Its number.

        Raises:
            RefusedError: There is no such figure, or the reader's name is none.
            ReviewError: The file cannot be written to; asking again may help.
        """
        row = self._board.row_of(post.slide, post.figure)
        if row is None:
            raise RefusedError("there is no such figure", 404)
        decision = self._board.decision_on(row, post.reader, post.answer, post.seconds, utc_now())
        if decision.candidate_uuid != post.uuid:
            raise RefusedError("the results have changed since this page was opened; reload it", 409)
        return self._keep(post, decision)

    def keep_addition(self, post: AddedPost) -> int:
        """Keep a figure that the points missed; as ``keep_answer``."""
        slide = self._board.slide_of(post.slide)
        if slide is None:
            raise RefusedError("there is no such slide", 404)
        if post.x > slide.frame.width or post.y > slide.frame.height:
            raise RefusedError("the place is not on the slide", 422)
        place = post.x, post.y
        return self._keep(
            post, self._board.addition(post.slide, place, post.reader, post.answer, post.seconds, utc_now())
        )

    def withdraw(self, post: WithdrawPost) -> int:
        """Take an answer back.

        Raises:
            RefusedError: It is no answer of that reader, or was taken back already, other than by this very post.
            ReviewError: The file cannot be written to.
        """
        with self._lock:
            if post.nonce not in self._kept:
                if post.retry and all(one.decision_id != post.id for one in self._board.store.current()):
                    return post.id
                self._remember(post.nonce, self._withdraw(post))
            return self._kept[post.nonce]

    def _withdraw(self, post: WithdrawPost) -> int:
        try:
            return self._board.store.withdraw(post.id, post.reader)
        except ReviewError as error:
            if error.__cause__ is not None:  # the disk's fault, so that it is worth while to ask again
                raise
            raise RefusedError(str(error), 409) from None

    def _keep(self, post: AnswerPost | AddedPost, decision: Decision) -> int:
        try:
            check_reader(post.reader)
        except ReviewError as error:
            raise RefusedError(str(error), 422) from None
        with self._lock:
            if post.nonce in self._kept:
                return self._kept[post.nonce]
            standing = self._standing(decision) if post.retry else None
            number = self._board.store.append(decision) if standing is None else standing
            self._remember(post.nonce, number)
            return number

    def _standing(self, decision: Decision) -> int | None:
        """Number of the same answer of the same reader at the same place, if it stands."""
        for one in self._board.store.current():
            same = (one.reader, one.answer, one.fingerprint) == (
                decision.reader,
                decision.answer,
                decision.fingerprint,
            ) and (one.kind == ADDED) == (decision.kind == ADDED)
            if same and abs(one.x_um - decision.x_um) + abs(one.y_um - decision.y_um) < _SAME_UM:
                return one.decision_id
        return None

    def _remember(self, nonce: str, number: int) -> None:
        self._kept[nonce] = number
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
