"""What a points file holds, for a person to look at before it is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wsiamf.candidates.notes import listed_faults
from wsiamf.candidates.placing import Placement, place
from wsiamf.candidates.raw import RawPoints, SlideLike
from wsiamf.candidates.reading import placement_of, read_points
from wsiamf.errors import ConfigError
from wsiamf.slide_names import base_name

SCHEMA: Final = "wsiamf.points/1"
_DECIMALS: Final = 3

Facts = dict[str, Any]


def inspect_points(path: Path, slide: SlideLike, *, points_format: str | None = None, **placing: Any) -> Facts:
    """Describe a points file.

    Args:
        path: The points file.
        slide: The slide whose rows are described; ``NamedSlide()`` for all rows.
        points_format: One of ``formats.FORMATS`` instead of looking at the content.
        **placing: How the file's numbers become level-0 px, where its format does not say it rightly: ``points_frame``,
            ``points_unit``, ``points_scale``, ``points_swap_xy``, ``points_flip_y`` of ``reading.placement_of``.

    Returns:
        JSON-ready facts: ``format``, ``n_points``, ``slides`` and ``classes`` with their numbers of points, ``frame`` and
        ``unit`` that are used, ``extent`` as the file has it, ``scores``, ``raters``, ``n_unusable`` and why, ``notes``; for a
        slide that is at hand ``on_slide`` too, in level-0 px. What the file does not have is null.

    Raises:
        CandidateError: The file is malformed, of no known format, or has no row for the slide.
        ConfigError: An option holds a wrong value, or changes nothing without a slide.
    """
    reader, raw = read_points(path, slide, points_format)
    placement = placement_of(reader, raw, **placing)
    if not slide.frame.width:
        _refuse_idle(placement)
    return {
        "schema": SCHEMA,
        "name": path.name,
        "format": reader.name,
        "n_points": len(raw),
        "slides": None if raw.slides is None else _numbers(base_name(name) for name in raw.slides),
        "classes": _numbers(raw.labels),
        "n_by_person": int(raw.by_person.sum()),
        "frame": placement.frame,
        "unit": placement.unit,
        "extent": _extent(raw.x, raw.y),
        "scores": _range(raw.score),
        "raters": _raters(raw),
        "n_unusable": len(raw.faults),
        "unusable": listed_faults(raw, raw.faults) or None,
        "notes": list(raw.notes),
        "on_slide": _on_slide(raw, slide, placement),
    }


def _refuse_idle(placement: Placement) -> None:
    """Raise for an option that would change nothing of what is shown."""
    given = {
        "--points-scale": placement.scale != 1.0,
        "--points-swap-xy": placement.swap_xy,
        "--points-flip-y": placement.flip_y,
    }
    for option in (name for name, is_given in given.items() if is_given):
        raise ConfigError(
            f"{option}: says where points lie on a slide; without --slide they are shown as the file has them: pass --slide."
        )


def _on_slide(raw: RawPoints, slide: SlideLike, placement: Placement) -> Facts | None:
    if not slide.frame.width:
        return None
    placed = place(raw.x, raw.y, raw.faults, slide.frame, placement)
    return {
        "slide": slide.name,
        "width": slide.frame.width,
        "height": slide.frame.height,
        "mpp": slide.frame.mpp,
        "extent": _extent(placed.x, placed.y),
        "n_off_slide": len(placed.faults) - len(raw.faults),
    }


def _numbers(words: Iterable[str | None]) -> dict[str, int]:
    """How often each word comes, the commonest first; ``""`` for none."""
    counts = Counter(word or "" for word in words)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _extent(x: NDArray[np.float64], y: NDArray[np.float64]) -> Facts | None:
    x_range, y_range = _range(x), _range(y)
    return {"x": x_range, "y": y_range} if x_range and y_range else None


def _range(values: NDArray[np.float64] | None) -> Facts | None:
    finite = np.empty(0) if values is None else values[np.isfinite(values)]
    if not len(finite):
        return None
    return {"min": round(float(finite.min()), _DECIMALS), "max": round(float(finite.max()), _DECIMALS)}


def _raters(raw: RawPoints) -> Facts | None:
    if not raw.person_labels:
        return None
    return {
        name: {"votes_count": raw.persons_are_experts, "classes": _numbers(labels)}
        for name, labels in raw.person_labels.items()
    }
