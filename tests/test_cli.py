"""The command line: exit codes, one line an error, data on stdout and talk on stderr."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.coordinate_slide import coordinate_coded, write_pyramid_tiff
from tests.run_processes import start_command
from tests.tiny_model import tiny_bundle
from wsiamf.cli.main import _COMMANDS, run, wsiamf

WSIAMF = [sys.executable, "-m", "wsiamf"]


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return write_pyramid_tiff(tmp_path / "slide.tiff", coordinate_coded(1000, 800), 0.25)


@pytest.fixture
def points(tmp_path: Path) -> Path:
    path = tmp_path / "points.csv"
    path.write_text("x,y\n200,200\n500,400\n")
    return path


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(tiny_bundle(tmp_path / "tiny").folder)


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("b/2.png", "a/1.png", "a/3.jpg"):
        path = tmp_path / "crops" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(path)
    return tmp_path / "crops"


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*WSIAMF, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in _COMMANDS:
        assert run([name, "--help"]) == 0
        assert "Usage: wsiamf" in capsys.readouterr().out
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and text in shown for name, text in _COMMANDS.items())


def test_listed_help_is_the_commands_own_first_line() -> None:
    import click

    context = click.Context(wsiamf)
    for name, text in _COMMANDS.items():
        command = wsiamf.get_command(context, name)
        assert command is not None
        assert command.help is not None
        first = command.help.splitlines()[0].rstrip(".")
        assert text.rstrip(".").split()[0] == first.split()[0]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["screen"],
        ["screen", "a.svs"],
        ["screen", "a", "--points", "b", "--threshold", "most"],
        ["info", "-x"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err


def test_a_failure_is_one_line_and_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["screen", "gone.svs", "--points", "gone.csv"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("wsiamf: error: gone.svs")


def test_screen(slide: Path, points: Path, model: str, tmp_path: Path) -> None:
    done = call("screen", slide, "--points", points, "--out", tmp_path / "out", "--model", model, "--threshold", "0.4")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out' / 'slide'}\n"
    assert "2 of 2 candidates count" in done.stderr
    assert "\r" not in done.stderr  # no progress bar in a pipe
    again = call("-q", "screen", slide, "--points", points, "--out", tmp_path / "out", "--model", model)
    assert (again.returncode, again.stdout) == (1, "")
    assert "--overwrite" in again.stderr
    quiet = call("-q", "screen", slide, "--points", points, "--out", tmp_path / "out", "--model", model, "--overwrite")
    assert (quiet.returncode, quiet.stderr) == (0, "")


@contextmanager
def on_a_terminal(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], Iterator[bytes]]]:
    """A call whose stderr is a terminal, and what it shows there, piece by piece."""
    ours, theirs = pty.openpty()
    started = start_command(*arguments, stderr=theirs, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"})
    os.close(theirs)

    def shown() -> Iterator[bytes]:
        while select.select([ours], [], [], 300)[0]:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # on Linux, where the other end is closed
                return
            if not chunk:
                return
            yield chunk
        pytest.fail("it shows nothing more, and does not end")

    try:
        with started as process:
            yield process, shown()
    finally:
        os.close(ours)


def test_progress_on_a_terminal(slide: Path, points: Path, model: str, tmp_path: Path) -> None:
    arguments = ["screen", slide, "--points", points, "--out", tmp_path / "out", "--model", model]
    with on_a_terminal(*arguments) as (process, chunks):
        shown = b"".join(chunks)
    assert process.returncode == 0
    assert b"candidates" in shown
    assert b"\x1b[" in shown


def test_ctrl_c_leaves_nothing(slide: Path, tmp_path: Path, model: str) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{x},{y}" for x, y in rng.integers(0, 800, (100_000, 2))]
    (tmp_path / "many.csv").write_text("\n".join(["x,y", *rows]))
    out = tmp_path / "out"
    arguments = ["screen", slide, "--points", tmp_path / "many.csv", "--out", out, "--model", model, "--merge-um", "0"]
    for number in (signal.SIGINT, signal.SIGTERM):
        with on_a_terminal(*arguments) as (process, chunks):
            shown = next(chunks)
            while not re.search(rb"[1-9]\d*/100000", shown):  # some are classified; before, the bar says 0/?
                shown += next(chunks)
            process.send_signal(number)
            shown += b"".join(chunks)
        # Whatever is caught, Python ends by the signal where it came inside exec(), as when a dataclass is imported.
        assert process.returncode in (1, -signal.SIGINT)
        assert b"interrupted" in shown
        assert b"Traceback" not in shown
        assert not out.exists()


_SWALLOWS = """
import contextlib, os, signal, sys, time
from wsiamf.cli import main

def run(_):
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.{name})
        time.sleep(5)
    try:
        time.sleep(20)
        return 0
    except KeyboardInterrupt:
        time.sleep(1)  # cleaning up, longer than the time between two interrupts
        return 1

main._AGAIN_S = 0.2
main.run = run
main.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_that_an_import_swallows_comes_again(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SWALLOWS.format(name=name)], timeout=60, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"")


def test_predict_to_a_file_and_to_stdout(crops: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "preds.csv"
    assert call("predict", crops, "--out", out, "--model", model).returncode == 0
    table = pd.read_csv(out)
    columns = ["file", "p_atypical", "p_hard", "p_atypical_expert_1", "p_atypical_expert_2", "label", "conformal"]
    assert table.columns.tolist() == columns
    assert table["file"].tolist() == ["a/1.png", "a/3.jpg", "b/2.png"]
    assert ((table["p_atypical"] >= 0.5) == (table["label"] == "AMF")).all()
    assert call("predict", crops, "--out", out, "--model", model).returncode == 1
    shown = call("predict", crops / "b", crops / "a", "--model", model)
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(shown.stdout)).sort_values("file", ignore_index=True).drop(columns="file"),
        table.sort_values("file", key=lambda names: names.str[2:], ignore_index=True).drop(columns="file"),
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "a" / "1.png").write_text("x"), "1.png"),
        (lambda folder: Image.new("RGB", (64, 64)).save(folder / "a" / "1.png"), "1.png: is 64x64 px"),
        (lambda folder: [path.unlink() for path in folder.rglob("*.*")], "holds no crop images"),
    ],
)
def test_bad_crops(
    crops: Path, model: str, spoil: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(spoil)
    spoil(crops)
    assert run(["predict", str(crops), "--model", model, "--out", str(tmp_path / "o.csv")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o.csv").exists()


def test_info(slide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(slide), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["width"], facts["height"], facts["mpp"]) == (1000, 800, pytest.approx(0.25))
    assert run(["info", str(slide)]) == 0
    assert "level 2" in capsys.readouterr().out


def test_info_without_mpp_still_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pyramid_tiff(tmp_path / "s.tiff", coordinate_coded(400, 300), None)
    assert run(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["mpp"] is None
    assert (facts["mpp_status"], facts["mpp_source"]) == ("missing", "none")
    assert run(["info", str(path), "--json", "--mpp", "0.3"]) == 0
    assert json.loads(capsys.readouterr().out)["mpp"] == 0.3


def test_models(capsys: pytest.CaptureFixture[str], model: str) -> None:
    assert run(["models", "list"]) == 0
    assert capsys.readouterr().out.startswith("default\twsiamf-lite2-")
    assert run(["models", "show"]) == 0
    assert "Research use only" in capsys.readouterr().out
    assert run(["models", "show", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"


def test_train_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "no-such-config"]) == 1
    assert "shipped names are: default" in capsys.readouterr().err
    assert run(["train", "default", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    assert "run `wsiamf crossval` first" in capsys.readouterr().err
    assert run(["crossval", "default", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    assert "no such folder of crops" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("given", "used"), [(None, "system"), ("mimalloc", "mimalloc")])
def test_arrow_keeps_no_memory_unless_told_to(given: str | None, used: str) -> None:
    report = "print(pyarrow.default_memory_pool().backend_name)"
    script = f"from wsiamf.cli.main import main\ntry: main()\nfinally:\n import pyarrow\n {report}"
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    environment |= {} if given is None else {"ARROW_DEFAULT_MEMORY_POOL": given}
    command = [sys.executable, "-c", script, "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == used


def test_help_is_quick() -> None:
    """Nothing heavy is loaded; how long it takes is shown by benchmarks, what is loaded by test_imports."""
    assert call("--help").returncode == 0
    assert call("--version").stdout.startswith("wsiamf, version ")


def test_predict_never_overwrites_a_file_of_the_users(crops: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "mine.csv"
    out.write_text("hello")
    assert run(["predict", str(crops), "--model", model, "--out", str(out), "--overwrite"]) == 1
    assert out.read_text() == "hello"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_stdout_is_one_line(crops: Path, model: str) -> None:
    with Path("/dev/full").open("wb") as full:
        arguments = [*WSIAMF, "-q", "predict", str(crops), "--model", model]
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr


def test_a_name_that_the_disk_refuses_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b]0;title\x07" + "x" * 300
    assert run(["verify", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"wsiamf: error: {tmp_path}/\\x1b]0;title\\x07xxx")
    assert said.endswith(": File name too long\n")


def test_odd_ids_are_drawn(slide: Path, model: str, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text('id,x,y\n"a\nb",500,500\n' + "x" * 5000 + ",600,600\n")
    assert (
        run(
            [
                "-q",
                "screen",
                str(slide),
                "--points",
                str(tmp_path / "odd.csv"),
                "--model",
                model,
                "--out",
                str(tmp_path),
            ]
        )
        == 0
    )
