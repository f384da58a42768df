"""``wsiamf models``."""

from __future__ import annotations

import click


@click.group()
def models() -> None:
    """List models, or show one's card."""


@models.command("list")
def list_models() -> None:
    """List the shipped models: name, version, backbone, experts, hash."""
    from wsiamf.bundle import open_bundle, shipped_models

    for name in shipped_models():
        bundle = open_bundle(name)
        spec = bundle.spec
        click.echo(f"{name}\t{bundle.title}\t{spec.backbone}\t{len(spec.experts)} experts\t{spec.mpp:g} um/px")


@models.command()
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the spec as JSON instead of the card.")
def show(model: str | None, as_json: bool) -> None:
    """Show the card of MODEL, a shipped name or a bundle's folder; left out: the default."""
    from wsiamf.bundle import open_bundle

    bundle = open_bundle(model)
    bundle.load_network()  # an altered bundle is not shown as if it were sound
    if as_json:
        click.echo(bundle.spec.model_dump_json(indent=2, by_alias=True))
    else:
        click.echo(f"{bundle.read_card()}\nBundle sha256 {bundle.sha256}")
