"""Crop images and crop stores to a table of probabilities: ``wsiamf predict``."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from wsiamf.crop_store import StoredCrop, open_crop_store
from wsiamf.crops import crop_hash, paint_padding_white, read_crop_image
from wsiamf.errors import CropError, OutputExistsError
from wsiamf.inference import Classifier
from wsiamf.predictions import expert_columns
from wsiamf.summary import apply_conformal, apply_thresholds

logger = logging.getLogger(__name__)

_DECIMALS: Final = 6  # of a probability, as in a slide's predictions
IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})

Crop = Path | StoredCrop
"""An image file, or a crop of a crop store."""


def find_crops(sources: Sequence[Path]) -> dict[str, Crop]:
    """The crops in files, folders (searched to any depth) and crop stores, by the name they get in the table.

    A file's name is its own, or its path within the folder that was given; a stored crop's is that of the file that was packed.
    Where several sources are given and names repeat, the folder's (or parent folder's, or store's) name stands before it.

    Returns:
        Name -> crop; the sources in their order, a folder's files sorted, a store's crops as they are stored.

    Raises:
        CropError: A source is missing, a folder holds no image, a store is damaged, or two crops would have the same name.
    """
    found = [(source, *named) for source in sources for named in _crops(source)]
    repeated = {name for name, count in Counter(name for _, name, _ in found).items() if count > 1}
    crops: dict[str, Crop] = {}
    for source, short, crop in found:
        name = f"{_prefix(source)}/{short}" if short in repeated else short
        if name in crops:
            raise CropError(
                f"{crop} and {crops[name]}: both would be called {name} in the table; give one folder above them."
            )
        crops[name] = crop
    return crops


def predict_crops(
    crops: dict[str, Crop],
    classifier: Classifier,
    *,
    threshold: float,
    conformal_error: float = 0.1,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> pd.DataFrame:
    """Classify crop images.

    Args:
        crops: Name -> crop of exactly the model's crop size, at its mpp.
        classifier: The model.
        threshold: ``p_atypical >= threshold`` is labelled AMF.
        conformal_error: Share of either class that the column ``conformal`` may call the other class.
        on_progress: Called with the number of crops done and the number in all.

    Returns:
        Columns ``file, p_atypical, p_hard, p_atypical_expert_1..K, label, conformal``, in the order of ``crops``.

    Raises:
        CropError: A crop is unreadable or has another size; names it.
    """
    known = set(classifier.spec.trained_on.crops)
    parts: list[pd.DataFrame] = []
    n_known = done = 0
    for batch in _batched(list(crops.values()), classifier.batch_size * classifier.capacity):
        images = np.stack([_read(crop, classifier.spec.crop_px) for crop in batch])
        images = paint_padding_white(images)
        n_known += sum(crop_hash(image) in known for image in images)
        parts.append(_probabilities(classifier, images))
        done += len(batch)
        on_progress(done, len(crops))
    if n_known:
        logger.warning("the model was trained on %d of these crops; figures measured on them are too good.", n_known)
    columns = ["p_atypical", "p_hard", *expert_columns(len(classifier.spec.experts))]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns, dtype=float)
    table.insert(0, "file", pd.Series(list(crops), dtype=object))
    table[columns] = table[columns].round(_DECIMALS)
    spec = classifier.spec
    labelled = apply_thresholds(table, threshold=threshold, hard_threshold=spec.thresholds.hard).drop(columns="hard")
    return apply_conformal(labelled, spec.conformal, error_rate=conformal_error)


def refuse_foreign_table(out: Path) -> None:
    """Raise an ``OutputExistsError`` where ``out`` is a file that is not an earlier table of crop predictions."""
    if not out.is_file():
        return
    with out.open("rb") as stream:
        if not stream.read(64).startswith(b"file,p_atypical,p_hard"):
            raise OutputExistsError(f"{out}: is not a table that wsiamf wrote, so --overwrite does not touch it.")


def arrow_table(table: pd.DataFrame) -> pa.Table:
    """The table for ``predictions.write_csv``, with nulls for what the model cannot say."""
    return pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)


def _crops(source: Path) -> list[tuple[str, Crop]]:
    """A source's crops, each with the name that it has there."""
    if source.is_file():
        return [(source.name, source)]
    if not source.is_dir():
        raise CropError(f"{source}: no such file or folder.")
    if source.suffix == ".zarr" or (source / "zarr.json").exists():
        stored = open_crop_store(source).crops
        return [(crop.file, crop) for crop in stored]
    return [(file.relative_to(source).as_posix(), file) for file in _images(source)]


def _images(source: Path) -> list[Path]:
    images = sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not images:
        raise CropError(f"{source}: holds no crop images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return images


def _prefix(source: Path) -> str:
    folder = source.parent if source.is_file() else source
    return folder.resolve().name


def _read(crop: Crop, side: int) -> NDArray[np.uint8]:
    pixels = crop.read() if isinstance(crop, StoredCrop) else read_crop_image(crop)
    if pixels.shape != (side, side, 3):
        raise CropError(
            f"{crop}: is {pixels.shape[1]}x{pixels.shape[0]} px, but the model takes crops of {side}x{side} px at its mpp; "
            "cut or resample it first."
        )
    return pixels


def _probabilities(classifier: Classifier, images: NDArray[np.uint8]) -> pd.DataFrame:
    said = classifier.predict(images)
    columns = {"p_atypical": said.p_atypical, "p_hard": said.p_hard}
    experts = expert_columns(len(classifier.spec.experts))
    return pd.DataFrame(columns | {name: said.p_experts_NK[:, k] for k, name in enumerate(experts)})


def _batched(crops: list[Crop], size: int) -> Iterator[list[Crop]]:
    remaining = iter(crops)
    while batch := list(islice(remaining, size)):
        yield batch
