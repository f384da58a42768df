"""Whether a Dask cluster answers, and whether its workers have what this machine has."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from distributed import Client

from wsiamf.doctor.finding import FAIL, PASS, WARN, Verdict

PACKAGES: Final = ("wsiamf", "openvino", "torch", "distributed")
_REMEDY: Final = "give every worker the environment of this machine"

Versions = dict[str, str]


def cluster(scheduler: str | None, scheduler_file: Path | None, *, timeout_s: float) -> Verdict:
    """Connect to a scheduler and compare the versions of its workers with those here.

    Args:
        scheduler: Its address.
        scheduler_file: The file that it wrote, where no address is given.
        timeout_s: How long to wait for it.
    """
    name = scheduler if scheduler is not None else _address_in(scheduler_file)
    if name is None:
        return Verdict(
            FAIL, f"{scheduler_file}: names no scheduler", "start it with: dask scheduler --scheduler-file FILE"
        )
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its own talk of failed tries; ours is one line
    try:
        with Client(name, timeout=timeout_s, set_as_default=False) as client:
            workers = _versions_of_workers(client)
    except (OSError, TimeoutError, ValueError) as error:
        reason = " ".join(str(error).split()) or f"no answer within {timeout_s:g} s"
        return Verdict(FAIL, f"{name}: {reason}", "start the scheduler, or correct its address")
    return judge_workers(name, _versions_here(), workers)


def _address_in(scheduler_file: Path | None) -> str | None:
    if scheduler_file is None:
        return None
    try:
        return str(json.loads(scheduler_file.read_text("utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def judge_workers(name: str, here: Versions, workers: dict[str, Versions]) -> Verdict:
    """The verdict on the versions of a cluster's workers (by address) against those here."""
    if not workers:
        return Verdict(WARN, f"{name} answers and has no worker", "start workers: dask worker ADDRESS --nthreads 1")
    differing = [
        f"{address} has {package} {found.get(package, 'none')} (here {due})"
        for address, found in sorted(workers.items())
        for package, due in here.items()
        if found.get(package) != due
    ]
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        return Verdict(FAIL, f"{name}: {'; '.join(differing[:3])}{more}", _REMEDY)
    told = ", ".join(f"{package} {due}" for package, due in here.items())
    return Verdict(PASS, f"{name} answers with {len(workers)} worker(s) of {told}")


def _versions_here() -> Versions:
    return {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _versions_of_workers(client: Client) -> dict[str, Versions]:
    """By address. Only functions of Python itself are sent, so that a worker without wsiamf can answer."""
    pythons: dict[str, Any] = client.run(platform.python_version)
    found = {address: {"Python": str(python)} for address, python in pythons.items()}
    for name in PACKAGES:
        _add(found, name, client.run(version, name, on_error="return").items())
    return found


def _add(found: dict[str, Versions], name: str, answers: Iterable[tuple[str, Any]]) -> None:
    for address, answer in answers:
        if isinstance(answer, str) and address in found:
            found[address][name] = answer
