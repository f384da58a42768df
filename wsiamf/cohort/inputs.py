"""What is to be screened, with what, and where the results go; checked whole before work starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsiamf.cohort.folder import list_folder
from wsiamf.cohort.items import Item
from wsiamf.cohort.manifest import read_manifest
from wsiamf.cohort.places import RESULT_NAMES, Places
from wsiamf.cohort.planning import Plan
from wsiamf.config import parse_screen_options
from wsiamf.errors import ConfigError, OutputExistsError
from wsiamf.files import sha256_bytes, sha256_file


@dataclass(frozen=True)
class Compute:
    """What the model is and runs on, as given; arguments of ``load_model``."""

    model: str | None = None
    backend: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    precision: str = "auto"


@dataclass(frozen=True)
class Cohort:
    """What is to be screened, with what, and where the results go.

    Args:
        source: A manifest, or a folder of slides.
        out: The folder of results.
        points: With a folder of slides: a folder of points files, or one file for many slides.
        regions: With a folder of slides: a folder of files of named fields.
        compute: The model.
        error_rates: JSON with error rates measured on the user's own material.
        allow_missing_points: A slide that the shared points file does not list has no candidates, and is no error.
        options: Fields of ``config.ScreenOptions``.
    """

    source: Path
    out: Path
    points: Path | None = None
    regions: Path | None = None
    compute: Compute = field(default_factory=Compute)
    error_rates: Path | None = None
    allow_missing_points: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> Places:
        """Of the results."""
        return Places(self.out.absolute())

    def plan(self) -> Plan:
        """The checked plan.

        Raises:
            ManifestError: Rows of the manifest, or slides of the folder, are unusable.
            ConfigError: An option holds a wrong value.
            OutputExistsError: OUT holds files of a cohort's names that wsiamf did not write.
        """
        options = parse_screen_options(self.options)
        items = self._items(options.points_format)
        _refuse_foreign(self.places)
        return Plan(
            manifest={"name": self.source.name, "sha256": self._source_sha256(items)},
            model=_absolute_folder(self.compute.model),
            error_rates=str(self.error_rates.absolute()) if self.error_rates else None,
            options=options.model_dump(mode="json"),
            compute={name: getattr(self.compute, name) for name in ("backend", "device", "batch_size", "precision")},
            items=tuple(items),
        )

    def _items(self, points_format: str | None) -> list[Item]:
        allowed = self.allow_missing_points
        if self.source.is_dir():
            if self.points is None:
                raise ConfigError(f"{self.source}: is a folder; name its points with --points.")
            return list_folder(
                self.source,
                self.points,
                regions=self.regions,
                points_format=points_format,
                allow_missing_points=allowed,
            )
        for option, given in (("points", self.points), ("regions", self.regions)):
            if given is not None:
                raise ConfigError(
                    f"--{option}: {self.source.name} is a manifest, which names each slide's {option}; leave it out."
                )
        return read_manifest(self.source, points_format=points_format, allow_missing_points=allowed)

    def _source_sha256(self, items: Sequence[Item]) -> str:
        """Of the manifest; for a folder, of the names of its slides."""
        if self.source.is_file():
            return sha256_file(self.source)
        return sha256_bytes("\n".join(item.slide.name for item in items).encode())


def _refuse_foreign(places: Places) -> None:
    if places.plan.exists():  # the folder of state alone says nothing: a run that wrote nothing may have made it
        return
    foreign = [name for name in RESULT_NAMES if (places.out / name).exists()]
    if foreign:
        raise OutputExistsError(
            f"{places.out}: holds {', '.join(foreign)}, but no cohort of wsiamf; move it away, or choose another --out."
        )


def _absolute_folder(model: str | None) -> str | None:
    """A bundle's folder is named wholly, since workers may run elsewhere; a shipped name stays."""
    return str(Path(model).absolute()) if model is not None and Path(model).is_dir() else model
