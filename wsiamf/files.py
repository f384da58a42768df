"""Writing that is whole or not there at all, hashing, and the refusal to overwrite.

A folder of results is written under a temporary name beside its target and renamed; a file likewise. An exception, Ctrl-C
included, removes the temporary; what stood there before stays until the new result is complete. Only a process that is killed
leaves its temporary, and the name says whose it is, so that whoever holds the target alone can remove it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from wsiamf.errors import OutputError, OutputExistsError

RUN_RECORD = "run.json"
_HASH_CHUNK = 1 << 20
FINGERPRINT_END = 1 << 20
"""Bytes of either end of a file that its fingerprint is over."""

TEMPORARY_PREFIX = ".wsiamf-"
_RANDOM_PART = "[a-z0-9_]{8}"  # what tempfile puts behind a prefix
_LONGEST_NAME = 200  # bytes; file systems end at 255
_UMASK_LOCK = Lock()


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(parts: Sequence[Path]) -> str:
    """Hex sha256 over size, first and last MiB of each file, the files in sorted order; no path, no mtime.

    Args:
        parts: The files that make up one slide (one for most formats, many for MRXS and DICOM).
    """
    return fingerprint_of_ends(_ends(path) for path in sorted(parts))


def fingerprint_of_ends(parts: Iterable[tuple[int, bytes, bytes]]) -> str:
    """``fingerprint`` of files that are read otherwise: size, first and last ``FINGERPRINT_END`` bytes of each, in order."""
    digest = hashlib.sha256()
    for size, head, tail in parts:
        digest.update(size.to_bytes(8, "little"))
        digest.update(head)
        digest.update(tail)
    return digest.hexdigest()


def _ends(path: Path) -> tuple[int, bytes, bytes]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(FINGERPRINT_END)
        stream.seek(max(0, size - FINGERPRINT_END))
        return size, head, stream.read(FINGERPRINT_END)


def dump_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON text that never holds NaN or Infinity (a ``ValueError`` if the value does), keys in the order given."""
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


@contextmanager
def output_errors(target: Path) -> Iterator[None]:
    """Turn an operating-system error while writing ``target`` into an ``OutputError`` that names it and the reason."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{target}: cannot be written: {reason}. Free it, or choose another place.") from error


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target`` to write to; it takes the target's name when the block ends well.

    Raises:
        OutputError: The place cannot be written to (missing folder, no right, disk full).
    """
    with output_errors(target):
        descriptor, name = tempfile.mkstemp(prefix=_temporary_prefix(target), suffix=target.suffix, dir=target.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 file atomically, line ends as given."""
    with atomic_file(target) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise unless a *file* may be written at ``target``.

    Raises:
        OutputExistsError: It exists and ``overwrite`` is off, or it is not a plain file.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_file():
        raise OutputExistsError(f"{target}: exists and is not a file; choose another name.")
    if not overwrite:
        raise OutputExistsError(f"{target}: exists already; pass --overwrite to replace it, or choose another name.")


@contextmanager
def staged_folder(target: Path, *, overwrite: bool, may_replace: Callable[[Path], None]) -> Iterator[Path]:
    """Give a temporary folder to fill; it takes the target's name when the block ends well.

    Args:
        target: The folder to be; missing parents are made.
        overwrite: Whether an existing folder may be replaced at all.
        may_replace: Called with an existing target before any work and before the exchange; raises an
            ``OutputExistsError`` where that folder is not the caller's own.

    Raises:
        OutputExistsError: The target exists and may not be replaced.
        OutputError: The place cannot be written to.
    """
    check_replaceable(target, overwrite=overwrite, may_replace=may_replace)
    with output_errors(target):
        made_parents = _make_parents(target.parent)
        temporary: Path | None = None
        try:
            temporary = Path(tempfile.mkdtemp(prefix=_temporary_prefix(target), dir=target.parent))
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            check_replaceable(target, overwrite=overwrite, may_replace=may_replace)
            _exchange(temporary, target)
        except BaseException as error:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)
            _remove_empty(made_parents)
            if isinstance(error, OutputError) and temporary is not None:
                raise type(error)(str(error).replace(str(temporary), str(target))) from error
            raise


def remove_leftovers(target: Path) -> list[str]:
    """Remove what killed processes left of their work on ``target``; only for who knows that nobody works on it now.

    Returns:
        The names that were removed, sorted.

    Raises:
        OutputError: A leftover cannot be removed.
    """
    pattern = leftover_pattern(target)
    with output_errors(target):
        if not target.parent.is_dir():
            return []
        with os.scandir(target.parent) as entries:
            leftovers = sorted(entry.name for entry in entries if pattern.fullmatch(entry.name))
        for name in leftovers:
            path = target.parent / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return leftovers


def leftover_pattern(target: Path) -> re.Pattern[str]:
    """Which names ``target`` has while it is being written, and no other target has."""
    return re.compile(re.escape(_temporary_prefix(target)) + _RANDOM_PART + f"({re.escape(target.suffix)})?")


def _temporary_prefix(target: Path) -> str:
    name = target.name
    if len(name.encode()) > _LONGEST_NAME:
        name = sha256_bytes(name.encode())[:16]
    return f"{TEMPORARY_PREFIX}{name}-"


def check_replaceable(target: Path, *, overwrite: bool, may_replace: Callable[[Path], None]) -> None:
    """Raise an ``OutputExistsError`` unless ``target`` is free or may be replaced."""
    _check_place(target)
    if not target.exists() and not target.is_symlink():
        return
    if target.is_symlink() or not target.is_dir():
        raise OutputExistsError(f"{target}: is not a folder that wsiamf wrote; move it away or choose another place.")
    may_replace(target)  # first, so that --overwrite is named only where it helps
    if not overwrite:
        raise OutputExistsError(f"{target}: exists already; pass --overwrite to replace it, or choose another place.")


def _check_place(target: Path) -> None:
    """Raise an ``OutputError`` where nothing can be made at ``target``; found before hours of work, not after."""
    place = target.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise OutputError(f"{target}: cannot be written: {place} is not a folder. Choose another place.")
    if not os.access(place, os.W_OK):
        raise OutputError(f"{target}: cannot be written: {place} is read-only. Choose another place.")


def _exchange(temporary: Path, target: Path) -> None:
    if not target.exists():
        os.replace(temporary, target)
        return
    old = Path(tempfile.mkdtemp(prefix=_temporary_prefix(target), dir=target.parent))
    os.replace(target, old)  # an empty folder may be replaced, so this is one step
    try:
        os.replace(temporary, target)
    except BaseException:
        os.replace(old, target)
        raise
    shutil.rmtree(old)


def _make_parents(folder: Path) -> list[Path]:
    missing = []
    current = folder
    while not current.exists():
        missing.append(current)
        current = current.parent
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _umask() -> int:
    # Setting it is the only portable way to read it.
    with _UMASK_LOCK:
        mask = os.umask(0)
        os.umask(mask)
    return mask
