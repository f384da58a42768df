"""A file's bytes in blocks that are kept; a thread waits for another only where both need one block."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Lock


class KeptBlocks:
    """The latest blocks of one file.

    Args:
        fetch: Gives the bytes from a first to an end, fewer where the file ends before that.
        block_bytes: Size of a block.
        n_kept: How many blocks are kept.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], block_bytes: int, n_kept: int) -> None:
        self._fetch = fetch
        self._size = block_bytes
        self._n_kept = n_kept
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._lock = Lock()  # of the dictionary; nothing is fetched under it

    def read(self, start: int, end: int) -> bytes:
        """Bytes from ``start`` to ``end``, which comes after it; what is missing of them comes in one request, or one a gap.

        Raises:
            Exception: As of ``fetch``; the blocks are asked for again by the next reading.
        """
        first, last = start // self._size, (end - 1) // self._size
        blocks, missing = self._claim(range(first, last + 1))
        try:
            for run in _runs(missing):
                self._settle(blocks, run, self._fetch(run[0] * self._size, (run[-1] + 1) * self._size))
        except BaseException as error:
            self._give_up([(number, blocks[number]) for number in missing], error)
            raise
        data = b"".join(block.result() for block in blocks.values())  # here others' are waited for
        return data[start - first * self._size : end - first * self._size]

    def put(self, data: bytes) -> None:
        """Keep what is known already: the first blocks, whole but where the file ends."""
        numbers = range(-(-len(data) // self._size))
        self._settle(self._claim(numbers)[0], numbers, data)

    def _claim(self, numbers: Sequence[int]) -> tuple[dict[int, Future[bytes]], list[int]]:
        """Blocks by their number, and which of them it is for the caller to fetch."""
        with self._lock:
            missing = [number for number in numbers if number not in self._blocks]
            self._blocks.update((number, Future()) for number in missing)
            blocks = {number: self._blocks[number] for number in numbers}
            for number in numbers:
                self._blocks.move_to_end(number)
            while len(self._blocks) > self._n_kept:
                self._blocks.popitem(last=False)
        return blocks, missing

    def _settle(self, blocks: dict[int, Future[bytes]], run: Sequence[int], data: bytes) -> None:
        for place, number in enumerate(run):
            blocks[number].set_result(data[place * self._size : (place + 1) * self._size])

    def _give_up(self, claimed: Sequence[tuple[int, Future[bytes]]], error: BaseException) -> None:
        with self._lock:
            for number, block in claimed:
                if not block.done():
                    if self._blocks.get(number) is block:
                        del self._blocks[number]
                    block.set_exception(error)


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Rising numbers in runs without gaps."""
    run: list[int] = []
    for number in numbers:
        if run and number != run[-1] + 1:
            yield run
            run = []
        run.append(number)
    if run:
        yield run
