"""Model bundles: a folder of weights (safetensors), ``spec.json``, ``CARD.md`` and ``LICENSES``, named by one hash.

Weights are stored as float16 and computed in float32. Loading never unpickles, and a changed byte in the weights is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from pydantic import ValidationError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from wsiamf.errors import BundleError, OutputExistsError, problem_line
from wsiamf.files import atomic_file, sha256_bytes, write_text
from wsiamf.model import MitosisClassifier, build_network
from wsiamf.spec import ModelSpec

DEFAULT_MODEL: Final = "default"
WEIGHTS: Final = "model.safetensors"
SPEC: Final = "spec.json"
CARD: Final = "CARD.md"
LICENSES: Final = "LICENSES"
FORMS: Final = "openvino"
"""Folder of a bundle that may hold its int8 form, which ``inference`` reads and checks."""
FORM_RECORD: Final = "record.json"
_FILES: Final = (SPEC, WEIGHTS, CARD, LICENSES)
_FORM_FILE: Final = re.compile(r"network-\d+\.(xml|bin)|record\.json")
_MEMBER: Final = re.compile(r"members\.(\d+)\.(.+)")
_SHIPPED: Final = Path(__file__).with_name("bundles")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files have been checked.

    Args:
        folder: Where it is.
        spec: Its ``spec.json``.
        sha256: One hash over weights and spec, which names the bundle in every output.
    """

    folder: Path
    spec: ModelSpec
    sha256: str

    @property
    def title(self) -> str:
        """Name, version and short hash in one word."""
        return f"{self.spec.name}-{self.spec.version}@sha256:{self.sha256[:12]}"

    def load_networks(self) -> tuple[MitosisClassifier, ...]:
        """Every network with its weights, float32, in evaluation mode, in the order of ``ModelSpec.networks``.

        Raises:
            BundleError: The weights changed since the spec was written, or do not fit the heads and backbones it names.
        """
        weights = {name: tensor.float() for name, tensor in load_safetensors(self.checked_weights()).items()}
        try:
            return tuple(self._load(weights))
        except (RuntimeError, TypeError) as error:
            detail = " ".join(str(error).split())
            raise BundleError(
                f"{self.folder}: weights do not fit {SPEC} (backbone or heads differ): {detail}"
            ) from error

    def _load(self, weights: Mapping[str, Tensor]) -> Iterator[MitosisClassifier]:
        parts = _by_network(weights)
        if len(parts) != len(self.spec.networks):
            raise BundleError(
                f"{self.folder}: weights do not fit {SPEC}: it names {len(self.spec.networks)} network(s), "
                f"{WEIGHTS} holds {len(parts)}."
            )
        for spec, own in zip(self.spec.networks, parts, strict=True):
            network = build_network(spec, len(self.spec.experts))
            network.load_state_dict(_with_counters(own, network), strict=True)
            yield network.eval()

    def read_card(self) -> str:
        """The text of ``CARD.md``."""
        return (self.folder / CARD).read_text("utf-8")

    def read_licenses(self) -> str:
        """The text of ``LICENSES``."""
        return (self.folder / LICENSES).read_text("utf-8")

    def checked_weights(self) -> bytes:
        """The content of the weights file.

        Raises:
            BundleError: The weights changed since the spec was written.
        """
        data = (self.folder / WEIGHTS).read_bytes()
        if sha256_bytes(data) != self.spec.weights_sha256:
            raise BundleError(
                f"{self.folder / WEIGHTS}: altered or damaged (its sha256 is not that in {SPEC}); fetch it anew."
            )
        return data


def shipped_models() -> list[str]:
    """Names of the bundles inside the package."""
    return (
        sorted(folder.name for folder in _SHIPPED.iterdir() if (folder / SPEC).is_file()) if _SHIPPED.is_dir() else []
    )


def open_bundle(model: str | Path | None = None) -> Bundle:
    """Find a bundle and check its spec and files (the weights' hash is checked when they are loaded).

    Args:
        model: A shipped name, a folder, or None for the default.

    Raises:
        BundleError: No such bundle, a file is missing, or the spec is malformed or of a newer schema.
    """
    folder = _find(str(model) if model is not None else DEFAULT_MODEL)
    for name in _FILES:
        if not (folder / name).is_file():
            raise BundleError(f"{folder}: incomplete model bundle, {name} is missing.")
    text = (folder / SPEC).read_bytes()
    try:
        spec = ModelSpec.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{folder / SPEC}: {problem_line(error.errors())}.") from error
    digest = hashlib.sha256(text + spec.weights_sha256.encode()).hexdigest()
    return Bundle(folder, spec, digest)


def _find(model: str) -> Path:
    if model in shipped_models():
        return _SHIPPED / model
    if Path(model).is_dir():
        return Path(model)
    names = ", ".join(shipped_models()) or "none"
    raise BundleError(f"{model}: no such model: neither a folder nor a shipped name (shipped: {names}).")


def store_weights(*networks: MitosisClassifier) -> bytes:
    """Weights as they are stored: safetensors, float16, without batch-norm's step counters.

    The first network's tensors have their own names; those of the network at place k of ``ModelSpec.members`` begin with
    ``members.<k>.``.
    """
    state = {
        _prefix(number) + name: tensor.detach().cpu()
        for number, network in enumerate(networks)
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    if unstorable := [name for name, tensor in state.items() if not bool(torch.isfinite(tensor.half()).all())]:
        raise BundleError(f"{unstorable[0]}: holds values that float16 cannot store.")
    data: bytes = save_safetensors({name: tensor.half().contiguous() for name, tensor in state.items()})
    return data


def write_bundle(folder: Path, weights: bytes, spec: ModelSpec, *, card: str, licenses: str) -> Bundle:
    """Write a bundle into an existing folder, in place of one that is there, and open it."""
    with atomic_file(folder / WEIGHTS) as path:
        path.write_bytes(weights)
    write_text(folder / SPEC, spec.model_dump_json(indent=1, by_alias=True) + "\n")
    write_text(folder / CARD, card)
    write_text(folder / LICENSES, licenses)
    return open_bundle(folder)


def check_own_bundle(folder: Path) -> None:
    """Raise an ``OutputExistsError`` unless a folder is a bundle and nothing else, so that it may be replaced."""
    foreign = sorted({path.name for path in folder.iterdir()} - {*_FILES, FORMS})
    try:
        open_bundle(folder)
    except BundleError as error:
        raise OutputExistsError(f"{folder}: is not a model bundle of wsiamf's; choose another --out.") from error
    if foreign:
        raise OutputExistsError(f"{folder}: holds more than a model bundle ({foreign[0]}); choose another --out.")
    if (folder / FORMS).exists():
        check_own_form(folder / FORMS)


def check_own_form(folder: Path) -> None:
    """Raise an ``OutputExistsError`` unless a folder is a compiled form and nothing else, so that it may be replaced."""
    foreign = sorted(path.name for path in folder.iterdir() if not _FORM_FILE.fullmatch(path.name))
    if foreign or not (folder / FORM_RECORD).is_file():
        odd = f"holds {foreign[0]}" if foreign else f"holds no {FORM_RECORD}"
        raise OutputExistsError(f"{folder}: is not a compiled form of wsiamf's ({odd}); move it away.")


def _prefix(number: int) -> str:
    """What the names of a network's tensors begin with; 0 is the first network."""
    return f"members.{number - 1}." if number else ""


def _by_network(weights: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The tensors of each network under the names that the network gives them."""
    parts: dict[int, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        match = _MEMBER.fullmatch(name)
        number, own = (int(match[1]) + 1, match[2]) if match else (0, name)
        parts.setdefault(number, {})[own] = tensor
    return [parts[number] for number in sorted(parts)]


def _with_counters(weights: Mapping[str, Tensor], network: MitosisClassifier) -> dict[str, Tensor]:
    counters = {name: tensor for name, tensor in network.state_dict().items() if not tensor.is_floating_point()}
    return {**counters, **weights}
