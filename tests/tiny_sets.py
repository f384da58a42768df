"""Labelled sets of few made crops in their authors' layouts; AMF are darker, so that there is something to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tests.program_files import ami_br


def write_crop(path: Path, rng: np.random.Generator, *, amf: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    level = 90 if amf else 170
    Image.fromarray(rng.integers(level - 40, level + 40, (128, 128, 3), dtype=np.uint8)).save(path)


def write_ami_br(folder: Path, rng: np.random.Generator) -> None:
    rows = []
    for uid in range(60):
        amf = uid % 3 == 0
        votes = [amf, amf, amf ^ (uid % 5 == 0)]
        write_crop(folder / "patches" / ("atypical" if amf else "normal") / f"TUPAC16_{uid}.png", rng, amf=amf)
        rows.append((f"{uid // 5:02}.tif", "TUPAC16", uid, 1, 2, votes))
    (folder / "AMI-BR.csv").write_text(ami_br(rows))


def write_atnorm_md(folder: Path, rng: np.random.Generator) -> None:
    rows = []
    for number in range(24):
        amf = number % 4 == 0
        word = "Atypical" if amf else "Normal"
        write_crop(folder / word / f"{number}.png", rng, amf=amf)
        rows.append([f"{number}.png", *[word] * 5, word])
    names = ["Filename", *(f"Expert_{k}" for k in range(1, 6)), "Majority"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "AtNorM-MD_expert_votes.csv", index=False)


def write_midog25(folder: Path, rng: np.random.Generator, *, n: int = 12) -> None:
    """The CSV and, in ``folder/crops``, the PNG files; expert 3 voted where the first two disagreed."""
    rows = []
    for number in range(1, n + 1):
        amf = number % 3 == 0
        word, other = ("AMF", "NMF") if amf else ("NMF", "AMF")
        votes = [word, other, word] if number % 4 == 0 else [word, word, ""]
        write_crop(folder / "crops" / f"{number}.png", rng, amf=amf)
        place = [f"{number}.png", f"{200 + number // 4}.tiff", 100 * number, 50.5]
        rows.append([*place, "canine lymphoma", "Hamammatsu XR", "VMU Vienna", "Canine", *votes, word])
    names = ["image_id", "filename", "coordinateX", "coordinateY", "Tumor", "Scanner", "Origin", "Species"]
    names += ["expert1", "expert2", "expert3", "majority"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "MIDOG25.csv", index=False)


def write_manifest(folder: Path, rows: pd.DataFrame, rng: np.random.Generator, name: str = "lab.csv") -> None:
    """A manifest of the given columns, and a crop for each of its files that is not there yet."""
    for file in rows["file"]:
        if not (folder / file).exists():
            write_crop(folder / file, rng, amf=False)
    rows.to_csv(folder / name, index=False)
