"""Model bundles: a folder of weights (safetensors), ``spec.json``, ``CARD.md`` and ``LICENSES``, named by one hash.

Weights are stored as float16 and computed in float32. Loading never unpickles, and a changed byte in the weights is an error.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from wsiamf.errors import BundleError, OutputExistsError, problem_line
from wsiamf.files import atomic_file, sha256_bytes, write_text
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


def is_shipped(bundle: Bundle) -> bool:
    """Whether a bundle lies inside the package, where nothing is changed."""
    return bundle.folder.resolve().parent == _SHIPPED.resolve()


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
    if not folder.is_dir():
        raise OutputExistsError(f"{folder}: is not a folder, so it holds no compiled form of wsiamf's; move it away.")
    foreign = sorted(path.name for path in folder.iterdir() if not _FORM_FILE.fullmatch(path.name))
    if foreign or not (folder / FORM_RECORD).is_file():
        odd = f"holds {foreign[0]}" if foreign else f"holds no {FORM_RECORD}"
        raise OutputExistsError(f"{folder}: is not a compiled form of wsiamf's ({odd}); move it away.")
