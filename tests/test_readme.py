"""What the README shows works, and the sample's result is what it was."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks("python")
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - the README's own code
    shown = capsys.readouterr().out
    assert re.match(r"\d+ AMF of \d+ figures\n", shown)
    assert "review_rank" in shown
    summary = json.loads((tmp_path / "wsiamf-out" / "sample" / "summary.json").read_text())
    assert summary["hotspots"]
    assert summary["n_ok"] > 40


def test_the_set_up_commands_exist() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert {"scripts/demo", "scripts/test"} <= set(commands)
    for name in ("scripts/demo", "scripts/test", "scripts/check", ".ci/run"):
        subprocess.run(["bash", "-n", str(ROOT / name)], check=True)
        assert (ROOT / name).stat().st_mode & 0o100


def test_every_command_of_the_readme_parses() -> None:
    from wsiamf.cli.main import _COMMANDS

    lines = [line.split("#")[0].split() for block in blocks("sh") for line in block.splitlines()]
    used = {line[1] for line in lines if line[:1] == ["wsiamf"]}
    assert used == set(_COMMANDS)


def test_nothing_of_the_machine_or_of_who_wrote_it() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    texts = [ROOT / name for name in listed if not name.endswith((".tiff", ".safetensors", ".png"))]
    home = str(Path.home())
    found = [path.name for path in texts if path.is_file() and f"{home}/" in path.read_text("utf-8", errors="ignore")]
    assert found == []
