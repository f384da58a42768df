"""The rival that needs other versions of torch and NumPy than ours may have: TIAToolbox in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from made_slide import WORK

REQUIREMENT: Final = "tiatoolbox==2.1.3"
_SCRIPT: Final = Path(__file__).with_name("rival_tiatoolbox.py")


def tiatoolbox_python(work: Path) -> Path:
    """The Python of an environment that holds TIAToolbox; made in the folder where it is missing (several GB)."""
    folder = work / "tiatoolbox"
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.exists():
        print(f"installing {REQUIREMENT} in {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", REQUIREMENT], check=True)
        finished.touch()
    return python


def run_tiatoolbox(python: Path, slide: Path, points: Path, bundle: Path) -> dict[str, Any]:
    """What ``rival_tiatoolbox.py`` found: ``read_s``, ``classify_s``, ``p_atypical``, ``torch``, ``tiatoolbox``."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "found.json"
        command = [python, _SCRIPT, slide, points, bundle, out]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


if __name__ == "__main__":
    print(tiatoolbox_python(WORK))
