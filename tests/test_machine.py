"""What a process may use of its machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsiamf import machine


@pytest.fixture(autouse=True)
def _no_limit_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_limits", [])


def test_a_limit_lowers_and_never_raises() -> None:
    present = machine.usable_cores()
    machine.limit_cores(present + 7)
    assert machine.usable_cores() == present
    machine.limit_cores(1)
    assert (machine.usable_cores(), machine.core_limit()) == (1, 1)


@pytest.mark.parametrize(
    ("given", "names"), [("2,3", ["2", "3"]), ("GPU-8a", ["GPU-8a"]), ("", []), (None, ["0", "1"])]
)
def test_gpus_are_named_as_cuda_names_them(
    given: str | None, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(machine, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert machine.gpu_names() == names
