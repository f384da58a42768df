"""How long ``wsiamf --help`` takes, beside a bare Python and beside importing torch: ``python benchmarks/startup.py``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 9
SIDES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "wsiamf --help": [sys.executable, "-m", "wsiamf", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Run the sides in turn and print medians and ratios."""
    taken: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(ROUNDS):
        for name, command in SIDES.items():
            taken[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, median in medians.items():
        print(f"{name:<16} {median:6.3f} s  ({min(taken[name]):.3f} to {max(taken[name]):.3f})")
    print(f"wsiamf --help / python -c pass = {medians['wsiamf --help'] / medians['python -c pass']:.1f}")
    print(f"import torch / wsiamf --help   = {medians['import torch'] / medians['wsiamf --help']:.1f}")


if __name__ == "__main__":
    main()
