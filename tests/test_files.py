"""Whole or not at all; never over what is not ours."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wsiamf.errors import OutputError, OutputExistsError
from wsiamf.files import (
    atomic_file,
    dump_json,
    fingerprint,
    refuse_existing,
    remove_leftovers,
    staged_folder,
    write_text,
)


def accept(_: Path) -> None:
    """Any folder may be replaced."""


def refuse(folder: Path) -> None:
    raise OutputExistsError(f"{folder}: not ours")


def test_a_file_is_replaced_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old\n")
    with pytest.raises(RuntimeError, match="boom"), atomic_file(target) as path:
        path.write_text("half")
        raise RuntimeError("boom")
    assert target.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_written_file_has_the_users_rights(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with staged_folder(target, overwrite=False, may_replace=refuse) as staged:
        (staged / "a").write_text("1")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    with (
        pytest.raises(failure),
        staged_folder(tmp_path / "deep" / "out", overwrite=False, may_replace=refuse) as staged,
    ):
        (staged / "a").write_text("1")
        raise failure
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("1")
    with pytest.raises(RuntimeError), staged_folder(target, overwrite=True, may_replace=accept) as staged:
        (staged / "new").write_text("2")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["old"]


def test_overwrite_replaces_the_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("1")
    with staged_folder(target, overwrite=True, may_replace=accept) as staged:
        (staged / "new").write_text("2")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_refusals_come_before_any_work(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    worked = False
    for overwrite, may_replace, message in (
        (False, accept, "pass --overwrite"),
        (False, refuse, "not ours"),
        (True, refuse, "not ours"),
    ):
        with (
            pytest.raises(OutputExistsError, match=message),
            staged_folder(target, overwrite=overwrite, may_replace=may_replace),
        ):
            worked = True
    assert not worked


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "users").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "users")
    with (
        pytest.raises(OutputExistsError, match="not a folder that wsiamf wrote"),
        staged_folder(tmp_path / "out", overwrite=True, may_replace=accept),
    ):
        pass


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    # A limit on file size fails a write as a full disk does, with another errno.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with (
            pytest.raises(OutputError, match=r"out/big: cannot be written: File too large"),
            staged_folder(tmp_path / "out", overwrite=False, may_replace=refuse) as staged,
        ):
            write_text(staged / "big", "x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs a folder nobody can write to")
def test_an_unwritable_place_is_one_clear_error() -> None:
    with (
        pytest.raises(OutputError, match=r"/proc/wsiamf-out: cannot be written"),
        staged_folder(Path("/proc/wsiamf-out"), overwrite=False, may_replace=refuse),
    ):
        pass


@pytest.mark.parametrize("name", ["out", "a.b", "out-abcd1234", "x" * 240])
def test_what_a_killed_process_left_is_known_by_its_target(tmp_path: Path, name: str) -> None:
    others = {".wsiamf-cohort", ".wsiamf-other-abcd1234", ".wsiamf-out-abcd1234-abcd123", "out-abcd1234.txt"}
    for other in others:
        (tmp_path / other).mkdir()
    code = (
        "import os, sys; from pathlib import Path; from wsiamf.files import staged_folder\n"
        "with staged_folder(Path(sys.argv[1]), overwrite=False, may_replace=print) as folder:\n"
        "    (folder / 'half').touch(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=False)
    assert len(list(tmp_path.iterdir())) == len(others) + 1
    assert len(remove_leftovers(tmp_path / name)) == 1
    assert {path.name for path in tmp_path.iterdir()} == others


def test_half_a_file_is_known_by_its_target(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from wsiamf.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.json")], check=False)
    assert len(remove_leftovers(tmp_path / "a.json")) == 1
    assert list(tmp_path.iterdir()) == []
    assert remove_leftovers(tmp_path / "nowhere" / "a.json") == []


def test_refuse_existing_file(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    refuse_existing(target, overwrite=False)
    target.write_text("x")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        refuse_existing(target, overwrite=False)
    refuse_existing(target, overwrite=True)
    with pytest.raises(OutputExistsError, match="not a file"):
        refuse_existing(tmp_path, overwrite=True)


def test_fingerprint_knows_content_not_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"x" * 3_000_000)
    second.write_bytes(b"x" * 3_000_000)
    assert fingerprint([first]) == fingerprint([second])
    second.write_bytes(b"x" * 2_999_999 + b"y")
    assert fingerprint([first]) != fingerprint([second])


def test_json_never_holds_nan() -> None:
    assert dump_json({"a": [1, None]}, indent=None) == '{"a": [1, null]}\n'
    with pytest.raises(ValueError, match="Out of range float"):
        dump_json({"a": float("nan")})
