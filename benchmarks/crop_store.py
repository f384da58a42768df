"""Size and reading time of a crop store beside its PNG files, and beside Zarr's own compressors.

``python benchmarks/crop_store.py DATA/crops/AMi-Br``
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, TransposeCodec, ZstdCodec

from wsiamf.config import SetConfig
from wsiamf.crop_store import write_crop_store
from wsiamf.training.labels import LabelledCrops, read_labelled_set

N_COMPARED = 640
"""Crops, spread over the set, that the compressors are compared on."""

PLANES_FIRST = TransposeCodec(order=(0, 3, 1, 2))
GENERAL: dict[str, dict[str, Any]] = {
    "zstd 9": {"compressors": ZstdCodec(level=9)},
    "zstd 9, planes first": {"filters": PLANES_FIRST, "compressors": ZstdCodec(level=9)},
    "blosc zstd 9, shuffle by px": {"compressors": BloscCodec(cname="zstd", clevel=9, shuffle="shuffle", typesize=3)},
    "blosc zstd 9, bitshuffle": {"compressors": BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle", typesize=1)},
}


def folder_bytes(folder: Path) -> int:
    """What the files below a folder take."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def seconds(work: Callable[[], object]) -> float:
    """Wall time of the faster of two rounds."""
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def compare_compressors(crops_NSS3: NDArray[np.uint8], folder: Path) -> None:
    """Print what Zarr's own compressors make of the crops."""
    for name, codecs in GENERAL.items():
        target = folder / f"{name}.zarr"
        started = time.perf_counter()
        zarr.create_array(target, data=crops_NSS3, chunks=(64, *crops_NSS3.shape[1:]), **codecs)
        taken = time.perf_counter() - started
        print(f"{name:<28} {folder_bytes(target) / crops_NSS3.nbytes:.3f} of the pixels, written in {taken:.1f} s")


def compare_store(source: Path, data: LabelledCrops, folder: Path) -> None:
    """Print size and reading time of the PNG files and of the store."""
    store = folder / "set.zarr"
    started = time.perf_counter()
    write_crop_store(store, data.crops_NSS3, data.table, data.votes, data.phases_NR)
    print(f"packing {len(data)} crops: {time.perf_counter() - started:.1f} s")
    png = sum((source / file).stat().st_size for file in data.table["file"])
    n_pixels = data.crops_NSS3.nbytes
    print(
        f"PNG files {png / 1e6:.1f} MB ({png / n_pixels:.3f} of the pixels), store {folder_bytes(store) / 1e6:.1f} MB"
    )
    print(f"store / PNG files, size    = {folder_bytes(store) / png:.2f}")
    files = seconds(lambda: read_labelled_set(SetConfig(kind="ami-br", path=str(source), use="train"), Path()))
    stored = seconds(lambda: read_labelled_set(SetConfig(kind="store", path=str(store), use="train"), Path()))
    print(f"reading the PNG files {files:.2f} s, the store {stored:.2f} s")
    print(f"store / PNG files, reading = {stored / files:.2f}")


def main() -> None:
    """Compare on one AMi-Br folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="AMi-Br as its authors publish it")
    source = parser.parse_args().folder.absolute()
    data = read_labelled_set(SetConfig(kind="ami-br", path=str(source), use="train"), Path())
    with tempfile.TemporaryDirectory() as scratch:
        compare_store(source, data, Path(scratch))
        compare_compressors(data.crops_NSS3[:: max(1, len(data) // N_COMPARED)], Path(scratch))


if __name__ == "__main__":
    main()
