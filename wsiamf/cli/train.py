"""``wsiamf train``."""

from __future__ import annotations

from pathlib import Path

import click

from wsiamf.cli import options


@click.command()
@click.argument("config")
@options.data_opt
@click.option(
    "--crossval",
    type=options.FILE,
    multiple=True,
    metavar="FOLDER",
    help="A cross-validation of the same recipe: the first calibrates the model, all of them stand in its card.",
)
@click.option(
    "--out", type=options.FILE, help="Folder of the run; left out: runs/<name>. A run that stopped there goes on."
)
@options.fit_opts
def train(
    config: str, data: Path | None, crossval: tuple[Path, ...], out: Path | None, device: str, workers: int
) -> None:
    """Train the model of CONFIG, calibrate and measure it; CONFIG is a shipped name such as `default`, or a YAML file.

    A recipe that keeps no validation part (such as `default`) takes its calibration and figures from --crossval.
    The folder of the model bundle is printed on stdout.
    """
    from wsiamf.cli.progress import report_epoch
    from wsiamf.training.train import train_model

    recipe, root = options.load_recipe(config, data)
    bundle = train_model(
        recipe,
        root,
        out or Path("runs") / recipe.name,
        crossvals=crossval,
        device=device,
        workers=workers,
        report=report_epoch,
    )
    click.echo(str(bundle.folder))
