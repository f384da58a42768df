"""The documentation: its commands are marked, name options that there are, and run where marked tested; the site builds."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd
import pytest

from wsiamf.cli.main import _COMMANDS, run, wsiamf

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


@dataclass(frozen=True)
class Block:
    """A block of commands or of Python, and what is said of it."""

    page: str
    language: str
    mark: str
    lines: tuple[str, ...]

    @property
    def is_tested(self) -> bool:
        return self.mark == "tested"

    @property
    def script(self) -> str:
        return "\n".join(self.lines)


def text_of(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    found = []
    for language, text in re.findall(r"```(sh|python)\n(.*?)```", text_of(page), flags=re.DOTALL):
        first, *lines = text.splitlines()
        found.append(Block(page, language, first.removeprefix("# "), tuple(lines)))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


def wsiamf_lines() -> list[str]:
    """Every call of wsiamf, wherever a page has it."""
    calls = [line.split(" # ")[0].strip() for block in BLOCKS if block.language == "sh" for line in block.lines]
    for page in PAGES:
        calls += re.findall(r'--wrap "(wsiamf [^"]*)"', text_of(page))
        calls += re.findall(r"`(wsiamf [a-z]+ [^`]*)`", text_of(page))
    readme = "\n".join(re.findall(r"```sh\n(.*?)```", (DOCS.parent / "README.md").read_text("utf-8"), flags=re.DOTALL))
    calls += [line.split(" # ")[0].strip() for line in readme.replace("\\\n", " ").splitlines()]
    script = (DOCS / "slurm_array.sh").read_text("utf-8").replace("\\\n", " ")
    calls += re.findall(r"exec (wsiamf .*)", script)
    return sorted({call for call in calls if call.startswith("wsiamf ") and not call.startswith("wsiamf -")})


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}: {block.mark}")
def test_every_block_says_whether_it_was_tested(block: Block) -> None:
    assert block.is_tested or re.match(r"untested: \w", block.mark)


@pytest.mark.parametrize("line", wsiamf_lines())
def test_named_options_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)
    group = click.Context(wsiamf).command.get_command(click.Context(wsiamf), words[1])  # type: ignore[attr-defined]
    is_group = isinstance(group, click.Group) and len(words) > 2 and words[2] in group.commands
    assert run([*words[1 : 3 if is_group else 2], "--help"]) == 0
    known = set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text_of(page)):
        assert (DOCS / target).exists(), target


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    commands = (tmp_path / "site" / "cli" / "index.html").read_text("utf-8")
    known = set(_COMMANDS)
    for name in _COMMANDS:
        group = click.Context(wsiamf).command.get_command(click.Context(wsiamf), name)  # type: ignore[attr-defined]
        known |= {f"{name}-{inner}" for inner in getattr(group, "commands", ())}
    assert "review-serve" in known
    assert [name for name in known if f'id="wsiamf-{name}"' not in commands] == []
    pages = [path.read_text("utf-8") for path in (tmp_path / "site").rglob("*.html")]
    loaded = [
        tag for page in pages for tag in re.findall(r"<(?:script|img|link|iframe)[^>]*?(?:src|href)=[^>]*>", page)
    ]
    assert [tag for tag in loaded if re.search(r"(?:src|href)=\"?https?://", tag)] == []


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


def run_blocks(page: str, folder: Path) -> None:
    """A page's blocks that are marked tested, in their order, in one folder."""
    tested = [block for block in blocks(page) if block.is_tested]
    assert tested
    for block in tested:
        script = (
            block.script if block.language == "sh" else f"{shlex.quote(sys.executable)} -c {shlex.quote(block.script)}"
        )
        done = call(script, folder)
        assert done.returncode == 0, done.stderr[-3000:]


def test_the_cohort_page(tiny_cohort: Path) -> None:
    run_blocks("cohort.md", tiny_cohort)
    assert pd.read_csv(tiny_cohort / "out-shards" / "cohort.csv")["status"].tolist() == ["done", "done"]


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.is_tested} - {"cohort.md"}))
def test_any_other_page(page: str, tmp_path: Path) -> None:
    for name in ("sample_data", "results", "docs"):
        # what the project keeps is linked into the folder, but for `results`, which the tutorial makes anew
        if not (name == "results" and "--out results" in text_of(page)):
            (tmp_path / name).symlink_to(ROOT / name)
    run_blocks(page, tmp_path)


def test_the_array_script(tiny_cohort: Path) -> None:
    script = DOCS / "slurm_array.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o100
    for task in "12":
        variables = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}
        done = call("docs/slurm_array.sh manifest.csv out-array", tiny_cohort, **variables)
        assert done.returncode == 0, done.stderr[-3000:]
    assert {path.parent.name for path in (tiny_cohort / "out-array").glob("*/run.json")} == {"first", "second"}
