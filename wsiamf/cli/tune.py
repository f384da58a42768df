"""``wsiamf tune``."""

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
    help="Folder of the search; left out: runs/<name>-tune. A search that stopped there goes on.",
)
@click.option(
    "--trials", type=click.IntRange(min=1), help="How many in all, those done before included; left out: tune.trials."
)
@options.fit_opts
def tune(config: str, data: Path | None, out: Path | None, trials: int | None, device: str, workers: int) -> None:
    """Search for better settings of CONFIG, a shipped name such as `default` or a YAML file; its `tune` section says which.

    Trials are scored on a part of the training data alone, and poor ones are stopped early. Writes study.sqlite, trials.csv and
    best.yaml, whose path is printed on stdout: `wsiamf train best.yaml` trains with it.
    """
    import logging

    from wsiamf.cli.progress import report_epoch
    from wsiamf.errors import TrainingError
    from wsiamf.training.tuning.tune import BEST, tune_recipe

    recipe, root = options.load_recipe(config, data)
    folder = out or Path("runs") / f"{recipe.name}-tune"
    found = tune_recipe(recipe, root, folder, trials=trials, device=device, workers=workers, report=report_epoch)
    if found.best is None:
        raise TrainingError(
            f"{folder}: none of {found.n_trials} trials was done to its end; ask for more with --trials."
        )
    if logging.getLogger("wsiamf").level < logging.ERROR:
        own = "" if found.own_value is None else f" (own values: {found.own_value:.4f})"
        click.echo(f"wsiamf: best {found.metric} of {found.n_trials} trials: {found.value:.4f}{own}", err=True)
    click.echo(str(folder / BEST))
