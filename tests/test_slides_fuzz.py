"""Files with altered, lost and inserted bytes: they open or they do not, and nothing but a ``SlideError`` comes out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.test_slides_docs import MADE_BY
from wsiamf.errors import MppError, SlideError
from wsiamf.slides import open_slide, read_fingerprint

_TEXTS = {".json", ".ini", ".vms", ".zarray", ".zattrs", ".zgroup"}
_LARGEST = 300


def altered(data: bytes, random: Random) -> bytes:
    """Cut short, or with bytes overwritten in the head or anywhere, or with a piece of JSON in place of some."""
    changed = bytearray(data)
    kind = random.choice(("cut", "head", "anywhere", "piece"))
    if kind == "cut":
        return bytes(changed[: random.randrange(len(changed))])
    if kind == "piece":
        start = random.randrange(len(changed))
        changed[start : start + random.randint(1, 20)] = bytes(
            random.choices(b'0123456789-{}[]",', k=random.randint(0, 9))
        )
        return bytes(changed)
    end = min(len(changed), 4096) if kind == "head" else len(changed)
    for _ in range(random.randint(1, 6)):
        changed[random.randrange(end)] = random.randrange(256)
    return bytes(changed)


def use(path: Path) -> None:
    """What a screening asks of a slide, on its upper left corner."""
    read_fingerprint(path)
    with open_slide(path) as slide:
        with suppress(MppError):
            assert slide.frame.mpp > 0
        width, height = slide.dimensions
        assert slide.bounds.width <= width
        slide.read_region((0, 0), slide.level_count - 1, (min(width, _LARGEST), min(height, _LARGEST)))
        if (tiles := slide.tiles(0)) is not None and width * height < 1 << 24:
            tiles.decode(0, 0)


def attack(name: str, folder: Path, n: int, seed: int) -> int:
    """Alter a file of a slide ``n`` times, each time from the whole one; how often it still opened."""
    random = Random(seed)  # noqa: S311 - bytes to be reproduced, no secret
    path = MADE_BY[name](folder)
    files = sorted(part for part in folder.rglob("*") if part.is_file())
    texts = [file for file in files if (file.suffix or file.name) in _TEXTS]
    said = []
    for _ in range(n):
        file = random.choice(texts) if texts and random.random() < 0.6 else random.choice(files)
        whole = file.read_bytes()
        file.write_bytes(altered(whole, random))
        try:
            use(path)
        except SlideError as error:
            said.append(str(error))
        finally:
            file.write_bytes(whole)
    use(path)
    assert not any("\n" in line for line in said)
    return n - len(said)


@pytest.mark.filterwarnings("ignore")  # libraries warn of what they find odd
@pytest.mark.parametrize("name", sorted(MADE_BY))
def test_altered_files(name: str, tmp_path: Path) -> None:
    assert attack(name, tmp_path, 12, seed=0) < 12


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(MADE_BY))
def test_altered_files_many_times(name: str, tmp_path: Path) -> None:
    assert attack(name, tmp_path, 10_000, seed=1) < 10_000
