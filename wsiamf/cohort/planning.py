"""The plan of a cohort, as ``plan.json`` (schema ``wsiamf.cohort-plan/1``) holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from wsiamf.cohort.items import Item
from wsiamf.cohort.places import Places
from wsiamf.errors import CohortError

SCHEMA: Final = "wsiamf.cohort-plan/1"


@dataclass(frozen=True)
class Plan:
    """What is to be done with what.

    Args:
        manifest: ``name`` and ``sha256``.
        model: As given; absolute if a folder; None for the default.
        error_rates: Absolute path of the user's own error rates.
        options: A dump of ``ScreenOptions``.
        compute: ``backend, device, batch_size, precision`` as given.
        items: The manifest's rows in their order.
    """

    manifest: dict[str, Any]
    model: str | None
    error_rates: str | None
    options: dict[str, Any]
    compute: dict[str, Any]
    items: tuple[Item, ...]
    schema: str = SCHEMA


def read_plan(places: Places) -> Plan:
    """Read a cohort's plan.

    Raises:
        CohortError: There is none, or it is not one.
    """
    try:
        values = json.loads(places.plan.read_text("utf-8"))
        return Plan(**(values | {"items": tuple(Item.from_json(one) for one in values["items"])}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CohortError(f"{places.out}: holds no plan of a cohort; run wsiamf cohort first.") from error
