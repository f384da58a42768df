"""Hooks of ``mkdocs build``: pages of the site that stand elsewhere in the project, such as the model's card."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
ELSEWHERE: Final = (
    "CHANGELOG.md",
    "benchmarks/README.md",
    "configs/cluster/slurm.yaml",
    "configs/default.yaml",
    "configs/paper/README.md",
    "results/README.md",
    "results/wsiamf-lite2/README.md",
    "sample_data/README.md",
    "wsiamf/bundles/default/CARD.md",
)
"""Files outside ``docs/`` that its pages show or link to; they come under ``project/``."""

_LINK: Final = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what stands elsewhere."""
    for name in ELSEWHERE:
        files.append(File.generated(config, f"project/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_rest: Any) -> str:
    """Links to files outside ``docs/`` lead to their copies in the site; one that has none is an error of the build."""
    source = page.file.src_uri
    own = Path(source.removeprefix("project/")) if source.startswith("project/") else Path("docs", source)
    up = "../" * (len(Path(source).parts) - 1)

    def rewritten(link: re.Match[str]) -> str:
        target = (ROOT / own.parent / link[1]).resolve().relative_to(ROOT).as_posix()
        place = target.removeprefix("docs/") if target.startswith("docs/") else f"project/{target}"
        return f"]({up}{place}{link[2] or ''})"

    return _LINK.sub(rewritten, markdown)
