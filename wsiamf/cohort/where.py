"""What screens a cohort's slides: this machine, a cluster, or a part of them as one job of an array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsiamf.errors import ConfigError
from wsiamf.machine import usable_cores

_CORES_A_SLIDE: Final = 2  # a third core finds little to do beside decoding and classifying one slide


@dataclass(frozen=True)
class Where:
    """What screens the slides.

    Args:
        workers: Dask workers on this machine, a slide each; 0 for none, one slide after the other; None for as many as the
            cores allow.
        threads: Cores a slide; None for 2, or fewer where there are no more.
        scheduler: Address of a Dask scheduler that runs already.
        scheduler_file: The file that a running scheduler wrote.
        cluster: YAML of a cluster to start through dask-jobqueue.
        shard: (I, N) for the I-th of N parts, from 1, without Dask.
    """

    workers: int | None = None
    threads: int | None = None
    scheduler: str | None = None
    scheduler_file: Path | None = None
    cluster: Path | None = None
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        chosen = {
            "--workers": self.workers is not None,
            "--scheduler": self.scheduler is not None,
            "--scheduler-file": self.scheduler_file is not None,
            "--cluster": self.cluster is not None,
            "--shard": self.shard is not None,
        }
        named = [name for name, given in chosen.items() if given]
        if len(named) > 1:
            raise ConfigError(f"{' and '.join(named)}: do not go together; choose one.")

    @property
    def serial(self) -> bool:
        """Whether slides are screened one after the other, without Dask."""
        return self.workers == 0 or self.shard is not None

    @property
    def cores_a_slide(self) -> int:
        """Cores that a child may use."""
        return self.threads or min(_CORES_A_SLIDE, usable_cores())

    @property
    def local_workers(self) -> int:
        """Dask workers to start here."""
        return self.workers or max(1, usable_cores() // self.cores_a_slide)
