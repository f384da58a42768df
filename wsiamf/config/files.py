"""Configurations from YAML: shipped ones by name, others by path.

The shipped ones stand in ``configs/`` at the top of the repository (inside the package once installed).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from wsiamf.config.clusters import SlurmConfig
from wsiamf.config.training import TrainConfig
from wsiamf.errors import ConfigError, problem_line


def configs_folder() -> Path:
    """Where the shipped configurations are."""
    package = Path(__file__).parent.parent
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def find_config(name_or_path: str) -> Path:
    """The file of a shipped configuration's name or of a path.

    Raises:
        ConfigError: There is neither; lists the shipped names.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    folder = configs_folder()
    shipped = folder / f"{name_or_path}.yaml"
    if shipped.is_file():
        return shipped
    names = sorted((file.relative_to(folder).with_suffix("") for file in folder.rglob("*.yaml")), key=_by_depth)
    raise ConfigError(f"{name_or_path}: no such configuration file; shipped names are: {', '.join(map(str, names))}.")


def _by_depth(name: Path) -> tuple[int, str]:
    return len(name.parts), str(name)


def load_train_config(path: Path) -> TrainConfig:
    """Read and check a training configuration.

    Raises:
        ConfigError: Not YAML, an unknown key, or a wrong value; names the file and each key.
    """
    return parse_train_config(_read_yaml(path), path.name)


def parse_train_config(values: Any, origin: str) -> TrainConfig:
    """Check a configuration that has been read; ``origin`` names it in errors."""
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {problem_line(error.errors())}.") from error


def load_cluster_config(path: Path) -> SlurmConfig:
    """Read and check a configuration of a cluster.

    Raises:
        ConfigError: Not YAML, an unknown key, or a wrong value; names the file and each key.
    """
    try:
        return SlurmConfig.model_validate(_read_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path.name}: {problem_line(error.errors())}.") from error


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}.") from error
