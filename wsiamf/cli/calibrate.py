"""``wsiamf calibrate``."""

from __future__ import annotations

from pathlib import Path

import click

from wsiamf.cli import options


@click.command()
@click.option(
    "--labels",
    type=options.FILE,
    required=True,
    help="CSV with columns file, label (AMF, NMF) or vote_<rater>.., slide, case: 100 figures or more, drawn at random.",
)
@click.option("--out", type=options.FILE, required=True, help="Folder of the new model bundle.")
@click.option("--crops", type=options.FILE, help="Folder that the files are relative to; left out: the CSV's own.")
@click.option("--name", help="The new model's name; left out: the old one's and -recalibrated.")
@options.model_opts
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of folds and bootstraps.")
@options.overwrite_opt
def calibrate(
    labels: Path,
    out: Path,
    crops: Path | None,
    name: str | None,
    model: str | None,
    backend: str,
    device: str,
    batch_size: int | None,
    precision: str,
    seed: int,
    overwrite: bool,
) -> None:
    """Refit a model's calibration, thresholds and error rates on your own labelled figures; the weights stay as they are.

    Figures before and after, measured on slides or cases that the refit did not see, go to stderr and into the new card.
    The folder is printed on stdout; its error_rates.json is for `wsiamf screen --error-rates`.
    """
    import logging

    from wsiamf.bundle import open_bundle
    from wsiamf.config import SetConfig
    from wsiamf.training.labels import read_labelled_set
    from wsiamf.training.readers.label_table import LabelTable
    from wsiamf.training.recalibration.calibrate import calibrate_bundle
    from wsiamf.training.recalibration.representative import check_equal_chances, picked_as_hard

    cells = LabelTable.read(labels, ["file"])
    check_equal_chances(cells)
    parent = open_bundle(model)
    manifest = SetConfig(
        kind="manifest", path=str(labels.absolute()), crops=str(crops.absolute()) if crops else None, use="test"
    )
    found = calibrate_bundle(
        parent,
        read_labelled_set(manifest, Path()),
        out,
        marked_hard=picked_as_hard(cells),
        name=name,
        backend=backend,
        device=device,
        batch_size=batch_size,
        precision=precision,
        seed=seed,
        overwrite=overwrite,
    )
    if logging.getLogger("wsiamf").level < logging.ERROR:
        for change in found.changes:
            click.echo(
                f"wsiamf: {change.name}: {change.before} -> {change.after}, change {change.difference}", err=True
            )
        click.echo(f"wsiamf: {found.verdict}.", err=True)
    click.echo(str(out))
