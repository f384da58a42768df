"""``wsiamf models``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsiamf.cli import options

if TYPE_CHECKING:
    from wsiamf.spec import ModelSpec


@click.group()
def models() -> None:
    """List models, show one's card, combine several into one, or compile one to int8."""


@models.command("list")
def list_models() -> None:
    """List the shipped models: name, version, backbone, experts, resolution, cost."""
    from wsiamf.bundle import open_bundle, shipped_models

    for name in shipped_models():
        bundle = open_bundle(name)
        spec = bundle.spec
        backbones = "+".join(network.backbone for network in spec.networks)
        experts = f"{len(spec.experts)} experts"
        click.echo(f"{name}\t{bundle.title}\t{backbones}\t{experts}\t{spec.mpp:g} um/px\t{_cost(spec)}")


@models.command()
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the spec as JSON instead of the card.")
def show(model: str | None, as_json: bool) -> None:
    """Show the card of MODEL, a shipped name or a bundle's folder; left out: the default."""
    from wsiamf.bundle import open_bundle

    bundle = open_bundle(model)
    bundle.checked_weights()  # an altered bundle is not shown as if it were sound
    if as_json:
        click.echo(bundle.spec.model_dump_json(indent=2, by_alias=True))
    else:
        click.echo(f"{bundle.read_card()}\n{_cost(bundle.spec)} a crop\nBundle sha256 {bundle.sha256}")


@models.command()
@click.argument("sources", metavar="MODEL MODEL...", nargs=-1, required=True)
@click.option("--out", type=options.FILE, required=True, help="Folder of the new bundle.")
@click.option("--name", required=True, help="Name of the new model.")
@click.option("--version", default="1", show_default=True, help="Version of the new model.")
@options.overwrite_opt
def combine(sources: tuple[str, ...], out: Path, name: str, version: str, overwrite: bool) -> None:
    """Combine models with the same experts, definition, crop size and resolution into one that averages them.

    Its calibration is only the mean of theirs: run `wsiamf calibrate` on it before its counts are relied on.
    The folder of the new bundle is printed on stdout.
    """
    from wsiamf.bundle import open_bundle
    from wsiamf.ensemble import combine_bundles

    bundle = combine_bundles(
        [open_bundle(source) for source in sources], out, name=name, version=version, overwrite=overwrite
    )
    click.echo(str(bundle.folder))


@models.command("compile")
@click.argument("model")
@options.data_opt
@click.option(
    "--config",
    default="default",
    show_default=True,
    help="The recipe that MODEL was trained with, which names its sets.",
)
@click.option("--out", type=options.FILE, help="Folder of a copy that gets the form; left out: MODEL's own folder.")
@options.overwrite_opt
def compile_model(model: str, data: Path | None, config: str, out: Path | None, overwrite: bool) -> None:
    """Make the int8 form of MODEL, for `--precision int8`: a little less exact, and twice as fast on CPUs with VNNI.

    300 of the crops that MODEL was trained on set its ranges. The folder of the bundle is printed on stdout.
    """
    from wsiamf.bundle import FORMS, check_own_bundle, check_own_form, is_shipped, open_bundle
    from wsiamf.errors import ConfigError
    from wsiamf.files import check_replaceable

    bundle = open_bundle(model)
    if is_shipped(bundle) and out is None:
        raise ConfigError(f"models compile {model}: is shipped with wsiamf; name a folder for a copy with --out.")
    try:
        from wsiamf.training.compiling import calibration_crops, compile_bundle
    except ModuleNotFoundError as error:
        raise ConfigError(f"models compile: {error.name} is missing; install wsiamf[compile].") from error
    target, may_replace = (out, check_own_bundle) if out is not None else (bundle.folder / FORMS, check_own_form)
    check_replaceable(target, overwrite=overwrite, may_replace=may_replace)
    recipe, root = options.load_recipe(config, data)
    crops = calibration_crops(bundle, recipe.data.sets, root)
    click.echo(str(compile_bundle(bundle, crops, out, overwrite=overwrite).folder))


def _cost(spec: ModelSpec) -> str:
    from wsiamf.model import count_macs

    return f"{count_macs(spec) / 1e6:.0f} M multiply-adds"
