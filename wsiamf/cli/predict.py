"""``wsiamf predict``."""

from __future__ import annotations

from pathlib import Path

import click

from wsiamf.cli import options


@click.command()
@click.argument("crops", type=options.FILE, nargs=-1, required=True)
@click.option("--out", type=options.FILE, help="CSV file to write; left out: stdout.")
@options.model_opts
@options.threshold_opt("balanced")
@options.conformal_opt
@options.overwrite_opt
def predict(
    crops: tuple[Path, ...],
    out: Path | None,
    model: str | None,
    backend: str,
    device: str,
    batch_size: int | None,
    precision: str,
    threshold: str | float,
    conformal_error: float,
    overwrite: bool,
) -> None:
    """Classify CROPS: images of 128x128 px at 0.25 um/px with the figure in the middle, folders of them, or crop stores.

    Writes one line a crop: file, p_atypical, p_hard, each expert head's probability, label, and conformal (AMF, NMF or cannot
    tell).
    """
    import sys

    from wsiamf.cli.progress import progress_bar
    from wsiamf.errors import OutputError
    from wsiamf.files import atomic_file, refuse_existing
    from wsiamf.inference import load_model
    from wsiamf.predict import arrow_table, find_crops, predict_crops, refuse_foreign_table
    from wsiamf.predictions import write_csv

    if out is not None:
        refuse_existing(out, overwrite=overwrite)
        refuse_foreign_table(out)
    found = find_crops(crops)
    classifier = load_model(model, backend=backend, device=device, batch_size=batch_size, precision=precision)
    cut_off = options.chosen_cut_off(classifier, threshold)
    with progress_bar("crops") as on_progress:
        predicted = predict_crops(
            found, classifier, threshold=cut_off, conformal_error=conformal_error, on_progress=on_progress
        )
    table = arrow_table(predicted)
    if out is None:
        if sys.stdout is None:
            raise OutputError("stdout is closed; name a file with --out.")
        write_csv([table], sys.stdout.buffer)
        return
    with atomic_file(out) as path:
        write_csv([table], path)
