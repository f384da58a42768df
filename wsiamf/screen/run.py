"""The steps of one screening, each of which fills what the next one needs."""

from __future__ import annotations

import logging
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wsiamf.candidates import Candidates, read_candidates
from wsiamf.candidates.own_rows import own_rows_sha256
from wsiamf.config import ScreenOptions
from wsiamf.crops import ReadingPlan, plan_reading
from wsiamf.export.contact_sheet import select_for_sheet, write_contact_sheet
from wsiamf.export.qupath import write_detections, write_review
from wsiamf.export.region_table import write_regions
from wsiamf.export.tables import write_hard_cases
from wsiamf.export.uuids import DETECTION, assign_uuids
from wsiamf.files import dump_json, sha256_file, write_text
from wsiamf.geometry import SlideFrame
from wsiamf.inference import PROVISIONAL, Classifier
from wsiamf.predictions import column_names, write_predictions
from wsiamf.regions import NamedRegion, Region, read_named_regions, read_regions
from wsiamf.report import REPORT, Pictures, SlideMaterial, render_slide, select_galleries
from wsiamf.screen.classify import Classified, OnProgress, check_unreadable, classify_candidates
from wsiamf.screen.key import run_key
from wsiamf.screen.pictures import crop_resolution, overview_picture, read_crops
from wsiamf.screen.points_fit import PointsFit
from wsiamf.screen.record import program_facts
from wsiamf.screen.tissue import TissueMeanwhile
from wsiamf.slides import Slide, slide_facts
from wsiamf.spec import ErrorRates, ModelSpec
from wsiamf.statuses import OK
from wsiamf.summary import (
    SummaryRules,
    agreement_fields,
    apply_conformal,
    apply_thresholds,
    named_region_fields,
    rank_for_review,
    summarize,
)

logger = logging.getLogger(__name__)

_BACKGROUND_SHARE: Final = 0.5  # more of the candidates than this off the tissue is a mistake somewhere
_UM_DECIMALS: Final = 4


@dataclass
class _Warnings:
    """Things to tell the user: logged as they come, and kept for the record."""

    texts: list[str]

    def add(self, text: str | None) -> None:
        if text:
            logger.warning("%s", text)
            self.texts.append(text)


class Run:
    """One screening, step by step; each step fills what the next one needs."""

    candidates: Candidates
    region: Region
    plan: ReadingPlan
    classifier: Classifier
    table: pd.DataFrame
    summary: dict[str, Any]

    def __init__(
        self,
        slide: Slide,
        points: Path,
        roi: Path | None,
        fields: Path | None,
        options: ScreenOptions,
        own_rates: ErrorRates | None,
    ) -> None:
        self._slide = slide
        self._points = points
        self._roi = roi
        self._fields = fields
        self._options = options
        self._own_rates = own_rates
        self._frame: SlideFrame = slide.frame
        self.warnings = _Warnings([])
        self.warnings.add(slide.mpp_warning)

    def read_inputs(self, tissue: TissueMeanwhile) -> None:
        """Regions and candidates: what can be wrong without reading a pixel, unless most points lie off the slide."""
        options = self._options
        roi = self._read_roi()
        self._named_regions = self._read_named_regions()
        self._fit = PointsFit(self._points.name, self._slide, tissue.map, force=options.force)
        self.candidates = read_candidates(
            self._points,
            self._slide,
            points_frame=options.points_frame,
            points_format=options.points_format,
            min_score=options.min_score,
            merge_um=options.merge_um,
            include_non_mitotic=options.include_non_mitotic,
            skip_bad_points=options.skip_bad_points,
            within=roi.geometry if roi else None,
            points_unit=options.points_unit,
            points_scale=options.points_scale,
            points_swap_xy=options.points_swap_xy,
            points_flip_y=options.points_flip_y,
            on_points=self._fit.take,
            raters=options.raters,
        )
        for note in self.candidates.notes:
            self.warnings.add(f"{self._points.name}: {note}")
        self._own_rows_sha256 = own_rows_sha256(self._points, self._slide.name, options.points_format)
        self._given_region = roi

    def check_points(self) -> None:
        """Whether the points fit the slide, before anything is classified."""
        self.warnings.add(self._fit.warning())

    def classify(self, classifier: Classifier, on_progress: OnProgress) -> None:
        """Pixels to probabilities."""
        spec = classifier.spec
        self.classifier = classifier
        self._warn_training_slide(spec)
        if spec.provisional:  # the classifier has said so when it was loaded
            self.warnings.texts.append(f"{classifier.bundle.title}: {PROVISIONAL}")
        self.plan = plan_reading(
            self._frame.mpp, self._slide.level_downsamples, target_mpp=spec.mpp, tolerance=spec.mpp_tolerance
        )
        guessed = ["mpp_from_objective_power"] if self._slide.mpp_warning else []
        self._flags = guessed + self._resolution_flags(spec) + self._fit.flags
        self._classified = classify_candidates(self._slide, self.candidates.table, classifier, self.plan, on_progress)

    def sum_up(self, tissue: TissueMeanwhile) -> None:
        """Probabilities to labels, ranks and the summary."""
        self._report_pixels(self._classified)
        self._overview = tissue.map.result().overview
        self._report_overview(self._overview.unreadable)
        outlined = tissue.region.result()
        self.region = self._given_region or outlined
        if self._given_region is None:
            for note in outlined.notes:
                self.warnings.add(f"{self._slide.name}: {note}")
        flags = self._flags + self._background_flags(self._classified.table, outlined)
        spec = self.classifier.spec
        rules = self._rules(spec)
        table = apply_thresholds(
            self._with_places(self._classified.table), threshold=rules.threshold, hard_threshold=rules.hard_threshold
        )
        self.summary, table = summarize(
            table, self._frame, self.region, rules, slide_facts=slide_facts(self._slide), flags=flags
        )
        by_person = self.candidates.table["by_person"].to_numpy(dtype=bool)
        self.summary |= agreement_fields(table, by_person, self.candidates.votes)
        self.summary |= named_region_fields(table, self._frame, self.region, self._named_regions)
        table = apply_conformal(table, spec.conformal, error_rate=self._options.conformal_error)
        ranked = rank_for_review(table, threshold=rules.threshold)
        self.table = ranked[column_names(len(spec.experts))]
        self._let_go_of_rows()

    def _let_go_of_rows(self) -> None:
        """Keep the rows once, in ``table``, while the files are written: there may be a million."""
        del self._classified
        self.candidates = replace(self.candidates, table=self.candidates.table.iloc[:0].copy(), votes={})

    def write(self, folder: Path) -> None:
        """Every file but the run record."""
        spec, title = self.classifier.spec, self.classifier.bundle.title
        # by itself, since a row group takes more memory than what is written after it
        write_predictions(self.table, folder, n_experts=len(spec.experts))
        with ThreadPoolExecutor(2, thread_name_prefix="wsiamf-write") as beside:
            shown = beside.submit(self._write_pictures, folder, spec, beside)
            self._write_tables(folder, spec, title)
            sheet = shown.result()
        sheet.result()
        write_text(folder / "summary.json", dump_json(self.summary))

    def _write_tables(self, folder: Path, spec: ModelSpec, title: str) -> None:
        geojson = "geojson.gz" if self._options.gzip_geojson else "geojson"
        write_detections(
            folder / f"detections.{geojson}", self.table, frame=self._frame, model=title, experts=spec.experts
        )
        write_review(
            folder / f"review.{geojson}",
            self.table,
            self.summary["hotspots"],
            frame=self._frame,
            fingerprint=self._slide.fingerprint,
            model=title,
            experts=spec.experts,
        )
        write_hard_cases(folder / "hard_cases.csv", self.table)
        if self.summary["regions"] is not None:
            write_regions(folder / "regions.csv", self.summary["regions"])

    def facts(self) -> dict[str, Any]:
        """What ``run.json`` says of this run, apart from versions, times and host."""
        backend = self.classifier.backend
        return {
            "key": self._key(),
            "options": self._options.model_dump(mode="json"),
            "slide": {"name": self._slide.name, "fingerprint": self._slide.fingerprint, "mpp": self._frame.mpp}
            | {"mpp_source": self._slide.mpp_source, "backend": self._slide.backend},
            "reading": {"level": self.plan.level, "resampled": self.plan.resampled, "upsampled": self.plan.upsampled},
            "points": {"name": self._points.name, "sha256": self.candidates.sha256, "format": self.candidates.format}
            | {"rows_sha256": self._own_rows_sha256, "frame": self.candidates.points_frame},
            "regions": {"name": self._roi.name, "sha256": self._roi_sha256} if self._roi else None,
            "named_regions": {"name": self._fields.name, "sha256": self._fields_sha256} if self._fields else None,
            "model": {"title": self.classifier.bundle.title, "sha256": self.classifier.bundle.sha256},
            "error_rates": self._own_rates.model_dump(mode="json") if self._own_rates else None,
            "backend": backend.name,
            "precision": backend.precision,
            "device_class": backend.device_class,
            "batch_size": backend.batch_size,
            "warnings": list(self.warnings.texts),
        }

    def _key(self) -> dict[str, Any]:
        backend = self.classifier.backend
        return run_key(
            fingerprint=self._slide.fingerprint,
            points_rows_sha256=self._own_rows_sha256,
            regions_sha256=self._roi_sha256 if self._roi else None,
            named_regions_sha256=self._fields_sha256 if self._fields else None,
            model_sha256=self.classifier.bundle.sha256,
            options=self._options,
            error_rates=self._own_rates,
            backend=backend.name,
            precision=backend.precision,
            device_class=backend.device_class,
        )

    def host_paths(self, folder: Path) -> dict[str, str | None]:
        """Absolute paths of inputs and output; of a slide at an address, the address without credentials."""
        return {
            "slide": str(self._slide.path.absolute()),
            "points": str(self._points.absolute()),
            "regions": str(self._roi.absolute()) if self._roi else None,
            "named_regions": str(self._fields.absolute()) if self._fields else None,
            "model": str(self.classifier.bundle.folder.absolute()),
            "out": str(folder.absolute()),
        }

    def _read_roi(self) -> Region | None:
        if self._roi is None:
            return None
        self._roi_sha256 = sha256_file(self._roi) if self._roi.is_file() else ""
        region = read_regions(
            self._roi, self._frame, include=self._options.include_classes, exclude=self._options.exclude_classes
        )
        for note in region.notes:
            self.warnings.add(f"{self._roi.name}: {note}")
        return region

    def _read_named_regions(self) -> list[NamedRegion] | None:
        if self._fields is None:
            return None
        self._fields_sha256 = sha256_file(self._fields) if self._fields.is_file() else ""
        found = read_named_regions(self._fields, self._frame)
        for note in (note for one in found for note in one.region.notes):
            self.warnings.add(f"{self._fields.name}: {note}")
        return found

    def _report_overview(self, unreadable: int) -> None:
        if unreadable:
            self.warnings.add(
                f"{self._slide.name}: {unreadable} blocks of the overview are unreadable; taken for glass."
            )

    def _warn_training_slide(self, spec: ModelSpec) -> None:
        if named := spec.trained_on.slides_named(self._slide.name):
            self.warnings.add(
                f"{self._slide.name}: the model was trained on a slide of this name ({named[0]}); "
                "if it is the same slide, its figures are too good."
            )

    def _resolution_flags(self, spec: ModelSpec) -> list[str]:
        if not self.plan.resampled:
            return []
        if not self.plan.upsampled:
            return ["resampled"]
        self.warnings.add(
            f"{self._slide.name}: {self._frame.mpp:.4g} um/px is coarser than the model's {spec.mpp:g}; the crops are "
            "upsampled and lack detail that the model was trained on."
        )
        return ["upsampled"]

    def _report_pixels(self, classified: Classified) -> None:
        self.warnings.add(check_unreadable(classified, self._options.max_unreadable, self._slide.name))
        if classified.n_trained_on:
            self.warnings.add(
                f"{self._slide.name}: the model was trained on {classified.n_trained_on} of these very crops; "
                "figures measured on them are too good."
            )

    def _background_flags(self, table: pd.DataFrame, tissue: Region) -> list[str]:
        counted = table[table["status"] == OK]
        n_off = int((~tissue.contains(counted["x"].to_numpy(), counted["y"].to_numpy())).sum())
        if n_off <= _BACKGROUND_SHARE * len(counted):
            return []
        self.warnings.add(
            f"{self._points.name}: {n_off} of {len(counted)} candidates lie on background; check that the points belong to "
            f"{self._slide.name} and are in level-0 pixels (--points-frame, or columns x_um, y_um)."
        )
        return ["most_points_on_background"]

    def _rules(self, spec: ModelSpec) -> SummaryRules:
        chosen = self._options.threshold
        name = _threshold_name(self._options)
        threshold = getattr(spec.thresholds, name) if isinstance(chosen, str) else chosen
        return SummaryRules(
            threshold=threshold,
            threshold_name=name,
            hard_threshold=spec.thresholds.hard,
            hotspot_mm2=self._options.hotspot_mm2,
            definition=spec.definition,
            error_rates=tuple(one for one in spec.error_rates if one.threshold == name),
            own_error_rates=self._own_rates,
            experts=spec.experts,
            expert_thresholds=spec.thresholds.experts,
            seed=self._options.seed,
        )

    def _with_places(self, table: pd.DataFrame) -> pd.DataFrame:
        """Add the other frames and the identity of every row."""
        frame = self._frame
        x, y = table["x"].to_numpy(), table["y"].to_numpy()
        x_um, y_um = frame.um_from_px(x).round(_UM_DECIMALS), frame.um_from_px(y).round(_UM_DECIMALS)
        x_qupath, y_qupath = frame.qupath_from_level0(x, y)
        uuids = assign_uuids(self._slide.fingerprint, DETECTION, x_um, y_um)
        return table.assign(uuid=uuids, x_um=x_um, y_um=y_um, x_qupath=x_qupath, y_qupath=y_qupath)

    def _write_pictures(self, folder: Path, spec: ModelSpec, beside: Executor) -> Future[None]:
        """The report, and beside it the contact sheet, which may not be done yet; their crops are read together."""
        seed = self._options.seed
        sections = select_for_sheet(self.table, seed)
        galleries = select_galleries(self.table, seed) if self._options.report else []
        wanted = {row for rows in sections.values() for row in rows} | {row for one in galleries for row in one.rows}
        crops = read_crops(self._slide, self.table, sorted(wanted), self.plan, spec.crop_px)
        crop_mpp = crop_resolution(spec, self.plan, self._frame.mpp)
        path = folder / "contact_sheet.png"
        sheet = beside.submit(write_contact_sheet, path, sections, crops, self.table, crop_mpp=crop_mpp)
        if self._options.report:
            pictures = Pictures(overview_picture(self._slide, self._overview), crops, crop_mpp)
            write_text(folder / REPORT, render_slide(self._material(pictures)))
        return sheet

    def _material(self, pictures: Pictures) -> SlideMaterial:
        bundle = self.classifier.bundle
        return SlideMaterial(
            summary=self.summary,
            table=self.table,
            record=program_facts() | self.facts(),
            area=self.region.geometry,
            fields=[(one.name, one.region.geometry) for one in self._named_regions or ()],
            spec=bundle.spec,
            card=bundle.read_card(),
            pictures=pictures,
        )


def _threshold_name(options: ScreenOptions) -> str:
    return options.threshold if isinstance(options.threshold, str) else "given"
