"""Where the Dask workers are: started here, on Slurm, or already there."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Client, LocalCluster

from wsiamf.cohort import engine
from wsiamf.config import SlurmConfig
from wsiamf.errors import CohortError, ConfigError

_CONNECT_S: Final = 15.0
_LOOPBACK: Final = "127.0.0.1"
_DASHBOARD: Final = f"{_LOOPBACK}:8787"  # on loopback alone: whoever reaches it sees names of slides
_TALKATIVE: Final = ("distributed", "distributed.client", "distributed.nanny", "distributed.worker", "tornado")
_SETTINGS: Final = {
    "distributed.comm.timeouts.connect": f"{_CONNECT_S:g}s",
    "distributed.admin.low-level-log-length": 0,  # of workers that work for days
    # Workers do nothing but wait for their children, who want the cores.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}


@contextmanager
def cluster(
    workers: int,
    threads_per_worker: int,
    *,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
    config: SlurmConfig | None = None,
) -> Iterator[Client]:
    """Give a client of a cluster; what was started for it ends with the block.

    Args:
        workers: Worker processes to start on this machine, where none of the others is given.
        threads_per_worker: Cores for the child of each worker.
        scheduler: Address of a scheduler that runs already, ``tcp://host:port``.
        scheduler_file: The file that a running scheduler wrote (``dask scheduler --scheduler-file``).
        config: Of a cluster that a batch system starts.

    Raises:
        CohortError: No scheduler answers, or the workers cannot be started.
        ConfigError: dask-jobqueue is not installed.
    """
    _quiet()
    with dask.config.set(_SETTINGS):
        if scheduler is not None or scheduler_file is not None:
            with closing(_connected(scheduler, scheduler_file)) as client:
                yield client
            return
        started = _local(workers) if config is None else _slurm(config, threads_per_worker)
        # Else Slurm's names the scheduler's host, where the dashboard does not listen.
        link = dask.config.get("distributed.dashboard.link").replace("{host}", _LOOPBACK)
        with (
            dask.config.set({"distributed.dashboard.link": link}),
            closing(started),
            closing(Client(started, set_as_default=False)) as client,
        ):
            yield client


def slurm_options(config: SlurmConfig, threads_per_worker: int) -> dict[str, Any]:
    """What ``dask_jobqueue.SLURMCluster`` is told: workers of one Dask thread, and cores for their children."""
    given = config.model_dump(exclude={"kind", "jobs", "gpus"}, exclude_none=True)
    lists = {name: list(given[name]) for name in ("job_extra_directives", "job_script_prologue")}
    resources = ["--resources", f"{engine.GPU}=1"] if config.gpus else []
    cores = {"cores": config.processes, "job_cpu": config.processes * threads_per_worker}
    return given | lists | cores | {"worker_extra_args": resources}


def dashboard_address(client: Client) -> str | None:
    """Where a browser shows the cluster at work; None where its scheduler shows nothing."""
    link: str | None = client.dashboard_link
    return link or None


def _connected(scheduler: str | None, scheduler_file: Path | None) -> Client:
    where = scheduler or str(scheduler_file)
    if scheduler is None and scheduler_file is not None and not scheduler_file.is_file():
        raise CohortError(f"--scheduler-file {where}: there is no such file; start `dask scheduler --scheduler-file`.")
    try:
        return Client(scheduler, scheduler_file=scheduler_file, timeout=_CONNECT_S, set_as_default=False, name="wsiamf")
    except (OSError, ValueError) as error:
        raise CohortError(f"{where}: no Dask scheduler answers; start `dask scheduler`, or name another.") from error


def _local(workers: int) -> LocalCluster:
    try:
        with _another_port_without_a_word():
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,  # a worker screens one slide at a time; its child uses the cores
                processes=True,
                host=_LOOPBACK,
                dashboard_address=_DASHBOARD,
                memory_limit=None,  # a worker holds nothing, and its child's memory is not its own
                silence_logs=logging.CRITICAL,
                preload=engine.__name__,
            )
    except (OSError, RuntimeError) as error:
        raise CohortError(f"--workers {workers}: the workers cannot be started: {error}.") from error


def _slurm(config: SlurmConfig, threads_per_worker: int) -> Any:
    started = slurm_cluster(config, threads_per_worker)
    try:
        started.scale(jobs=config.jobs)
    except BaseException:
        started.close()
        raise
    return started


def slurm_cluster(config: SlurmConfig, threads_per_worker: int) -> Any:
    """A ``dask_jobqueue.SLURMCluster`` without jobs yet; ``job_script()`` shows what would be submitted.

    Raises:
        ConfigError: dask-jobqueue is not installed.
    """
    try:
        jobqueue = import_module("dask_jobqueue")
    except ImportError as error:
        raise ConfigError("--cluster: dask-jobqueue is not installed; pip install 'wsiamf[slurm]'.") from error
    with _another_port_without_a_word():
        return jobqueue.SLURMCluster(
            scheduler_options={"dashboard_address": _DASHBOARD}, **slurm_options(config, threads_per_worker)
        )


@contextmanager
def _another_port_without_a_word() -> Iterator[None]:
    """Dask takes another port for its dashboard where the usual one is taken, and warns; whoever looks is told the address."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Port .* is already in use")
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)  # of the first try
        yield


def _quiet() -> None:
    """Dask's own talk of lost workers is said by us in terms of slides, or is no news."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
