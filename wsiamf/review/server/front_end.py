"""The built page: which files there are, and what to do where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wsiamf.errors import ReviewError

STATIC: Final = Path(__file__).resolve().parent.parent / "static"
"""Where the build hook puts what it made of ``frontend/``."""

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def built_files(folder: Path = STATIC) -> dict[str, Path]:
    """Every file of the page by its address (``/assets/index.js``); only these are ever sent.

    Links are left out, so that nothing outside the folder can be among them.

    Raises:
        ReviewError: The page was not built.
    """
    if not (folder / "index.html").is_file():
        raise ReviewError(
            "the review page is not built: install Node.js 20.19, or 22.12 or newer (https://nodejs.org), then wsiamf again "
            "(pip install -e . in a checkout), or take a release, which holds it."
        )
    plain = (path for path in sorted(folder.rglob("*")) if path.suffix in CONTENT_TYPES and _is_plain(path, folder))
    return {"/" + path.relative_to(folder).as_posix(): path for path in plain}


def _is_plain(path: Path, folder: Path) -> bool:
    inner = [path, *(parent for parent in path.parents if folder in parent.parents)]
    return path.is_file() and not any(part.is_symlink() for part in inner)
