"""Crop stores: a labelled set as one Zarr v3 group, its crops compressed without loss and its table beside them.

The group's attributes name the schema, the set, and a hash of everything but the pixels; the table holds the hash of each
crop's pixels. So a changed or missing byte is found when it is read, whichever part of the store it is in.

Arrays: ``crops`` (N, S, S, 3) uint8, padding painted white; ``phases`` (N, R) int64; ``table``, the bytes of a Parquet file.

Shapes: N = crops, S = crop side in px, R = raters who gave a phase.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.registry import register_codec

from wsiamf._version import __version__
from wsiamf.crops import crop_hash
from wsiamf.errors import CropError, OutputExistsError
from wsiamf.files import check_replaceable, sha256_bytes, staged_folder

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

SCHEMA: Final = "wsiamf.crops/1"
_FAMILY, _, _VERSION = SCHEMA.rpartition("/")
_VOTE: Final = "vote_"
_HASH: Final = "sha256_16"
_CHUNK: Final = 64
_WEBP_SIDE: Final = 16383  # the largest that WebP knows
_WEBP_EFFORT: Final = 2  # beyond it encoding takes twice the time for 1 % of the size
_FAILURES: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, pa.ArrowException)


@dataclass(frozen=True)
class WebpCodec(ArrayBytesCodec):
    """Zarr codec: a chunk of crops, one below the other, as one lossless WebP picture.

    The general compressors that Zarr brings know nothing of pictures: at their best they take a third more than the PNG files,
    WebP takes a fifth less (``benchmarks/crop_store.py``).
    """

    is_fixed_size = False
    name: str = "wsiamf.webp"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:  # noqa: ARG003  # there is nothing to configure
        """As the array's metadata name it."""
        return cls()

    def to_dict(self) -> dict[str, Any]:
        """For the array's metadata."""
        return {"name": self.name}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Zarr asks it of codecs whose output has a fixed size alone; a WebP picture's is not known beforehand."""
        raise NotImplementedError(f"{self.name}: the size of a WebP picture is known only once it is made")

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        crops = chunk_array.as_numpy_array()
        picture = np.ascontiguousarray(crops).reshape(-1, *crops.shape[2:])
        encoded = await asyncio.to_thread(imagecodecs.webp_encode, picture, lossless=True, method=_WEBP_EFFORT)
        return chunk_spec.prototype.buffer.from_bytes(bytes(encoded))

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        picture = await asyncio.to_thread(imagecodecs.webp_decode, chunk_bytes.to_bytes())
        return chunk_spec.prototype.nd_buffer.from_numpy_array(picture.reshape(chunk_spec.shape))


register_codec(WebpCodec.name, WebpCodec)


@dataclass(frozen=True, eq=False)
class CropStore:
    """An opened store, whose table has been checked; pixels are checked as they are read.

    Args:
        path: Its folder.
        name: The set's name.
        table: One row a crop, columns as in ``training.labels.LabelledCrops.table``.
        votes: One column a rater id: 1 AMF, 0 NMF, NaN no vote.
        phases_NR: Index into ``classes.PHASES``, -1 where none was given.
        sha256: One hash over all of it, pixels included.
    """

    path: Path
    name: str
    table: pd.DataFrame
    votes: pd.DataFrame
    phases_NR: NDArray[np.int64]
    sha256: str
    _hashes: tuple[str, ...]
    _crops: zarr.Array[Any]
    _last_chunk: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def crop_px(self) -> int:
        """Side of a crop, S."""
        return int(self._crops.shape[1])

    @property
    def crops(self) -> list[StoredCrop]:
        """All crops, none of them read yet."""
        return [StoredCrop(self, row) for row in range(len(self))]

    def read_crops(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """The crops of some rows, (n, S, S, 3).

        Raises:
            CropError: They cannot be read, or are not those that were stored; names the store and the crop.
        """
        with _damage(self.path):
            crops: NDArray[np.uint8] = np.asarray(self._crops[start:stop])
        for row, crop in enumerate(crops, start=start):
            if crop_hash(crop) != self._hashes[row]:
                raise CropError(f"{self.path}: {self.table['file'].iloc[row]}: altered or missing; pack the set anew.")
        return crops

    def read_crop(self, row: int) -> NDArray[np.uint8]:
        """One crop, (S, S, 3); rows in order decode each chunk once."""
        per_chunk = self._crops.chunks[0]
        number = row // per_chunk
        if number not in self._last_chunk:
            self._last_chunk.clear()
            self._last_chunk[number] = self.read_crops(number * per_chunk, (number + 1) * per_chunk)
        crop: NDArray[np.uint8] = self._last_chunk[number][row % per_chunk]
        return crop


@dataclass(frozen=True)
class StoredCrop:
    """One crop of a store, read when it is asked for."""

    store: CropStore
    row: int

    def __str__(self) -> str:
        """The store and the crop's name in it, for errors."""
        return f"{self.store.path}: {self.file}"

    @property
    def file(self) -> str:
        """The name of the file that the crop came from."""
        return str(self.store.table["file"].iloc[self.row])

    def read(self) -> NDArray[np.uint8]:
        """Its pixels, (S, S, 3); a ``CropError`` where they are damaged."""
        return self.store.read_crop(self.row)


def is_crop_store(path: Path) -> bool:
    """Whether a path is a Zarr group that says it is a crop store, of whatever version."""
    try:
        return _schema(path).startswith(f"{_FAMILY}/")
    except CropError:
        return False


def open_crop_store(path: Path) -> CropStore:
    """Open a store and check its table.

    Raises:
        CropError: There is none, it is damaged, or it was written by a newer wsiamf.
    """
    schema = _schema(path)
    if schema != SCHEMA:
        raise CropError(f"{path}: of schema {schema or 'unknown'}, this wsiamf reads {SCHEMA}; update it or pack anew.")
    with _damage(path):
        group = zarr.open_group(path, mode="r", zarr_format=3)
        crops, phases, parquet = (_array(group, name) for name in ("crops", "phases", "table"))
        table_bytes, phases_NR = np.asarray(parquet[:]).tobytes(), np.asarray(phases[:], dtype=np.int64)
        if _hash(str(group.attrs["name"]), table_bytes, phases_NR) != group.attrs["sha256"]:
            raise CropError(f"{path}: its table is altered or incomplete; pack the set anew.")
        rows = pq.read_table(io.BytesIO(table_bytes)).to_pandas()
        if len(rows) != len(phases_NR) or crops.shape[0] != len(rows) or crops.chunks[1:] != crops.shape[1:]:
            raise CropError(f"{path}: its arrays do not fit one another; pack the set anew.")
    votes = rows.filter(regex=f"^{_VOTE}")
    return CropStore(
        path,
        str(group.attrs["name"]),
        rows.drop(columns=[*votes, _HASH]),
        votes.rename(columns=lambda name: name.removeprefix(_VOTE)),
        phases_NR,
        str(group.attrs["sha256"]),
        tuple(rows[_HASH]),
        crops,
    )


def check_store_place(path: Path, *, overwrite: bool) -> None:
    """Raise an ``OutputError`` where ``write_crop_store`` would refuse to write, before a set is read."""
    check_replaceable(path, overwrite=overwrite, may_replace=_refuse_foreign)


def write_crop_store(
    path: Path,
    crops_NSS3: NDArray[np.uint8],
    table: pd.DataFrame,
    votes: pd.DataFrame,
    phases_NR: NDArray[np.int64],
    *,
    overwrite: bool = False,
) -> None:
    """Write a set as a store, whole or not at all.

    Args:
        path: The store's folder.
        crops_NSS3: The crops, padding painted white.
        table, votes, phases_NR: As ``CropStore`` has them; the table's first ``set`` names the store.
        overwrite: Whether a crop store that stands there may be replaced.

    Raises:
        OutputExistsError: Something stands there that may not be replaced.
        OutputError: The place cannot be written to.
    """
    name = str(table["set"].iloc[0])
    rows = pd.concat([table, votes.add_prefix(_VOTE)], axis=1).assign(
        **{_HASH: [crop_hash(crop) for crop in crops_NSS3]}
    )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), sink, compression="zstd")
    side = crops_NSS3.shape[1]
    with staged_folder(path, overwrite=overwrite, may_replace=_refuse_foreign) as folder:
        attributes = {"schema": SCHEMA, "name": name, "sha256": _hash(name, sink.getvalue(), phases_NR)}
        group = zarr.create_group(folder, zarr_format=3, attributes={**attributes, "wsiamf": __version__})
        group.create_array("table", data=np.frombuffer(sink.getvalue(), dtype=np.uint8), chunks=(sink.tell(),))
        group.create_array("phases", data=np.ascontiguousarray(phases_NR), chunks=phases_NR.shape)
        group.create_array(
            "crops",
            data=np.ascontiguousarray(crops_NSS3),
            chunks=(min(_CHUNK, _WEBP_SIDE // side), *crops_NSS3.shape[1:]),
            chunk_key_encoding={"name": "default", "separator": "."},  # one file a chunk, without four folders round it
            filters=None,
            serializer=WebpCodec(),
            compressors=None,
        )


def _hash(name: str, table: bytes, phases_NR: NDArray[np.int64]) -> str:
    return sha256_bytes(b"\0".join([name.encode(), table, phases_NR.astype("<i8").tobytes()]))


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{name} is no array")
    return array


def _schema(path: Path) -> str:
    """The schema that a folder's attributes name; empty where they name none."""
    if not path.is_dir():
        raise CropError(f"{path}: no such crop store.")
    try:
        metadata = json.loads((path / "zarr.json").read_bytes())
        return str(metadata["attributes"].get("schema", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CropError(f"{path}: not a crop store, or a damaged one (zarr.json is missing or unreadable).") from error


def _refuse_foreign(path: Path) -> None:
    if not is_crop_store(path):
        raise OutputExistsError(f"{path}: exists and is not a crop store; move it away or choose another --out.")


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what Zarr, the codec or Parquet raise on damaged bytes into a ``CropError`` that names the store."""
    try:
        yield
    except _FAILURES as error:
        detail = " ".join(str(error).split())
        raise CropError(f"{path}: a damaged crop store ({detail}); pack the set anew.") from error
