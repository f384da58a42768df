"""Folders: can they be written to, is there room, and do locks, clocks and SQLite work there."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from wsiamf.doctor.finding import FAIL, PASS, WARN, Verdict

GIB: Final = 1 << 30
LEAST_DISK: Final = 1 * GIB
ENOUGH_DISK: Final = 10 * GIB
SKEW_WARN_S: Final = 5.0
SKEW_FAIL_S: Final = 30.0
"""Half of the time after which a lock without a heartbeat counts as left behind."""

_NETWORK: Final = (
    *("afs", "beegfs", "ceph", "cifs", "fuse.sshfs", "fuse.glusterfs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4"),
    *("panfs", "smb3", "smbfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "pvfs2", "9p", "virtiofs"),
)
"""File systems that other machines write to as well."""


def nearest(path: Path) -> Path:
    """The folder that exists, at a path or above it."""
    place = path.absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return place


def cache_folder() -> Verdict:
    """Whether converted models can be kept; where not, each start converts anew."""
    files = import_module("wsiamf.inference.openvino_files")
    folder: Path = files.cache_folder()
    try:
        _write_trial(folder, make=True)
    except OSError as error:
        return Verdict(
            WARN,
            f"{folder}: cannot be written: {error.strerror or error}; every start converts the model anew",
            f"name another with {files.CACHE_VARIABLE}",
        )
    return Verdict(PASS, f"{folder} can be written")


def writable(out: Path) -> Verdict:
    """Whether results can be written at a path; where it does not exist, beside its nearest parent."""
    if out.exists() and not out.is_dir():
        return Verdict(FAIL, f"{out}: is not a folder", "choose another --out")
    folder = nearest(out)
    try:
        _write_trial(folder, make=False)
    except OSError as error:
        return Verdict(FAIL, f"{folder}: cannot be written: {error.strerror or error}", "choose another --out")
    return Verdict(PASS, f"{folder} can be written")


def free_disk(path: Path) -> Verdict:
    """Room where a path is."""
    folder = nearest(path)
    return judge_disk(folder, shutil.disk_usage(folder).free)


def judge_disk(folder: Path, free: int) -> Verdict:
    """The verdict on a folder's free bytes."""
    found = f"{free / GIB:.1f} GiB free at {folder}"
    if free < LEAST_DISK:
        return Verdict(FAIL, found, "free some, or choose another place (--out; TMPDIR for temporary files)")
    if free < ENOUGH_DISK:
        return Verdict(WARN, found, "a cohort takes about 5 MB a slide and 1 KB a figure: free some if it is large")
    return Verdict(PASS, found)


def file_system(out: Path) -> Verdict:
    """Kind of file system at a path, and whether what the engine and ``wsiamf tune`` need works on it."""
    folder = nearest(out)
    kind = mounted_as(folder)
    with TemporaryDirectory(prefix=".wsiamf-doctor-", dir=folder) as made:
        problems = _lock_problems(Path(made)) + _sqlite_problems(Path(made))
        skew_s = _clock_skew_s(Path(made))
    return judge_file_system(kind, problems, skew_s)


def judge_file_system(kind: str, problems: list[str], skew_s: float) -> Verdict:
    """The verdict on a kind of file system, what failed on it, and how far its clock is ahead of this machine's."""
    if problems:
        return Verdict(FAIL, f"{kind}: {'; '.join(problems)}", "choose an --out on another file system")
    if abs(skew_s) > SKEW_FAIL_S:
        return Verdict(
            FAIL, f"{kind}: its clock is off by {skew_s:.0f} s, so locks would look stale", "set the clocks (NTP)"
        )
    if abs(skew_s) > SKEW_WARN_S:
        return Verdict(WARN, f"{kind}: its clock is off by {skew_s:.0f} s", "set the clocks (NTP)")
    if kind in _NETWORK:
        return Verdict(
            WARN,
            f"{kind}, a network file system: locks and SQLite work here, but not surely between machines",
            "run cohorts side by side with --shard; keep the database of `wsiamf tune` on a local disk",
        )
    return Verdict(PASS, f"{kind}: locks, clock and SQLite work")


def mounted_as(folder: Path) -> str:
    """Type of the file system that holds a folder, ``unknown`` where the system does not say."""
    real = folder.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    holding = [point for point in mounts if real == point or point in real.parents]
    return mounts[max(holding, key=lambda point: len(point.parts))] or "unknown" if holding else "unknown"


def _write_trial(folder: Path, *, make: bool) -> None:
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".wsiamf-doctor-", dir=folder) as made:
        (Path(made) / "trial").write_bytes(b"trial")


def _lock_problems(folder: Path) -> list[str]:
    """A lock is a file that only one process can make."""
    lock = folder / "trial.lock"
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return []
    return ["two processes could hold one lock"]


def _sqlite_problems(folder: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(folder / "trial.sqlite", timeout=2)) as database:
            database.execute("begin exclusive")
            database.execute("create table trial (n integer)")
            database.commit()
    except sqlite3.Error as error:
        return [f"SQLite fails: {error}"]
    return []


def _clock_skew_s(folder: Path) -> float:
    """How far the file system's clock is ahead, from the time it gives to a new file."""
    path = folder / "trial.clock"
    path.write_bytes(b"trial")
    return path.stat().st_mtime - time.time()
