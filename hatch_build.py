"""Build hook: the review page of ``frontend/`` into ``wsiamf/review/static/``, which wheels and source archives hold.

Runs whenever the package is built or installed, editable too; ``python hatch_build.py`` does the same by hand. What was
built is told by a hash of its sources, so that nothing is done where it is current. Without Node.js nothing is built and
``wsiamf review`` says so, unless ``WSIAMF_REQUIRE_FRONTEND=1`` makes that an error, as for releases and tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand, outside a build
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent
FRONT_END = ROOT / "frontend"
STATIC = ROOT / "wsiamf" / "review" / "static"
STAMP = STATIC / "build.json"
REQUIRE = "WSIAMF_REQUIRE_FRONTEND"
NODES = "20.19, or 22.12 or newer"  # Vite's

_BUNDLED = ("openseadragon", "preact", "@preact/signals", "@preact/signals-core")


class FrontEndHook(BuildHookInterface):  # type: ignore[misc, valid-type, unused-ignore]
    """Hatchling's entry."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build before files are collected."""
        build_front_end()


def build_front_end() -> None:
    """Build the page if its sources are not those of which the present one was built.

    Raises:
        SystemExit: ``WSIAMF_REQUIRE_FRONTEND=1`` and it cannot be built, or the build fails.
    """
    if not FRONT_END.is_dir():
        return _missing("the sources of the review page are not here")
    wanted = source_hash()
    if built_hash() == wanted:
        return None
    npm = shutil.which("npm")
    if npm is None or not _has_node():
        return _missing(f"Node.js {NODES} is not installed")
    _run(npm, "ci", "--no-audit", "--no-fund")
    _run(npm, "run", "build")
    (STATIC / "licenses.txt").write_text(_licenses(), "utf-8")
    STAMP.write_text(json.dumps({"sources": wanted}) + "\n", "utf-8")
    return None


def source_hash() -> str:
    """sha256 over names and content of all sources."""
    digest = hashlib.sha256()
    for path in sorted(_sources()):
        digest.update(path.relative_to(FRONT_END).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def built_hash() -> str | None:
    """Of the sources that the present build was made of; None where there is none."""
    try:
        found = json.loads(STAMP.read_text("utf-8"))["sources"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found) if (STATIC / "index.html").is_file() else None


def _sources() -> list[Path]:
    inner = (FRONT_END / "src", FRONT_END / "public")
    return [
        *(path for path in FRONT_END.iterdir() if path.is_file()),
        *(path for folder in inner for path in folder.rglob("*") if path.is_file()),
    ]


def _has_node() -> bool:
    node = shutil.which("node")
    if node is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    numbers = said.strip().removeprefix("v").split(".")[:2]
    if len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        return False
    version = tuple(map(int, numbers))
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def _licenses() -> str:
    """Licences of what is bundled, which ask to go with it."""
    parts = []
    for name in _BUNDLED:
        folder = FRONT_END / "node_modules" / name
        version = json.loads((folder / "package.json").read_text("utf-8"))["version"]
        (text,) = (path.read_text("utf-8") for path in folder.iterdir() if path.name.upper().startswith("LICENSE"))
        parts.append(f"{name} {version}\n\n{text.strip()}\n")
    return "\n----\n\n".join(parts)


def _run(npm: str, *arguments: str) -> None:
    done = subprocess.run([npm, *arguments], cwd=FRONT_END, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"npm {' '.join(arguments)} failed in {FRONT_END}:\n{done.stdout}{done.stderr}")


def _missing(why: str) -> None:
    stale = ", an older build is used" if (STATIC / "index.html").is_file() else ", so wsiamf review will not run"
    if os.environ.get(REQUIRE) == "1":
        sys.exit(f"the review page cannot be built: {why} ({REQUIRE}=1)")
    sys.stderr.write(f"the review page is not built: {why}{stale}\n")


if __name__ == "__main__":
    build_front_end()
