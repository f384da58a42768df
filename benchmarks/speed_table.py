"""The table of ``speed.py``: its rows, the machine, and both as Markdown and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = ("torch", "openvino", "openslide-python", "openslide-bin", "imagecodecs", "tifffile", "numpy")


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        what: What was done.
        ours: Our side, with its unit.
        other: The other side, by name and with its unit.
        ratio: How many times as fast ours is.
        target: The least ratio that is aimed at; None where there is no aim.
        aim: The target in other words than ``>= target``.
    """

    what: str
    ours: str
    other: str
    ratio: float
    target: float | None = None
    aim: str | None = None

    @property
    def reached(self) -> str:
        """``yes``, ``no``, or nothing where there is no target."""
        return "" if self.target is None else "yes" if self.ratio >= self.target else "no"


def rate_row(what: str, ours: float, name: str, other: float, target: float | None = None) -> Row:
    """A row of two rates, in crops per second."""
    return Row(what, _rate(ours), f"{name} {_rate(other)}", ours / other, target)


def machine_facts(rival: dict[str, Any] | None) -> dict[str, str]:
    """Processor, cores in use, and versions on both sides."""
    facts = {
        "processor": _processor(),
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}",
        "python": platform.python_version(),
    }
    facts |= {name: version(name) for name in _PACKAGES}
    if rival is not None:
        facts |= {"tiatoolbox": rival["tiatoolbox"], "torch beside tiatoolbox": rival["torch"]}
    return facts


def markdown(rows: Sequence[Row], facts: dict[str, str], notes: Sequence[str]) -> str:
    """The table, what stands below it, and the machine."""
    lines = ["| what | ours | other side | ratio | target | reached |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        target = row.aim or ("" if row.target is None else f">= {row.target:g}")
        lines.append(f"| {row.what} | {row.ours} | {row.other} | {row.ratio:.2f} | {target} | {row.reached} |")
    lines += ["", *(f"- {note}" for note in notes), f"- {', '.join(f'{key} {value}' for key, value in facts.items())}"]
    return "\n".join(lines) + "\n"


def save(
    folder: Path, rows: Sequence[Row], facts: dict[str, str], notes: Sequence[str], seconds: dict[str, Any]
) -> str:
    """Write ``speed.md`` and ``speed.json``; returns the former's text."""
    text = markdown(rows, facts, notes)
    (folder / "speed.md").write_text(text, "utf-8")
    values = {"rows": [asdict(row) for row in rows], "machine": facts, "notes": list(notes), "seconds": seconds}
    (folder / "speed.json").write_text(json.dumps(values, indent=1) + "\n", "utf-8")
    return text


def _rate(crops_per_s: float) -> str:
    """Three digits are more than a shared machine is good for."""
    return f"{crops_per_s:,.0f}/s" if crops_per_s >= 100 else f"{crops_per_s:.3g}/s"


def _processor() -> str:
    """The processor's name as Linux gives it."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
