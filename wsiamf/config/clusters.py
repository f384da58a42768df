"""A cluster that a batch system starts, from YAML."""

from __future__ import annotations

from typing import Literal

from wsiamf.config.base import Count, Frozen


class SlurmConfig(Frozen):
    """Jobs of Dask workers on Slurm; the fields are dask-jobqueue's, but for those that are explained here."""

    kind: Literal["slurm"]
    jobs: Count
    """How many jobs to submit."""
    processes: Count = 1
    """Dask workers a job; each screens a slide at a time on ``--threads-per-worker`` cores."""
    memory: str
    """Of a job, such as ``16GB``."""
    walltime: str
    """``HH:MM:SS``; a job that ends is no failure of the slides it had."""
    gpus: bool = False
    """Whether each worker has a GPU; ask for it in ``job_extra_directives``."""
    queue: str | None = None
    """Slurm's partition."""
    account: str | None = None
    interface: str | None = None
    """Network interface by which jobs reach the scheduler, such as ``ib0``."""
    log_directory: str | None = None
    local_directory: str | None = None
    python: str | None = None
    job_extra_directives: tuple[str, ...] = ()
    job_script_prologue: tuple[str, ...] = ()
