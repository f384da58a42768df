"""The key of a result: everything that its numbers follow from. A result is up to date when its key equals today's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from wsiamf.config import ScreenOptions
from wsiamf.spec import ErrorRates

ALGORITHM_VERSION: Final = 3
"""Raised whenever the same input would give other numbers, by another reading of a points file too."""

COMPUTED_BY: Final = ("backend", "precision", "device_class")
"""Parts that say which machine computed, not what; a cohort may mix them where the user allows it."""

_HASHES: Final = frozenset({"slide", "points", "regions", "named_regions", "model"})
_ABSENT: Final = "none"
_NO_RESULT: Final = frozenset({"report"})


def run_key(
    *,
    fingerprint: str,
    points_rows_sha256: str | None,
    regions_sha256: str | None,
    named_regions_sha256: str | None,
    model_sha256: str,
    options: ScreenOptions,
    error_rates: ErrorRates | None,
    backend: str,
    precision: str,
    device_class: str,
) -> dict[str, Any]:
    """Values that JSON has, in a fixed order.

    Args:
        fingerprint: The slide's.
        points_rows_sha256: ``candidates.own_rows.own_rows_sha256``; None for a slide without points.
        regions_sha256: Of the regions' file; None for a tissue mask.
        named_regions_sha256: Of the file of named fields; None where there is none.
        model_sha256: The bundle's.
        options: As they are for this slide, a given mpp included.
        error_rates: The user's own.
        backend, precision, device_class: What the loaded model computes with.
    """
    return {
        "slide": fingerprint,
        "points": points_rows_sha256,
        "regions": regions_sha256,
        "named_regions": named_regions_sha256,
        "model": model_sha256,
        "options": key_options(options.model_dump(mode="json")),
        "error_rates": error_rates.model_dump(mode="json") if error_rates else None,
        "algorithm_version": ALGORITHM_VERSION,
        "backend": backend,
        "precision": precision,
        "device_class": device_class,
    }


def key_options(options: object) -> dict[str, Any]:
    """Those of ``config.ScreenOptions`` that change results: a page can be made later, and made again.

    Args:
        options: As a record holds them; what is no object has none.
    """
    if not isinstance(options, Mapping):
        return {}
    return {name: value for name, value in options.items() if name not in _NO_RESULT}


def comparable_key(key: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded key without the options that change no result: older versions kept them in it."""
    options = key.get("options")
    return {**key, "options": key_options(options)} if isinstance(options, Mapping) else dict(key)


def changed_parts(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two keys, in their order: ``options.min_score 0.3 -> 0.5``, ``model``; empty where nothing does.

    Args:
        old: A recorded key; parts that it lacks differ.
        new: Today's.
    """
    old, new = comparable_key(old), comparable_key(new)
    parts = []
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            parts += [f"{name}.{part}" for part in changed_parts(before, after)]
        elif name in _HASHES or isinstance(before, dict) or isinstance(after, dict):
            parts.append(_given_or_not(name, before, after))
        else:
            parts.append(f"{name} {_shown(before)} -> {_shown(after)}")
    return parts


def _given_or_not(name: str, before: object, after: object) -> str:
    """A part whose content says nothing to a reader."""
    if before is None:
        return f"{name} given"
    return f"{name} left out" if after is None else name


def _shown(value: object) -> str:
    return _ABSENT if value is None else value if isinstance(value, str) else json.dumps(value)
