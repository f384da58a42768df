"""``wsiamf evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wsiamf.cli import options

if TYPE_CHECKING:
    from wsiamf.training.evaluate import Evaluation

_KINDS: Final = ("ami-br", "atnorm-md", "midog25", "manifest", "store")


@click.command()
@click.argument("data", type=options.FILE, required=False)
@click.option("--kind", type=click.Choice(_KINDS), help="Layout of DATA.")
@click.option("--crops", type=options.FILE, help="midog25, manifest: folder of the crops; left out: the CSV's own.")
@click.option("--name", help="midog25, manifest, store: the set's name.")
@click.option(
    "--predictions",
    type=options.FILE,
    help="In place of DATA: a table of labelled predictions, such as out_of_fold.csv.",
)
@click.option("--out", type=options.FILE, required=True, help="Folder of the results.")
@options.model_opts
@options.threshold_opt("balanced")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every bootstrap.")
@options.overwrite_opt
def evaluate(data: Path | None, kind: str | None, predictions: Path | None, **chosen: Any) -> None:
    """Measure a model on DATA, a labelled set of crops: tables, plots and a page of figures with intervals.

    Figures that the model has seen in training are named, and figures without them given beside. The main figures go to stderr,
    the folder to stdout.
    """
    import logging

    if (data is None) == (predictions is None):
        raise click.UsageError("give either DATA with its --kind, or --predictions.")
    if data is not None and kind is None:
        raise click.UsageError(f"--kind is needed with DATA: one of {', '.join(_KINDS)}.")
    unused = [name for name in ("model", "crops", "name") if chosen[name] is not None] + (["kind"] if kind else [])
    if predictions is not None and unused:
        raise click.UsageError(f"--{unused[0]} has no meaning with --predictions.")
    done = _of_model(data, kind, **chosen) if data is not None else _of_table(predictions, **chosen)
    if logging.getLogger("wsiamf").level < logging.ERROR:
        for sentence in done.sentences:
            click.echo(f"wsiamf: {sentence}", err=True)
    click.echo(str(done.folder))


def _of_model(data: Path, kind: str | None, *, crops: Path | None, name: str | None, **chosen: Any) -> Evaluation:
    from wsiamf.bundle import open_bundle
    from wsiamf.config import SetConfig
    from wsiamf.training.evaluate import evaluate_bundle
    from wsiamf.training.labels import read_labelled_set

    bundle = open_bundle(chosen.pop("model"))
    values = {"kind": kind, "path": str(data.absolute()), "name": name, "use": "test"}
    config = SetConfig.model_validate(values | {"crops": str(crops.absolute()) if crops else None})
    return evaluate_bundle(bundle, read_labelled_set(config, Path()), **chosen)


def _of_table(
    predictions: Path | None, *, threshold: str | float, seed: int, out: Path, overwrite: bool, **_: Any
) -> Evaluation:
    from wsiamf.training.evaluate import evaluate_table

    assert predictions is not None
    return evaluate_table(predictions, out, threshold=threshold, seed=seed, overwrite=overwrite)
