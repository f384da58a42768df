"""The commands of docs/cohort.md: all of them are marked, name options that there are, and those marked tested run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from wsiamf.cli.main import _COMMANDS, run

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "cohort.md").read_text("utf-8")
OUTPUTS_OF_COHORT = {"cohort", "status", "verify", "diff"}


@dataclass(frozen=True)
class Block:
    """A block of commands and what is said of it."""

    mark: str
    lines: tuple[str, ...]

    @property
    def is_tested(self) -> bool:
        return self.mark == "tested"

    @property
    def commands(self) -> set[str]:
        return {line.split()[1] for line in self.lines if line.startswith("wsiamf ")}


def blocks() -> list[Block]:
    found = []
    for text in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL):
        first, *lines = text.splitlines()
        found.append(Block(first.removeprefix("# "), tuple(lines)))
    return found


def wsiamf_lines() -> list[str]:
    """Every call of wsiamf whose command is registered, wherever the page has it."""
    lines = [line.split(" # ")[0].strip() for block in blocks() for line in block.lines]
    calls = [*lines, *re.findall(r'--wrap "(wsiamf [^"]*)"', PAGE), *re.findall(r"`(wsiamf [a-z]+ [^`]*)`", PAGE)]
    script = (DOCS / "slurm_array.sh").read_text("utf-8").replace("\\\n", " ")
    calls += re.findall(r"exec (wsiamf .*)", script)
    return [call for call in calls if call.startswith("wsiamf ") and call.split()[1] in _COMMANDS]


def test_every_block_says_whether_it_was_tested() -> None:
    assert len(blocks()) >= 6
    for block in blocks():
        assert block.is_tested or re.match(r"untested: \w", block.mark), block


@pytest.mark.parametrize("line", wsiamf_lines())
def test_named_options_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)
    path = words[1:3] if words[1:3] == ["cohort", "collect"] else words[1:2]
    assert run([*path, "--help"]) == 0
    known = set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= known


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        known_later = "cohort" not in _COMMANDS and target == "../configs/cluster/slurm.yaml"
        assert (DOCS / target).exists() or known_later, target


@pytest.fixture
def tiny_cohort(tmp_path: Path, sample_data: Path) -> Path:
    """The files that the page names: two slides, their points, one file for both, a manifest."""
    points = pd.read_csv(sample_data / "points.csv")
    (tmp_path / "slides").mkdir()
    (tmp_path / "points").mkdir()
    for name, rows in (("first", points.iloc[:20]), ("second", points.iloc[20:40])):
        shutil.copy(sample_data / "sample.tiff", tmp_path / "slides" / f"{name}.tiff")
        rows.to_csv(tmp_path / "points" / f"{name}.csv", index=False)
    both = [
        pd.read_csv(tmp_path / "points" / f"{name}.csv").assign(slide=f"{name}.tiff") for name in ("first", "second")
    ]
    pd.concat(both).to_csv(tmp_path / "detections.csv", index=False)
    listed = [f"slides/{name}.tiff,points/{name}.csv,case-1" for name in ("first", "second")]
    (tmp_path / "manifest.csv").write_text("\n".join(["slide,points,case_id", *listed]) + "\n")
    (tmp_path / "docs").symlink_to(DOCS)
    return tmp_path


def call(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a user's shell would, with this project's wsiamf."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    wsiamf = programs / "wsiamf"
    wsiamf.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wsiamf "$@"\n')
    wsiamf.chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)} | variables
    command = ["bash", "-euxo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_blocks_marked_tested_run(tiny_cohort: Path) -> None:
    """In their order, in one folder; what hangs on `wsiamf cohort` runs once there is that command."""
    left_out = set() if "cohort" in _COMMANDS else OUTPUTS_OF_COHORT
    runnable = [block for block in blocks() if block.is_tested and not block.commands & left_out]
    assert runnable
    done = call("\n".join(line for block in runnable for line in block.lines), tiny_cohort)
    assert done.returncode == 0, done.stderr[-3000:]
    if "cohort" in _COMMANDS:
        assert pd.read_csv(tiny_cohort / "out-shards" / "cohort.csv")["status"].tolist() == ["done", "done"]


def test_the_array_script(tiny_cohort: Path) -> None:
    script = DOCS / "slurm_array.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o100
    if "cohort" not in _COMMANDS:
        return
    for task in "12":
        variables = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}
        done = call("docs/slurm_array.sh manifest.csv out-array", tiny_cohort, **variables)
        assert done.returncode == 0, done.stderr[-3000:]
    assert {path.parent.name for path in (tiny_cohort / "out-array").glob("*/run.json")} == {"first", "second"}
