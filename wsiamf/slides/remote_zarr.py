"""OME-Zarr slides at an address: a chunk is one request, tried again where the network fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, cast

import numpy as np
import zarr
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import FsspecStore

from wsiamf.addresses import Url
from wsiamf.errors import SlideError, SlideNotFoundError, SlideReadError, UnsupportedSlideError
from wsiamf.files import FINGERPRINT_END, fingerprint_of_ends, sha256_bytes
from wsiamf.slides import remote_file
from wsiamf.slides.interface import Slide
from wsiamf.slides.parts import fingerprint_of_store
from wsiamf.slides.remote_file import (
    WEB,
    NoRangesError,
    as_sent,
    ends,
    fetch,
    file_system,
    is_denied,
    may_pass,
    options,
    refusal,
    tried,
)
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.waiting import AT_ONCE
from wsiamf.slides.zarr_slide import OpenGroup, ZarrSlide, open_levels

SUFFIX: Final = ".zarr"
_ROOT_METADATA: Final = (("zarr.json", 3), (".zgroup", 2))
_GROUP_METADATA: Final = {2: (".zgroup", ".zattrs"), 3: ("zarr.json",)}
_ARRAY_METADATA: Final = {2: (".zarray", ".zattrs"), 3: ("zarr.json",)}
_METADATA: Final = frozenset(name for names in (*_GROUP_METADATA.values(), *_ARRAY_METADATA.values()) for name in names)
_CHUNKS_READ: Final = 64


class _PatientStore(FsspecStore):
    """A store whose readings are tried again, and whose errors hold no credentials."""

    url: Url
    turns: asyncio.Semaphore
    """Shared by the stores of one slide and its duplicates."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """As of the store; None where there is no such key, and where metadata are denied: so some stores say the same."""
        for pause in (*remote_file.PAUSES_S, None):
            try:
                async with self.turns:
                    found = await asyncio.wait_for(super().get(key, prototype, byte_range), remote_file.TIMEOUT_S)
                if found is not None and len(found) > _asked_for(byte_range):
                    raise NoRangesError
                return found
            except Exception as error:  # noqa: BLE001 - each protocol's package has errors of its own
                if is_denied(error) and key.rpartition("/")[2] in _METADATA:
                    return None
                if pause is None or not may_pass(error):
                    refused = refusal(self.url, "read", error)
                    break
            await asyncio.sleep(pause)
        raise refused


def _asked_for(byte_range: Any) -> float:
    """The most bytes that an answer may have."""
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.end - byte_range.start
    return byte_range.suffix if isinstance(byte_range, SuffixByteRequest) else float("inf")


def open_remote_zarr(url: Url, given: Resolution | None) -> Slide:
    """Open an OME-Zarr picture at an address.

    Raises:
        SlideNotFoundError: There is none.
        UnsupportedSlideError: It is no slide.
        SlideReadError: It cannot be reached or may not be read.
    """
    url = _root(url)
    open_group = _group_opener(url)
    return ZarrSlide(url, given, open_group=open_group, fingerprint_store=partial(_fingerprint, url, open_group))


def remote_zarr_fingerprint(url: Url) -> str:
    """``Slide.fingerprint`` of an OME-Zarr picture at an address; errors as of ``open_remote_zarr``."""
    url = _root(url)
    return _fingerprint(url, _group_opener(url))


def _root(url: Url) -> Url:
    """The address that keys are added to."""
    if "?" in url.full:
        raise UnsupportedSlideError(
            f"{url}: an OME-Zarr is many objects, which one address with a query cannot name; give the credentials in the "
            "store's own way."
        )
    return Url(url.full.rstrip("/"))


def _zarr_format(url: Url) -> int:
    """Which of Zarr's formats the root is written in: one question each, and no need of a listing."""
    fs, root = file_system(url)
    refused: SlideError = SlideNotFoundError(f"{url}: no OME-Zarr at this address; check it.")
    for key, number in _ROOT_METADATA:
        try:
            tried(url, "opened", partial(fetch, fs, f"{root}/{key}"))
        except SlideNotFoundError:
            continue
        except SlideReadError as error:  # some stores deny what is not there
            refused = error
        else:
            return number
    raise refused


def _group_opener(url: Url) -> OpenGroup:
    return partial(_open_group, url, _zarr_format(url), asyncio.Semaphore(AT_ONCE))


def _open_group(url: Url, zarr_format: int, turns: asyncio.Semaphore) -> zarr.Group:
    store = cast(_PatientStore, _PatientStore.from_url(as_sent(url), storage_options=options(url), read_only=True))
    store.url, store.turns = url, turns
    return zarr.open_group(store, mode="r", zarr_format=zarr_format, use_consolidated=False)  # type: ignore[arg-type]


def _fingerprint(url: Url, open_group: OpenGroup) -> str:
    """That of the same folder on a disk where the store can list its objects; else one of its own."""
    fs, root = file_system(url)
    found = None if url.protocol in WEB else tried(url, "listed", partial(_listed, fs, root))
    if found is None:
        return _unlisted_fingerprint(url, open_group)
    places = {path.removeprefix(f"{root}/"): path for path in found}
    sizes = {place: int(found[path]["size"]) for place, path in places.items()}

    def read(wanted: Sequence[str]) -> list[str]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda place: _object_fingerprint(url, fs, places[place], sizes[place]), wanted))

    return fingerprint_of_store(sizes, read)


def _listed(fs: Any, root: str) -> Mapping[str, Any] | None:
    """All objects below an address; None where listing is denied, as it often is where reading is not."""
    try:
        return cast(Mapping[str, Any], fs.find(root, detail=True))
    except Exception as error:
        if is_denied(error):
            return None
        raise


def _object_fingerprint(url: Url, fs: Any, path: str, size: int | None = None, *, whole: bool = False) -> str:
    """Of one object by its ends; ``whole`` says whether it may be read whole where its server serves no parts."""

    def read() -> tuple[int, bytes, bytes]:
        try:
            return ends(url, fs, path, size)
        except NoRangesError:
            if not whole:
                raise
            data = fetch(fs, path)
            return len(data), data[:FINGERPRINT_END], data[-FINGERPRINT_END:]

    return fingerprint_of_ends([tried(url, "read", read)])


def _unlisted_fingerprint(url: Url, open_group: OpenGroup) -> str:
    """sha256 over all metadata and at most 64 chunks, evenly spread over each level: a web server lists nothing."""
    fs, root = file_system(url)
    _, arrays = open_levels(url.name, open_group)
    n_chunks = _CHUNKS_READ // len(arrays)
    chunks = [(key, array.shards is None) for array in arrays for key in _some_chunks(array, n_chunks)]

    def read_metadata(key: str) -> str:
        return sha256_bytes(tried(url, "read", partial(_metadata, fs, f"{root}/{key}")))

    def read_chunk(chunk: tuple[str, bool]) -> str:
        key, whole = chunk
        try:
            return _object_fingerprint(url, fs, f"{root}/{key}", whole=whole)
        except SlideNotFoundError:  # left out, as a store may
            return ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        hashes = [*pool.map(read_metadata, _metadata_keys(arrays)), *pool.map(read_chunk, chunks)]
    return sha256_bytes("\n".join(hashes).encode())


def _metadata_keys(arrays: Sequence[zarr.Array[Any]]) -> list[str]:
    """Of the root, the picture's group and its arrays, in the format that they are written in."""
    number = int(arrays[0].metadata.zarr_format)
    groups = {array.path.rpartition("/")[0] for array in arrays} | {""}
    keys = [f"{group}/{name}" for group in groups for name in _GROUP_METADATA[number]]
    keys += [f"{array.path}/{name}" for array in arrays for name in _ARRAY_METADATA[number]]
    return sorted(key.lstrip("/") for key in keys)


def _metadata(fs: Any, path: str) -> bytes:
    """Empty where there is none, which some stores say by denying it."""
    try:
        return fetch(fs, path)
    except Exception as error:
        if isinstance(error, FileNotFoundError) or is_denied(error):
            return b""
        raise


def _some_chunks(array: zarr.Array[Any], n: int) -> Iterator[str]:
    """Keys of at most ``n`` chunks (shards, where there are), evenly spread."""
    sides = array.shards or array.chunks
    shape = [-(-length // side) for length, side in zip(array.shape, sides, strict=True)]
    total = int(np.prod(shape))
    for index in np.linspace(0, total - 1, min(n, total)).astype(int):
        place = tuple(int(part) for part in np.unravel_index(index, shape))
        yield f"{array.path}/{array.metadata.encode_chunk_key(place)}".lstrip("/")
