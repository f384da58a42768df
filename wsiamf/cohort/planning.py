"""The plan of a cohort (``plan.json``), and which of its slides are still to be screened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from wsiamf.candidates.own_rows import own_rows_sha256
from wsiamf.candidates.parsed_file import forget_last_file
from wsiamf.cohort.items import Classes, Item
from wsiamf.cohort.places import Places
from wsiamf.config import ScreenOptions, parse_screen_options
from wsiamf.errors import CohortError, ConfigError, WsiamfError
from wsiamf.files import dump_json, output_errors, sha256_file, write_text
from wsiamf.screen.key import COMPUTED_BY, changed_parts, run_key
from wsiamf.slides import read_fingerprint
from wsiamf.spec import ErrorRates, load_error_rates

SCHEMA: Final = "wsiamf.cohort-plan/1"

Kind = Literal["new", "changed", "failed before", "done", "mixed", "no candidates"]
"""What is known of a slide; the first three are to be screened."""

_TO_SCREEN: Final = ("new", "changed", "failed before")
_WHAT: Final[dict[Kind, str]] = {"done": "keep", "mixed": "keep or stop", "no candidates": "leave out"}
_OLDER: Final = "recorded by an older version"


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

    def as_json(self) -> dict[str, Any]:
        """Values that JSON has, ``schema`` first."""
        values = {name: getattr(self, name) for name in ("manifest", "model", "error_rates", "options", "compute")}
        return {"schema": self.schema, **values, "items": [item.as_json() for item in self.items]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """The inverse of ``as_json``."""
        return cls(**(values | {"items": tuple(Item.from_json(one) for one in values["items"])}))


def read_plan(places: Places) -> Plan:
    """Read a cohort's plan.

    Raises:
        CohortError: There is none, or it is not one.
    """
    try:
        values = json.loads(places.plan.read_text("utf-8"))
        schema = values.get("schema") if isinstance(values, dict) else None
        if schema != SCHEMA:
            raise CohortError(
                f"{places.plan}: is no plan of this version ({schema}, here {SCHEMA}); use another --out."
            )
        return Plan.from_json(values)
    except FileNotFoundError as error:
        raise CohortError(f"{places.out}: holds no plan of a cohort; run wsiamf cohort first.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CohortError(f"{places.plan}: cannot be read ({error}); run wsiamf cohort again.") from error


def write_plan(plan: Plan, places: Places) -> None:
    """Write ``plan.json``, whole or not at all; the same plan gives the same bytes.

    Raises:
        OutputError: The place cannot be written to.
    """
    with output_errors(places.plan):
        places.state.mkdir(parents=True, exist_ok=True)
    write_text(places.plan, dump_json(plan.as_json()))


def shard(items: Sequence[Item], i: int, n: int) -> tuple[Item, ...]:
    """The ``i``-th (from 1) of ``n`` parts of a cohort, every ``n``-th item: parts differ by one item at most.

    Raises:
        ConfigError: There is no such part.
    """
    if not 1 <= i <= n:
        raise ConfigError(f"--shard {i}/{n}: the first number must lie between 1 and the second.")
    return tuple(items[i - 1 :: n])


@dataclass(frozen=True)
class Judged:
    """What is known of one slide.

    Args:
        kind: One word.
        why: What changed, or why it failed; empty where the word says all.
        parts: What differs between the recorded key and today's.
    """

    kind: Kind
    why: str = ""
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}" if self.why else self.kind


@dataclass(frozen=True)
class Due:
    """What is left to do of a cohort, or of a part of it.

    Args:
        todo: To be screened.
        done: Results stand and are up to date.
        mixed: Done and up to date but for another backend, precision or device class.
        without_candidates: Never screened.
        judged: What is known of each slide, by its id.
        invalidated: How many results each changed part makes out of date: ``options.min_score 0.3 -> 0.5``.
        left_alone: Folders of results in OUT that are no item's of the plan.
    """

    todo: tuple[Item, ...]
    done: tuple[Item, ...]
    mixed: tuple[Item, ...]
    without_candidates: tuple[Item, ...]
    judged: Mapping[str, Judged]
    invalidated: Counter[str]
    left_alone: tuple[str, ...]


def due(
    plan: Plan,
    places: Places,
    classes: Classes,
    items: Sequence[Item] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Due:
    """Compare what stands in OUT with the plan; slides are hashed, not opened, and only those that have a result.

    A slide, or points, that cannot be read is due: the screening says why.

    Args:
        plan: The cohort's.
        places: Its folder.
        classes: What the model computes with today.
        items: The items to look at; left out: all of the plan.
        on_progress: Called with the number of items looked at and the number in all.

    Raises:
        ConfigError: The plan's options or error rates are unusable.
    """
    chosen = plan.items if items is None else tuple(items)
    today = Today(places, classes, plan.options, plan.error_rates)
    judged = {}
    for n, item in enumerate(chosen, start=1):
        judged[item.slide_id] = today.judge(item)
        on_progress(n, len(chosen))
    forget_last_file()  # of many slides' points: the children read them, this process waits for hours

    def of_kind(*kinds: str) -> tuple[Item, ...]:
        return tuple(item for item in chosen if judged[item.slide_id].kind in kinds)

    return Due(
        todo=of_kind(*_TO_SCREEN),
        done=of_kind("done"),
        mixed=of_kind("mixed"),
        without_candidates=of_kind("no candidates"),
        judged=judged,
        invalidated=Counter(part for one in judged.values() if one.kind == "changed" for part in one.parts),
        left_alone=_left_alone(plan, places),
    )


class Today:
    """The keys that results would have today, and what is recorded.

    Args:
        places: Of the cohort.
        classes: What the model computes with today.
        options: Of ``ScreenOptions``, JSON values.
        error_rates: JSON file of the user's own error rates.

    Raises:
        ConfigError: Options or error rates are unusable.
    """

    def __init__(self, places: Places, classes: Classes, options: Mapping[str, Any], error_rates: str | None) -> None:
        self._places = places
        self._classes = classes
        self._options = parse_screen_options(dict(options))
        self._error_rates: ErrorRates | None = load_error_rates(Path(error_rates)) if error_rates else None

    def judge(self, item: Item) -> Judged:
        """What is known of a slide; it is hashed where it has a result."""
        if item.points is None:
            return Judged("no candidates")
        recorded = recorded_key(self._places.record(item.slide_id))
        failure = _failure(self._places.failure(item.slide_id))
        if recorded is None:
            return Judged("new") if failure is None else Judged("failed before", failure)
        try:
            today = self._key(item, item.points)
        except (WsiamfError, OSError) as error:
            return Judged("changed", f"cannot be read as before: {error}", ("input unreadable",))
        return _judged(tuple(changed_parts(recorded, today)) if recorded else (_OLDER,), failure)

    def _key(self, item: Item, points: Path) -> dict[str, Any]:
        return run_key(
            fingerprint=read_fingerprint(item.slide),
            points_rows_sha256=own_rows_sha256(points, item.slide.name, self._options.points_format),
            regions_sha256=sha256_file(item.roi) if item.roi else None,
            named_regions_sha256=sha256_file(item.regions) if item.regions else None,
            options=options_of(item, self._options),
            error_rates=self._error_rates,
            **asdict(self._classes),
        )


def _judged(parts: tuple[str, ...], failure: str | None) -> Judged:
    """What is known of a slide that has a result, by what differs from today's key and why a later try failed."""
    if any(part.split()[0] not in COMPUTED_BY for part in parts):
        return Judged("changed", ", ".join(parts) + (f"; failed before: {failure}" if failure else ""), parts)
    if failure is not None:  # of a try in between, when its inputs or options were others
        return Judged("failed before", failure)
    return Judged("mixed", ", ".join(parts), parts) if parts else Judged("done")


def options_of(item: Item, options: ScreenOptions) -> ScreenOptions:
    """The options of one slide: the cohort's, with the resolution that the manifest gives."""
    return options if item.mpp is None else options.model_copy(update={"mpp": item.mpp})


def recorded_key(record: Path) -> dict[str, Any] | None:
    """The key in ``run.json``; empty where it holds none, None where there is no record."""
    try:
        values = json.loads(record.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return {}
    key = values.get("key") if isinstance(values, dict) else None
    return key if isinstance(key, dict) else {}


def _failure(path: Path) -> str | None:
    """Why the last try failed, on one line; None where it did not."""
    try:
        reason = json.loads(path.read_text("utf-8"))["reason"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        return "reason not readable"
    return " ".join(str(reason).split())


def _left_alone(plan: Plan, places: Places) -> tuple[str, ...]:
    """Names of folders of results that no item of the plan has."""
    planned = {item.slide_id for item in plan.items}
    try:
        names = [entry.name for entry in places.out.iterdir()]
    except FileNotFoundError:
        return ()
    return tuple(sorted(name for name in names if name not in planned and places.record(name).is_file()))


def describe(plan: Plan, due: Due) -> str:
    """What would be done: a line a slide, then totals, what a change invalidates, and what is left alone."""
    known = [(item.slide_id, due.judged[item.slide_id]) for item in plan.items if item.slide_id in due.judged]
    lines = [f"{name}: {_WHAT.get(one.kind, 'screen')} ({one})" for name, one in known]
    n_of = Counter(one.kind for _name, one in known)
    counted = [f"{n_of[kind]:,} {kind}" for kind in _TO_SCREEN if n_of[kind]]
    of_these = f" ({', '.join(counted)})" if counted else ""
    totals = f"{len(known):,} slides: {len(due.todo):,} to screen{of_these}, {len(due.done):,} done"
    if due.mixed:
        totals += f", {len(due.mixed):,} done by another backend, precision or device class (see --allow-mixed)"
    if due.without_candidates:
        totals += f", {len(due.without_candidates):,} without candidates"
    lines.append(f"{totals}.")
    lines += [f"Out of date by {part}: {n:,} results." for part, n in sorted(due.invalidated.items())]
    if due.left_alone:
        lines.append(
            f"Left alone, not in the manifest: {len(due.left_alone):,} folders of results ({_first(due.left_alone)})."
        )
    return "\n".join(lines) + "\n"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
