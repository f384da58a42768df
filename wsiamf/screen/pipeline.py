"""``screen_slide``: from a slide and its points to the folder of results."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from wsiamf.addresses import Url
from wsiamf.config import ScreenOptions, parse_screen_options
from wsiamf.errors import ConfigError
from wsiamf.files import RUN_RECORD, check_replaceable, dump_json, sha256_file, staged_folder, write_text
from wsiamf.inference import Classifier, load_model
from wsiamf.screen.classify import OnProgress
from wsiamf.screen.record import check_own_folder, run_record
from wsiamf.screen.run import Run
from wsiamf.screen.tissue import tissue_meanwhile
from wsiamf.slide_names import result_folder_name
from wsiamf.slides import open_slide
from wsiamf.spec import ErrorRates, load_error_rates

logger = logging.getLogger(__name__)

DEFAULT_OUT: Final = "wsiamf-out"


@dataclass(frozen=True)
class ScreenResult:
    """What a screening gave.

    Args:
        folder: Where its files are.
        summary: The content of ``summary.json``.
        table: The content of ``predictions.parquet``.
        warnings: What the user was told.
    """

    folder: Path
    summary: dict[str, Any]
    table: pd.DataFrame
    warnings: tuple[str, ...]


def screen_slide(
    slide: str | Path | Url,
    points: str | Path,
    *,
    out: str | Path = DEFAULT_OUT,
    roi: str | Path | None = None,
    regions: str | Path | None = None,
    model: str | Path | Classifier | None = None,
    backend: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "auto",
    slide_id: str | None = None,
    error_rates: str | Path | None = None,
    overwrite: bool = False,
    new_file: bool = False,
    on_progress: OnProgress = lambda _done, _total: None,
    **options: Any,
) -> ScreenResult:
    """Classify the candidates of one slide and write ``out/<slide>/``.

    Args:
        slide: A whole-slide image or region image, or its address (``s3://bucket/slide.svs``).
        points: The candidates, in any format of ``wsiamf.candidates``.
        out: Folder in which the slide's own folder is made.
        roi: QuPath GeoJSON of regions to count in; a tissue mask is made where left out.
        regions: QuPath GeoJSON of named fields, each counted on its own as well.
        model: A shipped name, a bundle's folder, a loaded model, or None for the default.
        backend, device, batch_size, precision: As ``load_model``; unused where ``model`` is loaded already.
        slide_id: Name of the slide's folder, in place of its file name without suffix.
        error_rates: JSON with error rates measured on the user's own material.
        overwrite: Replace an earlier result of this slide.
        new_file: With ``overwrite``, also replace the result of an earlier file of this very name.
        on_progress: Called with the number of candidates classified and the number in all.
        **options: Fields of ``config.ScreenOptions``.

    Raises:
        WsiamfError: The slide, points, regions or model are unusable, or the results cannot be written; nothing is left
            half-written.

    Example:
        >>> from wsiamf import screen_slide
        >>> result = screen_slide("sample_data/sample.tiff", "sample_data/points.csv", hotspot_mm2=0.1)
        >>> result.summary["n_amf"], result.summary["amf_fraction"]
    """
    started = datetime.now(UTC)
    chosen = parse_screen_options(options)
    rates = _read_error_rates(Path(error_rates), chosen) if error_rates is not None else None
    with open_slide(slide, mpp=chosen.mpp) as opened:
        folder = Path(out) / result_folder_name(opened.path, slide_id)
        fingerprint = opened.fingerprint
        name = opened.name if new_file else None

        def may_replace(old: Path) -> None:
            check_own_folder(old, fingerprint, or_name=name)

        check_replaceable(folder, overwrite=overwrite, may_replace=may_replace)
        fields = Path(regions) if regions else None
        run = Run(opened, Path(points), Path(roi) if roi else None, fields, chosen, rates)
        with tissue_meanwhile(opened, opened.frame) as tissue:
            run.read_inputs(tissue)
            classifier = model
            if not isinstance(classifier, Classifier):
                classifier = load_model(
                    classifier, backend=backend, device=device, batch_size=batch_size, precision=precision
                )
            run.check_points()  # the overview was read while the model was loaded
            run.classify(classifier, on_progress)
        run.sum_up(tissue)
        with staged_folder(folder, overwrite=overwrite, may_replace=may_replace) as staged:
            run.write(staged)
            facts = {**run.facts(), **_outputs(staged)}
            record = run_record(facts, started=started, host_paths=run.host_paths(folder))
            write_text(staged / RUN_RECORD, dump_json(record))
    return ScreenResult(folder, run.summary, run.table, tuple(run.warnings.texts))


def _outputs(folder: Path) -> dict[str, Any]:
    """Names and hashes of the files written so far, for ``wsiamf verify``."""
    files = sorted(folder.iterdir())
    return {
        "outputs": [path.name for path in files],
        "output_sha256": {path.name: sha256_file(path) for path in files},
    }


def _read_error_rates(path: Path, options: ScreenOptions) -> ErrorRates:
    rates = load_error_rates(path)
    if rates.threshold != options.threshold:
        raise ConfigError(
            f"--error-rates {path.name}: measured at the threshold {rates.threshold!r}, but {options.threshold!r} is in use; "
            f"pass --threshold {rates.threshold}."
        )
    return rates
