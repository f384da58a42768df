"""``screen_cohort``: a manifest or a folder of slides to results, on this machine or on a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from distributed import Client

from wsiamf.cohort.child_process import ChildSettings
from wsiamf.cohort.children import POOL
from wsiamf.cohort.cluster import cluster, dashboard_address
from wsiamf.cohort.collecting import Collected, collect
from wsiamf.cohort.engine import Progress, probe, run_on_dask, run_serial
from wsiamf.cohort.inputs import Cohort
from wsiamf.cohort.items import Classes, Item
from wsiamf.cohort.locks import clock_of, other_shards, run_lock
from wsiamf.cohort.places import Places
from wsiamf.cohort.planning import Due, Plan, due, read_plan, recorded_key, shard, write_plan
from wsiamf.cohort.run_log import RunLog, run_log
from wsiamf.cohort.running import Orders, Outcome, sweep, warm_up
from wsiamf.cohort.where import Where
from wsiamf.config import load_cluster_config
from wsiamf.errors import CohortError
from wsiamf.files import output_errors
from wsiamf.screen.key import COMPUTED_BY


@dataclass(frozen=True)
class Started:
    """What a run is about to do.

    Args:
        due: What is left to do.
        dashboard: Where a browser shows the cluster at work; None for nowhere.
        log: The run's log file.
    """

    due: Due
    dashboard: str | None
    log: Path


@dataclass(frozen=True)
class ShardDone:
    """What became of a shard.

    Args:
        n_by_status: Of the slides that it tried, ``done`` and ``failed``.
    """

    n_by_status: Counter[str]


OnEvent = Callable[[Started | Progress | Outcome], None]


def plan_cohort(cohort: Cohort, where: Where) -> tuple[Plan, Due]:
    """What ``screen_cohort`` would do, checked whole, and judged by what the model computes with here; writes nothing.

    Raises:
        WsiamfError: As ``screen_cohort``.
    """
    plan = cohort.plan()
    orders = _orders(cohort, plan, where)
    with TemporaryDirectory(prefix="wsiamf-") as folder:
        orders = replace(orders, child=replace(orders.child, out=folder))  # for the log of the child
        try:
            return plan, due(plan, cohort.places, warm_up(orders), _part(plan, where))
        finally:
            POOL.stop(orders.child.run)


def screen_cohort(
    cohort: Cohort,
    where: Where | None = None,
    *,
    retries: int = 1,
    time_limit_s: float | None = None,
    allow_mixed: bool = False,
    on_event: OnEvent = lambda _event: None,
) -> Collected | ShardDone:
    """Screen what is due of a cohort, then make its tables (a shard makes none).

    Args:
        cohort: What is to be screened.
        where: What screens it; left out: this machine.
        retries: How often a slide is tried again whose process crashed or took too long.
        time_limit_s: Seconds a slide may take; None for no limit.
        allow_mixed: Go on where workers, or results that stand, differ in backend, precision or device class.
        on_event: Called with what is about to be done, and with each slide's progress and outcome.

    Raises:
        WsiamfError: The cohort, a worker or the output is unusable, the scheduler was lost, or another run works there; what is
            done is kept.
    """
    where = where or Where()
    places, plan = cohort.places, cohort.plan()
    with output_errors(places.out):
        places.locks.mkdir(parents=True, exist_ok=True)
    with run_lock(places.locks, shard=where.shard), run_log(places) as log, _cluster(where) as client:
        _write_plan(plan, places, where)
        sweep(places, (item.slide_id for item in _part(plan, where)))
        orders = replace(_orders(cohort, plan, where), retries=retries, time_limit_s=time_limit_s)
        left, orders = _prepare(plan, places, orders, where, client, allow_mixed=allow_mixed)
        on_event(Started(left, dashboard_address(client) if client else None, log.path))
        tally = _screen(left.todo, client, orders, _also_logged(on_event, log))
        return ShardDone(tally) if where.shard else collect(places)


def _prepare(
    plan: Plan, places: Places, orders: Orders, where: Where, client: Client | None, *, allow_mixed: bool
) -> tuple[Due, Orders]:
    """What is left to do, given what the workers compute with, and orders that hold them to it."""
    found = {"here": warm_up(orders)} if client is None else probe(client, orders)
    classes = _agreed(found, allow_mixed=allow_mixed)
    since = clock_of(places.locks)
    left = due(plan, places, classes, _part(plan, where))
    if left.mixed and not allow_mixed:
        raise CohortError(_mixed_results(left))
    if where.shard and not allow_mixed:
        _check_other_shards(plan, places, classes)
    return left, replace(orders, classes=classes, mixed=allow_mixed, since=since)


def _screen(items: Sequence[Item], client: Client | None, orders: Orders, on_event: OnEvent) -> Counter[str]:
    if client is None:
        return run_serial(items, orders, on_event)
    return run_on_dask(items, client, orders, on_event)


def _also_logged(on_event: OnEvent, log: RunLog) -> OnEvent:
    def tell(event: Started | Progress | Outcome) -> None:
        if isinstance(event, Outcome):
            log.say(
                f"{event.slide_id}: {event.status} in {event.seconds:.1f} s{f': {event.reason}' if event.reason else ''}"
            )
        on_event(event)

    return tell


def _orders(cohort: Cohort, plan: Plan, where: Where) -> Orders:
    child = ChildSettings(
        out=str(cohort.places.out), model=plan.model, **plan.compute, threads=where.cores_a_slide, run=uuid4().hex
    )
    return Orders(child, plan.options, plan.error_rates)


def _part(plan: Plan, where: Where) -> Sequence[Item]:
    return plan.items if where.shard is None else shard(plan.items, *where.shard)


@contextmanager
def _cluster(where: Where) -> Iterator[Client | None]:
    """A client of the workers; None where there is no Dask."""
    if where.serial:
        yield None
        return
    config = load_cluster_config(where.cluster) if where.cluster else None
    with cluster(
        where.local_workers,
        where.cores_a_slide,
        scheduler=where.scheduler,
        scheduler_file=where.scheduler_file,
        config=config,
    ) as client:
        yield client


def _agreed(found: dict[str, Classes], *, allow_mixed: bool) -> Classes:
    """What the workers compute with."""
    kinds = Counter(found.values())
    if len({one.model_sha256 for one in kinds}) > 1:
        raise CohortError("the workers hold different models under one name; give all of them the same bundle.")
    if len(kinds) > 1 and not allow_mixed:
        listed = "; ".join(f"{n} on {one.backend} {one.precision} {one.device_class}" for one, n in kinds.most_common())
        raise CohortError(
            f"the workers differ ({listed}), so that their results would not be alike to the last digit; name --backend and "
            "--device, use workers of one kind, or pass --allow-mixed."
        )
    return kinds.most_common(1)[0][0]


def _mixed_results(left: Due) -> str:
    first = left.mixed[0].slide_id
    return (
        f"{len(left.mixed)} slides are done with another backend, precision or device class ({first}: "
        f"{left.judged[first].why}); name --backend, --device and --precision as they were, choose another --out, or pass "
        "--allow-mixed to keep them."
    )


def _check_other_shards(plan: Plan, places: Places, classes: Classes) -> None:
    """Raise where a slide of any shard is done with another backend, precision or device class."""
    for item in plan.items:
        recorded = recorded_key(places.record(item.slide_id))
        if recorded and any(recorded.get(name) != getattr(classes, name) for name in COMPUTED_BY):
            was = " ".join(str(recorded.get(name)) for name in COMPUTED_BY)
            raise CohortError(
                f"{item.slide_id} is done with {was}, and this shard computes with {classes.backend} {classes.precision} "
                f"{classes.device_class}; name --backend, --device and --precision as they were, or pass --allow-mixed."
            )


def _write_plan(plan: Plan, places: Places, where: Where) -> None:
    """A shard leaves a plan that another living shard may be working by as it is, and must be of one mind with it."""
    if (
        where.shard is not None
        and places.plan.exists()
        and read_plan(places).as_json() != plan.as_json()  # as written, without credentials that signing makes anew
        and other_shards(places.locks, where.shard)
    ):
        raise CohortError(
            f"{places.out}: other shards are at work there by another plan; use the same manifest and options, or wait."
        )
    write_plan(plan, places)
