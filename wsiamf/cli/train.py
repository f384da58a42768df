"""``wsiamf train``."""

from __future__ import annotations

from pathlib import Path

import click

from wsiamf.cli import options


@click.command()
@click.argument("config")
@click.option(
    "--data",
    type=options.FILE,
    envvar="WSIAMF_DATA",
    show_envvar=True,
    help="Folder that the sets' paths are relative to; left out: data.root of the configuration.",
)
@click.option(
    "--out", type=options.FILE, help="Folder of the run; left out: runs/<name>. A run that stopped there goes on."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--workers", type=click.IntRange(min=0), default=2, show_default=True, help="Processes that augment.")
def train(config: str, data: Path | None, out: Path | None, device: str, workers: int) -> None:
    """Train the model of CONFIG, calibrate and measure it; CONFIG is a shipped name such as `default`, or a YAML file.

    The folder of the model bundle is printed on stdout.
    """
    from wsiamf.config import find_config, load_train_config
    from wsiamf.training.train import train_model

    file = find_config(config)
    chosen = load_train_config(file)
    root = data if data is not None else file.parent / chosen.data.root
    bundle = train_model(
        chosen, root, out or Path("runs") / chosen.name, device=device, workers=workers, report=_report
    )
    click.echo(str(bundle.folder))


def _report(name: str, epochs: int, row: dict[str, float]) -> None:
    import logging

    if logging.getLogger("wsiamf").level >= logging.ERROR:
        return
    remaining = (epochs - row["epoch"]) * row["seconds"] / 60
    click.echo(
        f"wsiamf: {name}: epoch {row['epoch']:.0f}/{epochs}, loss {row['loss']:.4f}, validation balanced accuracy "
        f"{row['validation_balanced_accuracy']:.3f}, AUC {row['validation_auc']:.3f}, {remaining:.0f} min to go",
        err=True,
    )
