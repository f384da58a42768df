"""``wsiamf crossval``."""

from __future__ import annotations

from pathlib import Path

import click

from wsiamf.cli import options


@click.command()
@click.argument("config")
@options.data_opt
@click.option(
    "--out",
    type=options.FILE,
    help="Folder of the run; left out: runs/<name>-crossval. A run that stopped there goes on.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="SET",
    help="A set (its kind or name) that no fold trains on and every fold's network is measured on; may be repeated.",
)
@click.option("--fold", type=click.IntRange(min=1), multiple=True, help="Do only this fold now; may be repeated.")
@click.option("--folds", type=options.FILE, help="folds.csv of an earlier run, to use the same folds.")
@options.fit_opts
def crossval(
    config: str,
    data: Path | None,
    out: Path | None,
    without: tuple[str, ...],
    fold: tuple[int, ...],
    folds: Path | None,
    device: str,
    workers: int,
) -> None:
    """Cross-validate the recipe of CONFIG, a shipped name such as `default` or a YAML file.

    Keeps every out-of-fold prediction and writes tables, plots and a page of figures; the folder is printed on stdout.
    """
    from wsiamf.cli.progress import report_epoch
    from wsiamf.training.crossval import cross_validate, withhold, write_pages

    recipe, root = options.load_recipe(config, data)
    recipe = withhold(recipe, without)
    name = "-without-".join([f"{recipe.name}-crossval", *without])
    folder = out or Path("runs") / name
    cross_validate(
        recipe, root, folder, folds_file=folds, only=fold, device=device, workers=workers, report=report_epoch
    )
    write_pages(recipe, folder)
    click.echo(str(folder))
