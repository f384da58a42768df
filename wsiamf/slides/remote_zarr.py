"""OME-Zarr slides at an address: a chunk is one request, tried again where the network fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, Final, cast

import numpy as np
import zarr
from zarr.storage import FsspecStore

from wsiamf.addresses import Url
from wsiamf.errors import SlideError, SlideNotFoundError, SlideReadError, UnsupportedSlideError
from wsiamf.files import FINGERPRINT_END, fingerprint_of_ends, sha256_bytes
from wsiamf.slides import remote_file
from wsiamf.slides.interface import Slide
from wsiamf.slides.parts import fingerprint_of_store
from wsiamf.slides.remote_file import WEB, fetch, file_system, may_pass, options, refusal, tried
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.zarr_slide import OpenGroup, ZarrSlide, open_levels

SUFFIX: Final = ".zarr"
_ROOT_METADATA: Final = (("zarr.json", 3), (".zgroup", 2))
_ALL_METADATA: Final = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_CHUNKS_READ: Final = 64
_REQUESTS: Final = 16
"""At once, where many small objects are read."""


class _PatientStore(FsspecStore):
    """A store whose readings are tried again, and whose errors hold no credentials."""

    url: Url

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """As of the store; None where there is no such key."""
        for pause in (*remote_file.PAUSES_S, None):
            try:
                return await asyncio.wait_for(super().get(key, prototype, byte_range), remote_file.TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - each protocol's package has errors of its own
                if pause is None or not may_pass(error):
                    refused = refusal(self.url, "read", error)
                    break
            await asyncio.sleep(pause)
        raise refused


def open_remote_zarr(url: Url, given: Resolution | None) -> Slide:
    """Open an OME-Zarr picture at an address.

    Raises:
        SlideNotFoundError: There is none.
        UnsupportedSlideError: It is no slide.
        SlideReadError: It cannot be reached or may not be read.
    """
    url = _root(url)
    open_group = partial(_open_group, url, _zarr_format(url))
    return ZarrSlide(url, given, open_group=open_group, fingerprint_store=partial(_fingerprint, url, open_group))


def remote_zarr_fingerprint(url: Url) -> str:
    """``Slide.fingerprint`` of an OME-Zarr picture at an address; errors as of ``open_remote_zarr``."""
    url = _root(url)
    return _fingerprint(url, partial(_open_group, url, _zarr_format(url)))


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


def _open_group(url: Url, zarr_format: int) -> zarr.Group:
    store = cast(_PatientStore, _PatientStore.from_url(url.full, storage_options=options(url), read_only=True))
    store.url = url
    return zarr.open_group(store, mode="r", zarr_format=zarr_format, use_consolidated=False)  # type: ignore[arg-type]


def _fingerprint(url: Url, open_group: OpenGroup) -> str:
    """That of the same folder on a disk where the store can list its objects; else one of its own."""
    fs, root = file_system(url)
    if url.protocol in WEB:
        return _unlisted_fingerprint(url, open_group)
    found = tried(url, "listed", lambda: fs.find(root, detail=True))
    places = {path.removeprefix(f"{root}/"): path for path in found}
    sizes = {place: int(found[path]["size"]) for place, path in places.items()}

    def read(wanted: Sequence[str]) -> list[str]:
        with ThreadPoolExecutor(_REQUESTS) as pool:
            return list(pool.map(lambda place: _object_fingerprint(url, fs, places[place], sizes[place]), wanted))

    return fingerprint_of_store(sizes, read)


def _object_fingerprint(url: Url, fs: Any, path: str, size: int) -> str:
    head = tried(url, "read", partial(fetch, fs, path, 0, min(size, FINGERPRINT_END)))
    tail = head
    if size > FINGERPRINT_END:
        tail = tried(url, "read", partial(fetch, fs, path, size - FINGERPRINT_END, size))
    return fingerprint_of_ends([(size, head, tail)])


def _unlisted_fingerprint(url: Url, open_group: OpenGroup) -> str:
    """sha256 over all metadata and some chunks of every level, evenly spread: a web server lists nothing."""
    fs, root = file_system(url)
    _, arrays = open_levels(url.name, open_group)
    groups = {path.rpartition("/")[0] for path in (array.path for array in arrays)} | {""}
    metadata = sorted(f"{path}/{key}" for path in {*groups, *(a.path for a in arrays)} for key in _ALL_METADATA)
    chunks = chain.from_iterable(_some_chunks(array, _CHUNKS_READ // len(arrays) + 1) for array in arrays)

    def read(key: str) -> bytes:
        try:
            return tried(url, "read", partial(fetch, fs, f"{root}/{key.lstrip('/')}"))
        except SlideNotFoundError:
            return b""

    with ThreadPoolExecutor(_REQUESTS) as pool:
        return sha256_bytes("\n".join(sha256_bytes(data) for data in pool.map(read, [*metadata, *chunks])).encode())


def _some_chunks(array: zarr.Array[Any], n: int) -> Iterator[str]:
    """Keys of ``n`` chunks (shards, where there are), evenly spread."""
    sides = array.shards or array.chunks
    shape = [-(-length // side) for length, side in zip(array.shape, sides, strict=True)]
    total = int(np.prod(shape))
    for index in np.linspace(0, total - 1, min(n, total)).astype(int):
        place = tuple(int(part) for part in np.unravel_index(index, shape))
        yield f"{array.path}/{array.metadata.encode_chunk_key(place)}"
