"""Who a browser may be: in a blinded review the first reader it named, and nobody else."""

from __future__ import annotations

import threading

from wsiamf.errors import ReviewError
from wsiamf.review.decisions import check_reader
from wsiamf.review.server.posts import RefusedError


class Readers:
    """Names that browsers go by.

    Args:
        bound: Whether a browser keeps its first name, so that nobody reads another's answers by asking under another name.
    """

    def __init__(self, *, bound: bool) -> None:
        self._bound = bound
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def check(self, session: str, name: str, *, status: int = 400) -> str:
        """The name, if it can be one and the browser may go by it.

        Args:
            session: Tells the browser from others.
            name: As it came.
            status: HTTP's number for what cannot be a name.

        Raises:
            RefusedError: It cannot be a name, or is another than the browser's first one in a blinded review.
        """
        try:
            check_reader(name)
        except ReviewError as error:
            raise RefusedError(str(error), status) from None
        if not self._bound:
            return name
        with self._lock:
            first = self._names.setdefault(session, name)
        if name != first:
            raise RefusedError(
                f"this review is blinded and this browser is {first}'s; open the link in another one", 403
            )
        return name
