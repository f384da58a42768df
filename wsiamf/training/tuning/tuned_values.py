"""Dotted names of a configuration's numbers, and a configuration with other values for them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from wsiamf.config import TrainConfig
from wsiamf.errors import ConfigError, problem_line

Values = Mapping[str, float]
"""By dotted name."""

_SECTIONS: Final = ("network", "loss", "augment", "fit", "distil")
_FIXED: Final = frozenset({"fit.epochs", "fit.runs"})
"""What a trial sets itself; the rest of the configuration says which data are used, not how they are learnt."""


def tunable_values(config: TrainConfig) -> dict[str, float]:
    """Every number that may be tuned, by its dotted name."""
    sections = {name: getattr(config, name) for name in _SECTIONS}
    found = {name: value for section, part in sections.items() for name, value in _numbers(section, part)}
    return {name: value for name, value in found.items() if name not in _FIXED}


def check_space(config: TrainConfig) -> None:
    """Raise a ``ConfigError`` where ``tune.space`` names no number of the configuration, or leaves its allowed range."""
    known = tunable_values(config)
    for name, chosen in config.tune.space.items():
        if name not in known:
            raise ConfigError(
                f"tune.space: {name} is no number of this configuration that can be tuned; {_hint(name, known)}."
            )
        for bound in (chosen.low, chosen.high):
            if isinstance(known[name], int) and not bound.is_integer():
                raise ConfigError(f"tune.space: {name} is a whole number; {bound:g} is not.")
            with_values(config, {name: bound})


def with_values(config: TrainConfig, values: Values) -> TrainConfig:
    """The configuration with other values.

    Raises:
        ConfigError: A value is outside what the configuration allows; names it.
    """
    whole: dict[str, Any] = config.model_dump()
    for name, value in values.items():
        *path, last = name.split(".")
        part = whole
        for key in path:
            part = part[key]
        part[last] = value
    try:
        return TrainConfig.model_validate(whole)
    except ValidationError as error:
        raise ConfigError(f"tune.space: {problem_line(error.errors())}.") from error


def _numbers(prefix: str, part: Any) -> Iterator[tuple[str, float]]:
    if isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from _numbers(f"{prefix}.{name}", getattr(part, name))
    elif isinstance(part, int | float) and not isinstance(part, bool):
        yield prefix, part


def _hint(name: str, known: Mapping[str, float]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"the nearest is {near[0]}"
