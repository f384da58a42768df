"""The build hook: what it builds, when it does nothing, and what it says without Node.js."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The hook over a copy of the sources, with npm replaced by something that must not be called."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shutil.copytree(ROOT / "frontend", tmp_path / "frontend", ignore=shutil.ignore_patterns("node_modules"))
    static = tmp_path / "static"
    for name, value in {"FRONT_END": tmp_path / "frontend", "STATIC": static, "STAMP": static / "build.json"}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.delenv(module.REQUIRE, raising=False)
    return module


def pretend_built(hook: ModuleType) -> None:
    hook.STATIC.mkdir()
    (hook.STATIC / "index.html").write_text("built")
    hook.STAMP.write_text(json.dumps({"sources": hook.source_hash()}))


def without_node(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook.shutil, "which", lambda _name: None)


def test_nothing_is_done_where_the_build_is_current(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_built(hook)
    monkeypatch.setattr(hook, "_run", lambda *_arguments: pytest.fail("built again"))
    monkeypatch.setenv(hook.REQUIRE, "1")
    hook.build_front_end()


@pytest.mark.parametrize("changed", ["src/state/index.ts", "package-lock.json", "index.html", "public/icon.svg"])
def test_any_source_makes_the_build_old(hook: ModuleType, changed: str) -> None:
    pretend_built(hook)
    assert hook.built_hash() == hook.source_hash()
    with (hook.FRONT_END / changed).open("a") as stream:
        stream.write("\n")
    assert hook.built_hash() != hook.source_hash()


def test_what_npm_installed_is_no_source(hook: ModuleType) -> None:
    before = hook.source_hash()
    (hook.FRONT_END / "node_modules").mkdir()
    (hook.FRONT_END / "node_modules" / "thing.js").write_text("x")
    assert hook.source_hash() == before


def test_a_build_without_its_page_is_none(hook: ModuleType) -> None:
    pretend_built(hook)
    (hook.STATIC / "index.html").unlink()
    assert hook.built_hash() is None


def test_without_node(hook: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    without_node(hook, monkeypatch)
    hook.build_front_end()
    assert "Node.js 20.19, or 22.12 or newer is not installed" in capsys.readouterr().err
    monkeypatch.setenv(hook.REQUIRE, "1")
    with pytest.raises(SystemExit, match=hook.REQUIRE):
        hook.build_front_end()


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.0.1", True),
    ],
)
def test_which_node_will_do(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, enough: bool
) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    monkeypatch.setattr(hook.shutil, "which", lambda _name: str(node))
    assert hook._has_node() is enough


def test_a_failed_build_is_an_error(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook.shutil, "which", lambda _name: "/bin/false")
    monkeypatch.setattr(hook, "_has_node", lambda: True)
    with pytest.raises(SystemExit, match="npm ci"):
        hook.build_front_end()


def test_packages_hold_the_page_and_its_sources() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    assert hatch["artifacts"] == ["/wsiamf/review/static"]
    assert "custom" in hatch["hooks"]
    assert {"/frontend", "/hatch_build.py"} <= set(hatch["targets"]["sdist"]["include"])


def test_packages_of_the_page_are_locked_and_from_the_registry() -> None:
    lock = json.loads((ROOT / "frontend" / "package-lock.json").read_text("utf-8"))
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert len(packages) > 5
    registry = "https://registry.npmjs.org/"
    for name, one in packages.items():
        assert one.get("resolved", registry).startswith(registry), name
        assert one["integrity"].startswith("sha512-"), name
