"""``wsiamf models compile``: a bundle's int8 form, with the model's own training crops as calibration set."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.bundle import CARD, FORMS, LICENSES, SPEC, WEIGHTS, Bundle, check_own_bundle, check_own_form, open_bundle
from wsiamf.config import SetConfig
from wsiamf.errors import TrainingError
from wsiamf.files import staged_folder
from wsiamf.inference.quantize import write_int8
from wsiamf.training.labels import read_labelled_set

N_CALIBRATION: Final = 300
_SEED: Final = 0


def compile_bundle(
    bundle: Bundle, crops_NSS3: NDArray[np.uint8], out: Path | None = None, *, overwrite: bool = False
) -> Bundle:
    """Give a bundle its int8 form.

    Args:
        bundle: The model.
        crops_NSS3: From ``calibration_crops``.
        out: Folder of a copy that gets the form; None for the bundle's own folder.
        overwrite: Replace the form, or the bundle at ``out``, that is there.

    Returns:
        The bundle that holds the form.

    Raises:
        BundleError: The bundle's weights are altered or do not fit.
        OutputError: The place cannot be written to, or holds what is not wsiamf's.
    """
    if out is None:
        with staged_folder(bundle.folder / FORMS, overwrite=overwrite, may_replace=check_own_form) as folder:
            write_int8(folder, bundle, crops_NSS3)
        return bundle
    with staged_folder(out, overwrite=overwrite, may_replace=check_own_bundle) as folder:
        for name in (SPEC, WEIGHTS, CARD, LICENSES):
            shutil.copyfile(bundle.folder / name, folder / name)
        (folder / FORMS).mkdir()
        write_int8(folder / FORMS, bundle, crops_NSS3)
    return open_bundle(out)


def calibration_crops(bundle: Bundle, sets: Sequence[SetConfig], data_root: Path) -> NDArray[np.uint8]:
    """Up to ``N_CALIBRATION`` of the crops that a model was trained on, drawn at random with a fixed seed.

    Args:
        bundle: The model; the hashes of its training crops say which.
        sets: Sets of the recipe that it was trained with.
        data_root: The folder that the sets' paths are relative to.

    Raises:
        TrainingError: A set is unusable, or none holds a crop that the model was trained on.
    """
    known = set(bundle.spec.trained_on.crops)
    found: dict[str, NDArray[np.uint8]] = {}
    for config in sets:
        data = read_labelled_set(config, data_root)
        found |= {name: crop for name, crop in zip(data.hashes, data.crops_NSS3, strict=True) if name in known}
    if not found:
        raise TrainingError(
            f"{bundle.title}: the sets of this configuration hold none of the crops that it was trained on; name its own "
            "with --config and --data."
        )
    drawn = np.random.default_rng(_SEED).permutation(sorted(found))[:N_CALIBRATION]
    return np.stack([found[name] for name in drawn])
