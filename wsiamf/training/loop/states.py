"""The saved state of a run: whole or not there, and only for the recipe and the crops that it was saved with."""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from wsiamf.config import TrainConfig
from wsiamf.errors import TrainingError
from wsiamf.files import atomic_file
from wsiamf.training.labels import LabelledCrops

_SCHEMA: Final = "wsiamf.state/1"
_RECIPE: Final = {"network", "loss", "augment", "fit", "distil"}
_NO_MATTER: Final = {"fit": {"tensorboard"}}


def describe_run(
    config: TrainConfig, seed: int, train: LabelledCrops, validation: LabelledCrops | None
) -> dict[str, Any]:
    """All that a run's weights follow from."""
    recipe = config.model_dump(mode="json", include=_RECIPE, exclude=_NO_MATTER)
    parts = {"training": _digest(train), "validation": None if validation is None else _digest(validation)}
    return recipe | {"seed": seed, "crops": parts}


def save_state(path: Path, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write atomically.

    Raises:
        OutputError: The place cannot be written to.
    """
    with atomic_file(path) as temporary:
        torch.save({"schema": _SCHEMA, "run": dict(run), "state": dict(state)}, temporary)


def load_state(path: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``save_state`` wrote for this run, on the CPU; None where there is no such file.

    Raises:
        TrainingError: The file is damaged, or of another run; says in which values they differ.
    """
    if not path.exists():
        return None
    saved = _read(path)
    mine, other = _flat(run), _flat(saved["run"])
    if differing := sorted(key for key in mine | other if mine.get(key) != other.get(key)):
        raise TrainingError(
            f"{path}: was saved by another configuration, which differs in {', '.join(differing)}; choose another --out "
            "or remove the file."
        )
    state: dict[str, Any] = saved["state"]
    return state


def trained_state(network: nn.Module) -> dict[str, Tensor]:
    """Weights and statistics without those of frozen backbones, which would fill the disk and never change."""
    frozen = tuple(f"{name}." for name, part in network.named_children() if not _is_trained(part))
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(frozen)}


def _is_trained(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path}: is damaged and cannot be gone on from; remove it to begin anew.") from error
    if not isinstance(saved, dict) or saved.get("schema") != _SCHEMA:
        raise TrainingError(f"{path}: was not saved by this version of wsiamf; remove it to begin anew.")
    return saved


def _digest(data: LabelledCrops) -> str:
    labels = data.table.to_csv(index=False) + data.votes.to_csv(index=False)
    pixels = zlib.crc32(np.ascontiguousarray(data.crops_NSS3).data)
    return hashlib.sha256(labels.encode() + data.phases_NR.tobytes() + pixels.to_bytes(4)).hexdigest()


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
