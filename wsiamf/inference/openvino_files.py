"""Graphs of a bundle as files: the f32 form in the user's cache folder, the int8 form in the bundle's own ``openvino/``.

A folder holds an XML file and a binary file a network, and a record of their hashes and of the bundle they belong to.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final, Literal

import wsiamf.inference.no_telemetry  # noqa: F401  # isort: skip
import numpy as np
import openvino as ov
from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wsiamf.bundle import FORM_RECORD, FORMS, Bundle
from wsiamf.errors import BundleError, ConfigError, OutputError
from wsiamf.files import sha256_bytes, sha256_file, staged_folder, write_text
from wsiamf.inference.openvino_core import openvino_core

logger = logging.getLogger(__name__)

CACHE_VARIABLE: Final = "WSIAMF_CACHE"
_CONVERSION: Final = 1
"""Raised whenever the same network would be converted to another graph, so that no earlier graph is used."""

_REMEDY: Final = "make it anew with `wsiamf models compile --overwrite`"


class FormRecord(BaseModel):
    """What a folder of graphs says of itself.

    Args:
        precision: ``f32`` or ``int8``.
        bundle_sha256: Of the bundle that the graphs were made from.
        n_calibration_crops: Crops that the int8 form's ranges come from.
        versions: Of the libraries that made it.
        files: Name -> sha256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Annotated[Literal["wsiamf.openvino/1"], Field(alias="schema")] = "wsiamf.openvino/1"
    precision: Literal["f32", "int8"]
    bundle_sha256: str
    n_calibration_crops: int = 0
    versions: dict[str, str]
    files: dict[str, str]


def write_form(
    folder: Path,
    models: Sequence[ov.Model],
    bundle: Bundle,
    *,
    precision: Literal["f32", "int8"],
    versions: dict[str, str],
    n_calibration_crops: int = 0,
) -> None:
    """Write graphs and their record into an existing, empty folder."""
    for number, model in enumerate(models):
        ov.save_model(model, folder / f"network-{number}.xml", compress_to_fp16=precision == "int8")
    record = FormRecord(
        precision=precision,
        bundle_sha256=bundle.sha256,
        n_calibration_crops=n_calibration_crops,
        versions=versions,
        files={path.name: sha256_file(path) for path in sorted(folder.iterdir())},
    )
    write_text(folder / FORM_RECORD, record.model_dump_json(indent=1, by_alias=True) + "\n")


def read_form(folder: Path, bundle: Bundle) -> list[ov.Model]:
    """The graphs of a folder, once its record and files are found to be the bundle's.

    Raises:
        BundleError: The folder is not whole, damaged, or of another bundle.
    """
    try:
        record = FormRecord.model_validate_json((folder / FORM_RECORD).read_bytes())
        files = {name: (folder / Path(name).name).read_bytes() for name in record.files}
    except (OSError, ValidationError) as error:
        raise BundleError(f"{folder}: not a whole compiled form; {_REMEDY}.") from error
    if record.bundle_sha256 != bundle.sha256:
        raise BundleError(f"{folder}: compiled from another bundle than {bundle.title}; {_REMEDY}.")
    due = {f"network-{number}.{suffix}" for number in range(len(bundle.spec.networks)) for suffix in ("xml", "bin")}
    if set(files) != due or {name: sha256_bytes(data) for name, data in files.items()} != record.files:
        raise BundleError(f"{folder}: altered or damaged (its files are not those in {FORM_RECORD}); {_REMEDY}.")
    return list(_models(files, len(bundle.spec.networks)))


def _models(files: dict[str, bytes], n_networks: int) -> Iterator[ov.Model]:
    for number in range(n_networks):
        weights = np.frombuffer(files[f"network-{number}.bin"], dtype=np.uint8)
        yield openvino_core().read_model(files[f"network-{number}.xml"], ov.Tensor(weights))


def read_int8(bundle: Bundle) -> list[ov.Model]:
    """The int8 form that the bundle holds.

    Raises:
        ConfigError: It holds none.
        BundleError: The form is damaged or of another bundle, or the bundle's weights changed.
    """
    folder = bundle.folder / FORMS
    if not folder.is_dir():
        raise ConfigError(
            f"--precision int8: {bundle.title} has no int8 form; make it with `wsiamf models compile {bundle.folder}`."
        )
    bundle.checked_weights()
    return read_form(folder, bundle)


def read_or_convert(bundle: Bundle) -> list[ov.Model]:
    """The f32 form, from the cache where it is there and sound; else made, and cached where the cache can be written.

    Raises:
        BundleError: The weights changed since the spec was written, or do not fit.
    """
    folder = cache_folder() / f"openvino-{version('openvino')}-{_CONVERSION}" / bundle.sha256
    bundle.checked_weights()
    try:
        return read_form(folder, bundle)
    except BundleError as error:
        logger.debug("%s: not used: %s", folder, error)
    with TemporaryDirectory() as temporary:
        made = Path(temporary)
        versions = {"openvino": version("openvino")}
        write_form(made, _converted(bundle), bundle, precision="f32", versions=versions)
        _store(made, folder)
        return read_form(made, bundle)  # read back, so that the first start computes what later ones do


def _converted(bundle: Bundle) -> list[ov.Model]:
    # Loaded only here, with torch: most starts find the form made.
    models: list[ov.Model] = import_module("wsiamf.inference.openvino_graph").convert_networks(bundle)
    return models


def cache_folder() -> Path:
    """Where converted models are kept."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else user_cache_path("wsiamf")


def _store(made: Path, folder: Path) -> None:
    """Put a form into the cache; whatever hinders that costs only time at the next start."""
    try:
        with staged_folder(folder, overwrite=True, may_replace=lambda _old: None) as staged:
            shutil.copytree(made, staged, dirs_exist_ok=True)
    except (OSError, OutputError) as error:
        logger.debug("%s: not cached: %s", folder, error)
