"""Slide after slide, in this process or on the workers of a Dask cluster; only small rows travel.

A Dask worker screens a slide in a child process of its own, so that a slide hardly ever ends its worker. Slides that a worker
which died was given, at work or waiting there, are given to another one; where Dask gives them up, each has lost a try.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from distributed import Client, Future, Worker, as_completed, get_worker
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from wsiamf.cohort.children import POOL, ChildPool
from wsiamf.cohort.items import Classes, Item
from wsiamf.cohort.running import Orders, Outcome, screen_item, warm_up, write_failure
from wsiamf.errors import CohortError, OutputError, WsiamfError
from wsiamf.machine import gpu_names

logger = logging.getLogger(__name__)

GPU: Final = "GPU"
"""The resource by which workers with a GPU are known: ``dask worker --resources GPU=1``."""

_POLL_S: Final = 0.05
_LOOK_S: Final = 2.0
_STOP_S: Final = 20.0
_PROBES: Final = 100
_AHEAD: Final = 2  # tasks a worker thread that wait, besides the one at work
_LOST: Final = (ClosedClientError, FutureCancelledError, CommClosedError, OSError)


@dataclass(frozen=True)
class Progress:
    """How far a slide is that this process waits for.

    Args:
        slide_id: The slide.
        done, total: Candidates classified, and in all.
    """

    slide_id: str
    done: int
    total: int


OnEvent = Callable[[Outcome | Progress], None]


def run_serial(items: Iterable[Item], orders: Orders, on_event: OnEvent, *, pool: ChildPool = POOL) -> Counter[str]:
    """Screen slides one after the other, without Dask.

    Args:
        items: What is to be done.
        orders: Of the run.
        on_event: Called with each slide's progress and outcome.
        pool: Where the child is; it ends with the run.

    Returns:
        How many slides are ``done`` and ``failed``.

    Raises:
        CohortError: The model cannot be loaded, or computes otherwise than ``orders.classes``.
    """
    tally: Counter[str] = Counter()
    try:
        for item in items:

            def tell(done: int, total: int, slide_id: str = item.slide_id) -> None:
                on_event(Progress(slide_id, done, total))

            outcome = screen_item(item, orders, on_progress=tell, pool=pool)
            tally[outcome.status] += 1
            on_event(outcome)
    finally:
        pool.stop(orders.child.run)
    return tally


def run_on_dask(items: Iterable[Item], client: Client, orders: Orders, on_event: OnEvent) -> Counter[str]:
    """Screen slides on a cluster's workers; only a few for each worker are handed in at a time.

    Args:
        items: What is to be done; taken one by one as there is room.
        client: Of the cluster.
        orders: Of the run; where it may use a GPU, only workers that offer ``GPU`` are used, if there are any.
        on_event: Called with each slide's outcome.

    Returns:
        How many slides are ``done`` and ``failed``.

    Raises:
        CohortError: The scheduler was lost, or a worker cannot load the model or computes otherwise than ``orders.classes``;
            what is done is kept.
    """
    tally: Counter[str] = Counter()
    with _scheduler_errors(client, tally), _stopped_at_the_end(client, orders.child.run):
        flight = _Flight(client, orders)
        try:
            for outcome in flight.outcomes(iter(items)):
                tally[outcome.status] += 1
                on_event(outcome)
        finally:
            flight.cancel()
    return tally


def probe(client: Client, orders: Orders) -> dict[str, Classes]:
    """Load the model on every worker that is there, and ask what it computes with; the child stays for the first slide.

    Where some workers offer ``GPU`` and the run may use one, only they are asked: the others are for other work.

    Args:
        client: Of the cluster; waited for until it has a worker.
        orders: Of the run.

    Returns:
        What each worker computes with, by its address.

    Raises:
        CohortError: The scheduler was lost, or a worker cannot load the model.
    """
    with _scheduler_errors(client, Counter()):
        for _ in range(_PROBES):
            _wait_for_a_worker(client)
            answers = client.run(_warm_up_here, orders, workers=_gpu_workers(client, orders), on_error="return")
            for address, answer in answers.items():
                if isinstance(answer, Exception) and not isinstance(answer, _LOST):  # a lost worker is no answer
                    raise CohortError(f"worker {address}: {_said(answer)}") from answer
            if found := {address: answer for address, answer in answers.items() if isinstance(answer, Classes)}:
                return found
            time.sleep(_POLL_S)
        raise CohortError("the cluster's workers go away as soon as they are asked; see their logs.")


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, WsiamfError) else f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class _Task:
    item: Item
    lost_workers: int = 0


class _Flight:
    """The slides that the cluster has been given."""

    def __init__(self, client: Client, orders: Orders) -> None:
        self._client = client
        self._orders = orders
        self._tasks: dict[Future[Any], _Task] = {}
        self._done = as_completed(loop=client.loop)
        self._resources = _resources(client, orders)
        self._next_look = 0.0
        self._room = 1
        self._waits = False

    def outcomes(self, items: Iterator[Item]) -> Iterator[Outcome]:
        """What becomes of each item, as it becomes known."""
        self._fill(items)
        while self._tasks:
            batch = self._done.next_batch(block=False)
            for future in batch:
                outcome = self._settled(future)
                if outcome is not None:
                    yield outcome
            self._fill(items)
            if not batch:
                time.sleep(_POLL_S)

    def cancel(self) -> None:
        """Take back what is not at work yet."""
        self._done.clear()
        if _connected(self._client):
            with suppress(*_LOST):
                self._client.cancel(list(self._tasks), force=True)
        self._tasks.clear()

    def _fill(self, items: Iterator[Item]) -> None:
        self._look()
        while len(self._tasks) < self._room:
            item = next(items, None)
            if item is None:
                return
            self._submit(_Task(item))

    def _look(self) -> None:
        """How many workers there are now."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        threads = sum(self._client.nthreads().values())
        if not threads and not self._waits:
            logger.warning("the cluster has no worker; waiting for one")
        self._waits = not threads
        self._room = max(1, threads * (1 + _AHEAD))

    def _submit(self, task: _Task) -> None:
        future = self._client.submit(
            _screen_here,
            task.item,
            self._orders,
            key=f"screen-{task.item.slide_id}-{uuid.uuid4().hex}",
            pure=False,
            resources=self._resources,
        )
        self._tasks[future] = task
        self._done.add(future)

    def _settled(self, future: Future[Any]) -> Outcome | None:
        """A slide's outcome; None where it is tried again.

        A worker that dies with an outcome not fetched yet takes it along: Dask runs the task again, which finds its slide done.
        """
        if not future.done():  # any more
            self._done.add(future)
            return None
        try:
            outcome = future.result()
        except KilledWorker:
            return self._again(self._tasks.pop(future))
        del self._tasks[future]
        assert isinstance(outcome, Outcome)
        return outcome

    def _again(self, task: _Task) -> Outcome | None:
        """Try a slide again whose workers died; its outcome where it has had its tries."""
        lost = replace(task, lost_workers=task.lost_workers + 1)
        logger.warning("%s: the workers that were given it died", task.item.slide_id)
        if lost.lost_workers <= self._orders.retries:
            self._submit(lost)
            return None
        return self._set_aside(lost)

    def _set_aside(self, task: _Task) -> Outcome:
        reason = "the Dask workers that were given it died; see their logs"
        outcome = Outcome(task.item.slide_id, "failed", reason, "crash", attempts=task.lost_workers)
        try:
            write_failure(self._orders.places, outcome)
        except OutputError as error:
            logger.warning("%s", error)
        return outcome


@contextmanager
def _scheduler_errors(client: Client, tally: Counter[str]) -> Iterator[None]:
    """The many ways in which a scheduler's end shows, as one error."""
    address = client.scheduler.address if client.scheduler is not None else "the cluster"
    try:
        yield
    except _LOST as error:
        raise CohortError(
            f"{address}: the scheduler was lost; the {tally['done']} slides that this run has done are kept. "
            "Start a scheduler and run the same command again to go on."
        ) from error


@contextmanager
def _stopped_at_the_end(client: Client, run: str) -> Iterator[None]:
    """End the run's children on all workers, however it ends; slides at work are given up and their locks released."""
    try:
        yield
    finally:
        if _connected(client):
            with suppress(*_LOST):
                client.run(_stop_here, run, on_error="ignore")


def _connected(client: Client) -> bool:
    """Whether the scheduler is there; else every call waits for it in vain, and its workers end by themselves."""
    return bool(client.status == "running")


def _wait_for_a_worker(client: Client) -> None:
    if client.nthreads():
        return
    logger.warning("the cluster has no worker; waiting for one")
    while not client.nthreads():
        time.sleep(_POLL_S * 10)


def _gpu_workers(client: Client, orders: Orders) -> list[str] | None:
    """Addresses of the workers that offer a GPU, where the run may use one; None for all workers."""
    if orders.child.device == "cpu" or orders.child.backend == "openvino":
        return None
    offers = client.run(_offers_gpu_here, on_error="ignore")
    return [address for address, offered in offers.items() if offered] or None


def _resources(client: Client, orders: Orders) -> dict[str, int] | None:
    """What a task asks of its worker: to be one of those that were asked."""
    return {GPU: 1} if _gpu_workers(client, orders) else None


# What follows runs on workers.

_at_work: Final[Counter[str]] = Counter()
"""Slides of each run that this worker has begun and not ended."""
_ended: Final = threading.Condition()


def dask_setup(worker: object) -> None:  # noqa: ARG001 - Dask's signature of a preloaded module
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that leads: it ends children and frees locks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _screen_here(item: Item, orders: Orders) -> Outcome:
    run = orders.child.run
    with _ended:
        _at_work[run] += 1
    try:
        return screen_item(item, _on_own_gpu(orders, get_worker().name))
    finally:
        with _ended:
            _at_work[run] -= 1
            _ended.notify_all()


async def _warm_up_here(orders: Orders, dask_worker: Worker) -> Classes:
    # In a thread, since this coroutine runs on the worker's event loop, which must go on to answer the scheduler.
    own = _on_own_gpu(orders, dask_worker.name)
    await asyncio.to_thread(POOL.stop_others, own.child)
    return await asyncio.to_thread(warm_up, own)


async def _stop_here(run: str) -> None:
    await asyncio.to_thread(_stop_and_wait, run)


def _stop_and_wait(run: str) -> None:
    POOL.stop(run)
    with _ended:
        _ended.wait_for(lambda: _at_work[run] == 0, timeout=_STOP_S)
        del _at_work[run]


def _offers_gpu_here(dask_worker: Worker) -> bool:  # named so, Dask gives it; get_worker fails while a worker registers
    return GPU in dask_worker.state.total_resources


def _on_own_gpu(orders: Orders, worker: object) -> Orders:
    """Give the child of each worker of a machine another GPU, unless the user chose one."""
    child = orders.child
    names = gpu_names()
    if child.cuda_visible is not None or child.device not in ("auto", "cuda") or not names:
        return orders
    number = worker_number(worker)
    return replace(orders, child=replace(child, cuda_visible=names[number % len(names)]))


def worker_number(name: object) -> int:
    """A worker's place among those of its machine, as LocalCluster (``3``) and dask-jobqueue (``SLURMCluster-0-3``) name them.

    Workers that were started by hand are named by their address and count as the first; give each its
    ``CUDA_VISIBLE_DEVICES``.
    """
    text = str(name)
    found = None if "://" in text else re.search(r"(\d+)$", text)
    return int(found[1]) if found else 0
