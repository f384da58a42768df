"""``wsiamf crops``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsiamf.cli import options

if TYPE_CHECKING:
    from wsiamf.crop_store import CropStore

SCHEMA = "wsiamf.crops-info/1"
_EXISTING = click.Path(exists=True, path_type=Path)


@click.group()
def crops() -> None:
    """Pack a labelled set into a crop store, or show one."""


@crops.command()
@click.argument("path", type=_EXISTING)
@click.option(
    "--kind",
    type=click.Choice(["ami-br", "atnorm-md", "midog25", "manifest"]),
    required=True,
    help="How the set is laid out: PATH is its folder (ami-br, atnorm-md) or its CSV.",
)
@click.option(
    "--crops",
    "crops_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="midog25 and manifest: the folder that the crops are relative to; left out: that of the CSV.",
)
@click.option("--name", help="What the set is called; left out: its own name, or the manifest's.")
@click.option("--out", type=options.FILE, required=True, metavar="STORE.zarr", help="The store to write.")
@options.overwrite_opt
def pack(path: Path, kind: Any, crops_folder: Path | None, name: str | None, out: Path, overwrite: bool) -> None:
    """Pack the labelled set at PATH: its crops, padding painted white, without loss, and its whole table.

    A configuration's set of `kind: store` reads it, and `wsiamf predict STORE.zarr` classifies its crops.
    """
    from wsiamf.config import SetConfig
    from wsiamf.crop_store import check_store_place, write_crop_store
    from wsiamf.errors import ConfigError
    from wsiamf.training.labels import read_labelled_set

    if crops_folder is not None and kind not in ("midog25", "manifest"):
        raise ConfigError(f"--crops: a set of kind {kind} holds its own crops; leave it out.")
    check_store_place(out, overwrite=overwrite)
    folder = str(crops_folder.absolute()) if crops_folder is not None else None
    config = SetConfig(kind=kind, path=str(path.absolute()), crops=folder, name=name, use="train")
    data = read_labelled_set(config, Path())
    write_crop_store(out, data.crops_NSS3, data.table, data.votes, data.phases_NR, overwrite=overwrite)
    click.echo(str(out))


@crops.command()
@click.argument("store", type=_EXISTING)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(store: Path, as_json: bool) -> None:
    """Show what STORE holds, after checking every byte of it."""
    from wsiamf.crop_store import open_crop_store
    from wsiamf.files import dump_json

    opened = open_crop_store(store)
    opened.read_crops()
    facts = _facts(opened)
    click.echo(
        dump_json({"schema": SCHEMA, **facts}).rstrip()
        if as_json
        else "\n".join(f"{key:<12} {_text(value)}" for key, value in facts.items())
    )


def _facts(store: CropStore) -> dict[str, Any]:
    table = store.table
    return {
        "set": store.name,
        "crops": len(store),
        "crop_px": store.crop_px,
        "amf": int((table["amf"] == 1).sum()),
        "hard": int((table["hard"] == 1).sum()),
        "raters": list(store.votes),
        "slides": int(table["slide"].nunique()),
        "cases": int(table["case"].nunique()),
        "domains": sorted(table["domain"].dropna().unique()),
        "bytes": sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file()),
        "sha256": store.sha256,
    }


def _text(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)
