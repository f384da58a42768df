"""A slide's page made after its screening, from its folder of results and, where they still are, its slide and other inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pandas as pd

from wsiamf.bundle import DEFAULT_MODEL, Bundle, open_bundle, shipped_models
from wsiamf.coordinates import Overview, read_overview
from wsiamf.crops import plan_reading
from wsiamf.errors import BundleError, ExportError, OutputExistsError, RegionError, SlideError
from wsiamf.export.results import SlideResult
from wsiamf.files import RUN_RECORD, dump_json, sha256_bytes, sha256_file, write_text
from wsiamf.geometry import SlideFrame
from wsiamf.regions import NamedRegion, Region, read_named_regions, read_regions, region_of_mask, tissue_mask
from wsiamf.report import REPORT, Pictures, Reference, SlideMaterial, is_own_page, render_slide, select_galleries
from wsiamf.screen.pictures import crop_resolution, overview_picture, read_crops
from wsiamf.slides import Slide, open_slide
from wsiamf.slides.finding import find_slide
from wsiamf.spec import ModelSpec


@dataclass
class _Found:
    """What was found again of what a slide's result was made from."""

    area: Region | None = None
    fields: list[NamedRegion] = field(default_factory=list)
    pictures: Pictures | None = None
    notes: list[str] = field(default_factory=list)


def write_slide_report(
    result: SlideResult, *, slides: Sequence[Path] = (), references: Sequence[Reference] = ()
) -> list[str]:
    """Make ``report.html`` of a slide's folder, in place of one that stands there, and enter it in the run record.

    With the inputs where they were, and no reference, it has the bytes of the page that the screening itself makes.

    Args:
        result: The folder's.
        slides: Folders in which the slide is looked for where it is no longer where it was.
        references: To draw.

    Returns:
        What is missing on the page, one line each.

    Raises:
        ExportError: The results lack what a page needs.
        OutputExistsError: A file of that name is not wsiamf's.
        OutputError: The folder cannot be written to.
    """
    target = result.folder / REPORT
    outputs = [str(name) for name in result.record.get("outputs", [])]
    if target.exists() and not is_own_page(target):
        raise OutputExistsError(f"{target}: was not written by wsiamf; move it away.")
    try:
        material = _material(result, slides, references)
        text = render_slide(material)
    except KeyError as error:
        raise ExportError(
            f"{result.folder}: its results lack {error}, which a page needs; screen the slide again."
        ) from error
    write_text(target, text)
    hashes = {**result.record.get("output_sha256", {}), REPORT: sha256_bytes(text.encode())}
    listed = {"outputs": sorted({*outputs, REPORT}), "output_sha256": {name: hashes[name] for name in sorted(hashes)}}
    write_text(result.folder / RUN_RECORD, dump_json({**result.record, **listed}))
    return list(material.notes)


def _material(result: SlideResult, slides: Sequence[Path], references: Sequence[Reference]) -> SlideMaterial:
    record, table = result.record, result.table()
    found = _Found()
    bundle = _bundle(record)
    if bundle is None:
        found.notes.append("the model's bundle was not found, so that nothing of its card is shown.")
    _take_drawn(result, found)
    rows = sorted({row for one in select_galleries(table, record["options"]["seed"]) for row in one.rows})
    try:
        path = find_slide(result.slide_name, result.fingerprint, result.slide_path, slides)
        with open_slide(path, mpp=record["options"]["mpp"]) as slide:
            overview = read_overview(slide, slide.frame.mpp, Event())
            found.area = found.area or _tissue(record, overview, slide.frame)
            crops, crop_mpp = _crops(slide, table, bundle, rows)
            found.pictures = Pictures(overview_picture(slide, overview), crops, crop_mpp)
    except SlideError:
        found.notes.append("the slide was not found or could not be read again, so that there are no pictures of it.")
    if found.area is None:
        found.notes.append("the outline of the area that counts was not found, so that the maps go without it.")
    return SlideMaterial(
        summary=result.summary,
        table=table,
        record=record,
        area=found.area.geometry if found.area else None,
        fields=[(one.name, one.region.geometry) for one in found.fields],
        spec=bundle.spec if bundle else None,
        card=bundle.read_card() if bundle else "",
        pictures=found.pictures,
        notes=found.notes,
        references=references,
    )


def _crops(
    slide: Slide, table: pd.DataFrame, bundle: Bundle | None, rows: Sequence[int]
) -> tuple[dict[int, Any], float]:
    """Crops as the model saw them; of a model that is not at hand, as the default model would."""
    spec: ModelSpec = (bundle or open_bundle()).spec
    mpp = slide.frame.mpp
    plan = plan_reading(mpp, slide.level_downsamples, target_mpp=spec.mpp, tolerance=spec.mpp_tolerance)
    return read_crops(slide, table, rows, plan, spec.crop_px), crop_resolution(spec, plan, mpp)


def _bundle(record: Mapping[str, Any]) -> Bundle | None:
    """The model, where it was or among those shipped; None where its hash is nowhere."""
    recorded = record["host"]["paths"].get("model")
    for place in [*([recorded] if recorded else []), DEFAULT_MODEL, *shipped_models()]:
        try:
            bundle = open_bundle(place)
        except BundleError:
            continue
        if bundle.sha256 == record["model"]["sha256"]:
            return bundle
    return None


def _take_drawn(result: SlideResult, found: _Found) -> None:
    """Regions and named fields that people drew, from their files where these are unchanged."""
    record, frame = result.record, result.frame
    options = record["options"]
    if path := _unchanged(record, "regions"):
        classes = {"include": options["include_classes"], "exclude": options["exclude_classes"]}
        with suppress(RegionError):
            found.area = read_regions(path, frame, **classes)
    if path := _unchanged(record, "named_regions"):
        with suppress(RegionError):
            found.fields = read_named_regions(path, frame)
    if record.get("named_regions") and not found.fields:
        found.notes.append("the file of named fields was not found, so that the maps go without them.")


def _unchanged(record: Mapping[str, Any], name: str) -> Path | None:
    """The file of regions that the result was made with, where it still is that."""
    recorded, stated = record["host"]["paths"].get(name), record.get(name)
    if not recorded or not stated:
        return None
    path = Path(recorded)
    return path if path.is_file() and sha256_file(path) == stated["sha256"] else None


def _tissue(record: Mapping[str, Any], overview: Overview, frame: SlideFrame) -> Region | None:
    """The tissue mask, found again; None where the result went by regions."""
    if record.get("regions"):
        return None
    coarse = overview.coarse
    return region_of_mask(tissue_mask(coarse.pixels, coarse.scale, frame), coarse.scale, frame)
