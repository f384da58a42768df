"""Hostile points files, and a fuzz test for one reader: whatever the bytes, points or one line."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from wsiamf.candidates import Candidates, read_candidates
from wsiamf.candidates.formats import reader_for
from wsiamf.candidates.raw import NamedSlide, RawPoints
from wsiamf.errors import CandidateError, WsiamfError
from wsiamf.geometry import Bounds, SlideFrame

SHORT, LONG = 150, 10_000
"""Inputs of a fuzz test in the suite and in its long mode."""

_TOKENS = (
    *(
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"9" * 400,
        b"9" * 5000,
        b"-1",
        b"null",
        b"true",
        b"{}",
        b"[]",
        b'""',
        b"\xff\xfe",
    ),
    *(
        b"\0",
        b"\xb5",
        b"\n",
        b"\t",
        b",",
        b";",
        b'"',
        b"[" * 3000,
        b'{"a":' * 3000,
        b"<!DOCTYPE x>",
        b"&x;",
        b"\xef\xbb\xbf",
    ),
)


@dataclass(frozen=True)
class PointsSlide:
    """A slide as the readers see it."""

    name: str
    frame: SlideFrame


def slide_of(name: str = "case_1.svs", width: int = 20_000, height: int = 10_000, mpp: float = 0.25) -> PointsSlide:
    """A slide without bounds."""
    return PointsSlide(name, SlideFrame(width, height, mpp, Bounds(0, 0, width, height)))


SLIDE = slide_of()
MRXS = PointsSlide("case_1.mrxs", SlideFrame(20_000, 10_000, 0.25, Bounds(3000, 2000, 10_000, 5000)))
"""Its corner of bounds lies at (3000, 2000)."""


INSIDE = st.tuples(st.floats(0, 19_999), st.floats(0, 9_999))
"""Places on ``SLIDE``."""
MANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(folder: Path, data: bytes, slide: PointsSlide = SLIDE, **options: Any) -> Candidates:
    """The candidates of a file with this content."""
    return read_candidates(_written(folder, data), slide, **options)


def refused(folder: Path, data: bytes, slide: PointsSlide = SLIDE, **options: Any) -> str:
    """Why a file with this content is refused."""
    return refusal(_written(folder, data), slide, **options)


def raw_points(folder: Path, name: str, data: bytes) -> RawPoints:
    """What a reader gives without a slide."""
    return reader_for(_written(folder, data), name).read(folder / "points", NamedSlide())


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "points"
    path.write_bytes(data)
    return path


def positions(candidates: Candidates) -> list[tuple[float, float]]:
    """Level-0 px of every row."""
    return list(zip(candidates.table["x"], candidates.table["y"], strict=True))


def refusal(path: Path, slide: PointsSlide = SLIDE, **options: Any) -> str:
    """Why a points file is refused: one line that names it; returned without its path."""
    with pytest.raises(CandidateError) as caught:
        read_candidates(path, slide, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message[:400]
    check_one_line(message, path)
    return message.removeprefix(f"{path}: ")


def check_one_line(message: str, path: Path) -> None:
    """A message is for a person's eye: one line, not too long, no control characters."""
    assert message.isprintable(), repr(message[:400])
    assert len(message) < 1200 + message.count(str(path)) * len(str(path)), message[:400]


def check_survives(path: Path, data: bytes, slide: PointsSlide = SLIDE, **options: Any) -> None:
    """Points or a ``WsiamfError`` of one line; anything else fails."""
    path.write_bytes(data)
    try:
        read_candidates(path, slide, **options)
    except WsiamfError as error:
        check_one_line(str(error), path)


def mutations(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Files that are nearly right: seeds with bytes changed, parts cut, repeated or swapped, and hostile tokens put in."""
    edit = st.one_of(
        st.tuples(st.just("put"), st.floats(0, 1), st.sampled_from(_TOKENS) | st.binary(max_size=4)),
        st.tuples(st.just("cut"), st.floats(0, 1), st.integers(1, 400)),
        st.tuples(st.just("set"), st.floats(0, 1), st.binary(min_size=1, max_size=3)),
        st.tuples(st.just("twice"), st.floats(0, 1), st.integers(1, 200)),
        st.tuples(st.just("end"), st.floats(0, 1), st.none()),
    )
    edited = st.tuples(st.sampled_from(list(seeds)), st.lists(edit, max_size=6)).map(lambda pair: _edited(*pair))
    return (edited | st.binary(max_size=200)).map(Spoilt)


class Spoilt(bytes):
    """Bytes that fit on a line when a test fails; the file itself stays where ``fuzz`` wrote it."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes: {bytes(self[:60])!r}...>"


def _edited(data: bytes, edits: Sequence[tuple[str, float, Any]]) -> bytes:
    for kind, place, what in edits:
        at = int(place * len(data))
        if kind == "put":
            data = data[:at] + what + data[at:]
        elif kind == "cut":
            data = data[:at] + data[at + what :]
        elif kind == "set":
            data = data[:at] + what + data[at + len(what) :]
        elif kind == "twice":
            data = data[: at + what] + data[at:]
        else:
            data = data[:at]
    return data


def fuzz(
    path: Path,
    seeds: Sequence[bytes],
    *,
    n: int,
    slide: PointsSlide = SLIDE,
    wrap: Callable[[bytes], bytes] = bytes,
    **options: Any,
) -> None:
    """Read ``n`` spoilt copies of ``seeds`` as ``path``; only points or a ``WsiamfError`` of one line will do.

    Args:
        path: Where the files are written, one after another.
        seeds: Right files of the format.
        n: ``SHORT`` or ``LONG``.
        slide: Whose points they are.
        wrap: Done to each spoilt copy, for example compression.
        **options: Of ``read_candidates``; ``points_format`` sends all bytes to one reader.
    """
    for seed in seeds:
        path.write_bytes(wrap(seed))
        read_candidates(path, slide, skip_bad_points=True, **options)  # a seed that is refused tests nothing

    @settings(
        max_examples=n,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # making a spoilt database smaller takes longer than looking at it
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )
    @given(mutations(seeds), st.booleans())
    def run(data: bytes, skip: bool) -> None:
        check_survives(path, wrap(data), slide, skip_bad_points=skip, **options)

    run()


@contextmanager
def bounded_memory(mebibytes: float) -> Iterator[None]:
    """Fail if the block's own allocations pass a limit."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * 2**20, f"{peak / 2**20:.1f} MiB"


def hostile_files(folder: Path) -> dict[str, Path]:
    """Files that no reader may take, by what is wrong with them; a FIFO that nobody writes to among them."""
    made = {
        "empty": b"",
        "blanks": b" \n\t\n" * 10,
        "noughts": b"\0" * 5000,
        "noise": bytes(range(256)) * 20,
        "deep list": b"[" * 200_000,
        "deep object": b'{"type":' * 200_000,
        "deep feature": b'{"type":"FeatureCollection","features":[' + b'{"type":"Feature","x":' * 100_000,
        "utf-16 csv": "x,y\n1,2\n".encode("utf-16"),
        "utf-16 json": json.dumps({"type": "FeatureCollection", "features": []}).encode("utf-16"),
        "cut gzip": gzip.compress(b'{"type":"FeatureCollection","features":[]}' * 100, mtime=0)[:40],
        "not a database": b"SQLite format 3\0" + b"x" * 200,
        "not a zip": b"PK\3\4" + b"x" * 200,
    }
    paths = {}
    for name, data in made.items():
        paths[name] = folder / name
        paths[name].write_bytes(data)
    paths["folder"] = folder / "folder.csv"
    paths["folder"].mkdir()
    paths["fifo"] = folder / "fifo.csv"
    os.mkfifo(paths["fifo"])
    return paths


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    """A zip of the members given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path
