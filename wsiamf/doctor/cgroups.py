"""Limits of the control group that a container or a batch system puts a process into (Linux, versions 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")
_UNLIMITED_BYTES: Final = 1 << 60  # version 1 writes a number near 2**63 for no limit


def memory_left(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes that may still be taken before a limit is met; None without a limit."""
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    left = []
    for folder in _folders(root, own, "memory"):
        for limit_name, used_name in names:
            limit, used = _number(folder / limit_name), _number(folder / used_name)
            if limit is not None and limit < _UNLIMITED_BYTES:
                left.append(max(0, limit - (used or 0)))
    return min(left, default=None)


def core_quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Cores' worth of time that may be used; None without a quota."""
    shares = []
    for folder in _folders(root, own, "cpu"):
        words = _words(folder / "cpu.max")
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
            shares.append(int(words[0]) / int(words[1]))
        if quota is not None and period is not None and quota > 0 and period > 0:
            shares.append(quota / period)
    return min(shares, default=None)


def _folders(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """The process's own group and every group round it, for a controller."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        if not base.is_dir():
            base = root / controller
        inner = base / path.lstrip("/")
        yield inner
        yield from (parent for parent in inner.parents if parent == base or base in parent.parents)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").split()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    words = _words(path)
    try:
        return int(words[0]) if words else None
    except ValueError:
        return None
