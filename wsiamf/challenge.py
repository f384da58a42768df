"""The MIDOG 2025 track 2 interface: a stack of crops in, one answer a page out, as grand-challenge.org runs it.

``confidence`` is the probability of AMF whatever the class, as the organisers' README has it (one published version of their
evaluator takes 1 - confidence where the class is normal, which moves the AUC alone). The class decides balanced accuracy, so it
comes from the model's threshold, not from 0.5. The evaluator wants floats (1.0, never 1) and exactly the two words below.
"""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from wsiamf.classes import AMF, NMF
from wsiamf.crops import paint_padding_white
from wsiamf.errors import ConfigError, CropError, OutputExistsError
from wsiamf.files import dump_json, output_errors, write_text
from wsiamf.geometry import within_tolerance
from wsiamf.inference import Classifier
from wsiamf.slides.resolution import Resolution
from wsiamf.slides.stacks import STACK_SUFFIXES, StackPage, read_stack
from wsiamf.spec import ModelSpec
from wsiamf.summary import apply_thresholds

logger = logging.getLogger(__name__)

SOCKET: Final = "stacked-histopathology-roi-cropouts"
ANSWERS: Final = "multiple-mitotic-figure-classification.json"
CLASS_WORDS: Final = {AMF: "atypical", NMF: "normal"}

_DECIMALS: Final = 6  # of a probability, as in every table of wsiamf's
_BICUBIC_REACH: Final = 2  # px that Pillow's bicubic filter needs beyond the box, times the reduction

Answer = TypedDict("Answer", {"class": str, "confidence": float})


def find_stack(folder: Path) -> Path:
    """The one stack of an input folder.

    Args:
        folder: With ``inputs.json``, the list of sockets, and ``images/stacked-histopathology-roi-cropouts/`` with the stack.

    Raises:
        ConfigError: ``inputs.json`` is no list of sockets, or lists another one.
        CropError: There is no stack, or more than one.
    """
    if not folder.is_dir():
        raise CropError(f"--input {folder}: no such folder.")
    _check_sockets(folder / "inputs.json")
    images = folder / "images" / SOCKET
    files = sorted(images.iterdir()) if images.is_dir() else []
    stacks = [file for file in files if file.suffix.lower() in STACK_SUFFIXES and not file.name.startswith(".")]
    if len(stacks) != 1:
        found = f"{len(stacks)} stacks ({', '.join(file.name for file in stacks[:4])})" if stacks else "no stack"
        raise CropError(f"{images}: holds {found}, where one is wanted ({', '.join(sorted(STACK_SUFFIXES))}).")
    return stacks[0]


def read_crops(stack: Path, spec: ModelSpec) -> NDArray[np.uint8]:
    """Read a stack as crops for one model; a page of another size or resolution is fitted, with a warning.

    The evaluator wants an answer to every page, so a page is never refused for its size: its middle is taken, and what it lacks
    is white, as outside a slide. An axis whose stated um/px is within the model's tolerance is read as it is, as a slide's is;
    outside it the axis is resampled. Where nothing (or nothing that a microscope could have) is stated, the page is taken to be
    at the model's mpp, which is what the interface promises.

    Returns:
        (N, crop_px, crop_px, 3), RGB uint8, a crop a page, in the order of the stack; black padding is painted white.

    Raises:
        CropError: As ``read_stack``.
    """
    crops: list[NDArray[np.uint8]] = []
    pages_with: dict[str, list[int]] = defaultdict(list)
    for number, page in enumerate(read_stack(stack), start=1):
        for remark in _remarks(page, spec):
            pages_with[remark].append(number)
        crops.append(fit_page(page, spec))
    for remark, numbers in pages_with.items():
        pages = "page" if len(numbers) == 1 else "pages"
        logger.warning("%s: %s %s: %s.", stack.name, pages, ", ".join(map(str, numbers)), remark)
    return np.stack(crops)


def fit_page(page: StackPage, spec: ModelSpec) -> NDArray[np.uint8]:
    """The middle of a page at the model's mpp, (crop_px, crop_px, 3), white where the page ends."""
    side = spec.crop_px
    painted = paint_padding_white(page.pixels_HW3[None])[0]
    scales = _scales(page.resolution, spec)
    if scales == (1.0, 1.0):
        return _middle(painted, side, side)
    wanted = [side * scale for scale in scales]
    canvas = [_canvas_px(length, scale) for length, scale in zip(wanted, scales, strict=True)]
    region = _middle(painted, *canvas)
    left, top = ((outer - inner) / 2 for outer, inner in zip(canvas, wanted, strict=True))
    box = (left, top, left + wanted[0], top + wanted[1])
    # Pillow widens its filter when it reduces, which is the anti-aliasing.
    return np.asarray(Image.fromarray(region).resize((side, side), Image.Resampling.BICUBIC, box=box), dtype=np.uint8)


def answer_crops(crops_NSS3: NDArray[np.uint8], classifier: Classifier, *, threshold: float) -> list[Answer]:
    """Classify crops: one answer each, in their order.

    Args:
        crops_NSS3: From ``read_crops``.
        classifier: The model.
        threshold: ``p_atypical >= threshold`` is atypical.
    """
    said = classifier.predict(crops_NSS3)
    table = pd.DataFrame({"p_atypical": said.p_atypical, "p_hard": said.p_hard}).round(_DECIMALS)
    table = apply_thresholds(table, threshold=threshold, hard_threshold=classifier.spec.thresholds.hard)
    return [
        {"class": CLASS_WORDS[label], "confidence": float(p)}
        for label, p in zip(table["label"], table["p_atypical"], strict=True)
    ]


def write_answers(answers: list[Answer], target: Path) -> None:
    """Write the answers' JSON, whole or not at all; the folder is made where it is missing."""
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, dump_json(answers))


def refuse_foreign_answers(target: Path) -> None:
    """Raise an ``OutputExistsError`` where ``target`` is a file that does not hold answers."""
    if not target.is_file():
        return
    try:
        entries = json.loads(target.read_bytes())
    except ValueError:
        entries = None
    if not isinstance(entries, list) or any(_keys(entry) != {"class", "confidence"} for entry in entries):
        raise OutputExistsError(f"{target}: is not a file of answers, so --overwrite does not touch it.")


def _check_sockets(inputs: Path) -> None:
    """Warn where ``inputs.json`` is missing, raise where it says that something else is to be done."""
    if not inputs.exists():
        logger.warning("%s: missing; the stack is looked for in images/%s.", inputs, SOCKET)
        return
    try:
        sockets = json.loads(inputs.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{inputs}: not readable as JSON ({error}).") from error
    if not isinstance(sockets, list):
        raise ConfigError(f"{inputs}: must be a list of sockets, not {type(sockets).__name__}.")
    slugs = [_slug(socket) for socket in sockets]
    if SOCKET not in slugs:
        named = ", ".join(map(str, slugs)) or "none"
        raise ConfigError(f"{inputs}: names no socket {SOCKET} (it names: {named}); this is not a track 2 job.")


def _slug(socket: Any) -> Any:
    interface = socket.get("interface") if isinstance(socket, dict) else None
    return interface.get("slug") if isinstance(interface, dict) else None


def _keys(entry: Any) -> set[str]:
    return set(entry) if isinstance(entry, dict) else set()


def _remarks(page: StackPage, spec: ModelSpec) -> Iterator[str]:
    """What a reader of the answers should know of a page that is not as the interface promises."""
    height, width = page.pixels_HW3.shape[:2]
    if (width, height) != (spec.crop_px, spec.crop_px):
        yield f"{width}x{height} px instead of {spec.crop_px}x{spec.crop_px}; its middle is taken, white where it ends"
    stated = page.resolution
    if stated.x is None or stated.y is None:
        return
    um_per_px = f"{stated.x:.4g} x {stated.y:.4g} um/px ({stated.stated_by})"
    if stated.status == "absurd":
        yield f"states {um_per_px}, which is no microscope's; taken to be at the model's {spec.mpp:g}"
    elif _scales(stated, spec) != (1.0, 1.0):
        yield f"states {um_per_px}; resampled to the model's {spec.mpp:g}"


def _scales(stated: Resolution, spec: ModelSpec) -> tuple[float, float]:
    """px of the page per px of the crop, along x and y; 1.0 where it is read as it is."""
    if stated.x is None or stated.y is None or stated.status == "absurd":
        return 1.0, 1.0
    x, y = (
        1.0 if within_tolerance(mpp, spec.mpp, spec.mpp_tolerance) else spec.mpp / mpp for mpp in (stated.x, stated.y)
    )
    return x, y


def _canvas_px(length: float, scale: float) -> int:
    """An even number of px that holds a length and what the filter reads beyond it on both sides."""
    return 2 * (math.ceil(length / 2) + math.ceil(_BICUBIC_REACH * max(scale, 1.0)))


def _middle(pixels_HW3: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The middle of a picture, white where the picture ends; its centre stays the centre (``geometry.crop_origin``)."""
    middle = np.full((height, width, 3), 255, dtype=np.uint8)
    top, left = pixels_HW3.shape[0] // 2 - height // 2, pixels_HW3.shape[1] // 2 - width // 2
    inside = pixels_HW3[max(top, 0) : top + height, max(left, 0) : left + width]
    row, column = max(-top, 0), max(-left, 0)
    middle[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return middle
