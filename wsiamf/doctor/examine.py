"""The list of checks, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir

from wsiamf.doctor import limits, software, storage
from wsiamf.doctor.finding import Finding, Verdict, carry_out

CLUSTER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Asked:
    """What is to be examined beside the machine itself.

    Args:
        model: A shipped name or a bundle's folder; None for the default.
        out: Where results would go; it need not exist.
        scheduler: Address of a Dask scheduler, such as ``tcp://host:8786``.
        scheduler_file: The file that a Dask scheduler wrote, in its place.
    """

    model: str | None = None
    out: Path = Path()
    scheduler: str | None = None
    scheduler_file: Path | None = None


def examine(asked: Asked) -> Iterator[Finding]:
    """Carry out every check, each when it is asked for."""
    for name, check in _checks(asked):
        yield carry_out(name, check)


def _checks(asked: Asked) -> Iterator[tuple[str, Callable[[], Verdict]]]:
    torch = cache(software.torch_facts)  # one start of torch serves two checks
    openvino = cache(software.openvino_facts)
    yield "Python", software.python
    yield "wsiamf", software.package
    yield "OpenVINO", lambda: software.openvino(openvino())
    yield "telemetry", lambda: software.telemetry(openvino())
    yield "torch", lambda: software.torch(torch())
    yield "GPU", lambda: software.gpu(torch())
    yield "OpenSlide", software.openslide
    yield "image codecs", software.codecs
    yield "model", partial(software.model, asked.model)
    yield "int8 form", partial(software.int8_form, asked.model)
    yield "cache", storage.cache_folder
    yield "results folder", partial(storage.writable, asked.out)
    yield "disk of results", partial(storage.free_disk, asked.out)
    yield "disk of temporary files", partial(storage.free_disk, Path(gettempdir()))
    yield "file system", partial(storage.file_system, asked.out)
    yield "memory", limits.memory
    yield "cores", limits.cores
    yield "open files", limits.open_files
    if asked.scheduler is not None or asked.scheduler_file is not None:
        yield "cluster", partial(_cluster, asked)


def _cluster(asked: Asked) -> Verdict:
    # loaded only here: most examinations ask for no cluster
    found: Verdict = import_module("wsiamf.doctor.cluster").cluster(
        asked.scheduler, asked.scheduler_file, timeout_s=CLUSTER_TIMEOUT_S
    )
    return found
