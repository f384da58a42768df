"""Every option that more than one command has, defined once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from wsiamf.addresses import Address, parse_address

if TYPE_CHECKING:
    from wsiamf.config import TrainConfig
    from wsiamf.inference import Classifier

Command = TypeVar("Command", bound=Callable[..., Any])

FILE: Final = click.Path(path_type=Path)


class SlideType(click.ParamType[Address]):
    """A path, or an address such as ``s3://bucket/slide.svs``."""

    name = "PATH|URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:  # noqa: ARG002
        """Tell the two apart."""
        return parse_address(value)


SLIDE: Final = SlideType()


class ThresholdType(click.ParamType[str | float]):
    """``balanced``, ``count`` or a number from 0 to 1."""

    name = "balanced|count|NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        """Check the text."""
        if value in ("balanced", "count"):
            return str(value)
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is none of balanced, count or a number.", param, ctx)
        if not 0.0 <= number <= 1.0:
            self.fail(f"{value} is not within 0 and 1.", param, ctx)
        return number


_LARGEST_BATCH: Final = 4096


class BatchSizeType(click.ParamType[int | None]):
    """``auto``, which is None, or a number of crops."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Check the text."""
        if value is None or value == "auto":
            return None
        if not str(value).isdecimal() or not 1 <= int(value) <= _LARGEST_BATCH:
            self.fail(f"{value!r} is neither auto nor a number of crops from 1 to {_LARGEST_BATCH}.", param, ctx)
        return int(value)


class NamesType(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "NAME,NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split the text."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        if not all(names) or len(set(names)) < len(names):
            self.fail(f"{value!r} has an empty name, or one twice.", param, ctx)
        return names


def threshold_opt(default: str) -> Callable[[Command], Command]:
    """``--threshold``; its default differs between commands."""
    return click.option(
        "--threshold",
        type=ThresholdType(),
        default=default,
        show_default=True,
        help="Cut-off on the calibrated p_atypical: the model's `balanced` or `count`, or a number.",
    )


def model_opts(command: Command) -> Command:
    """``--model``, ``--backend``, ``--device``, ``--batch-size``, ``--precision``."""
    for option in (
        click.option(
            "--precision",
            type=click.Choice(["auto", "f32", "bf16", "int8"]),
            default="auto",
            show_default=True,
            help="auto: f32. Faster, less exact: bf16 on CUDA; int8 on a CPU with VNNI, where the model holds that form.",
        ),
        click.option(
            "--batch-size",
            metavar="auto|N",
            type=BatchSizeType(),
            default="auto",
            show_default=True,
            help="Crops a forward pass; auto: the backend's own.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps."),
        click.option(
            "--backend",
            type=click.Choice(["auto", "torch", "openvino"]),
            default="auto",
            show_default=True,
            help="auto: openvino on the CPU, torch on CUDA and MPS.",
        ),
        click.option(
            "--model", metavar="NAME|FOLDER", help="A shipped model or a bundle's folder; left out: the default."
        ),
    ):
        command = option(command)
    return command


conformal_opt = click.option(
    "--conformal-error",
    type=click.FloatRange(0.01, 0.5),
    default=0.1,
    show_default=True,
    help="Share of either class that the column conformal may call the other; it changes no label and no count.",
)
PLACEMENT: Final = (
    click.option(
        "--points-frame",
        type=click.Choice(["auto", "level0", "qupath"]),
        default="auto",
        show_default=True,
        help="What the points' pixels count from: the file's corner, or QuPath's (slides with bounds).",
    ),
    click.option(
        "--points-unit",
        type=click.Choice(["auto", "px", "um", "mm"]),
        default="auto",
        show_default=True,
        help="What the points' numbers are in; auto: what their format or columns say.",
    ),
    click.option(
        "--points-scale",
        type=click.FloatRange(min=0, min_open=True),
        default=1.0,
        show_default=True,
        help="Factor on the points' x and y: 2 for points of a 20x picture on the 40x slide.",
    ),
    click.option("--points-swap-xy", is_flag=True, help="The file's x is the slide's y."),
    click.option("--points-flip-y", is_flag=True, help="The file's y counts upwards from the lower edge."),
)
"""How a file's numbers become level-0 px; arguments of ``candidates.placement_of``."""
points_format_opt = click.option(
    "--points-format", metavar="NAME", help="Format of the points; left out: found from the content."
)
raters_opt = click.option(
    "--raters",
    type=NamesType(),
    help="Persons in the points file whose AMF and NMF labels are votes; left out: the experts of formats that name them.",
)
slides_opt = click.option(
    "--slides",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Folder to look for slides in that are no longer where they were, by name and content; may be given again.",
)
adjudicator_opt = click.option(
    "--adjudicator", metavar="NAME", help="The reader who decides where the others have no majority."
)
overwrite_opt = click.option("--overwrite", is_flag=True, help="Replace an earlier result of wsiamf's own.")
mpp_opt = click.option(
    "--mpp",
    type=click.FloatRange(min=0, min_open=True),
    metavar="UM_PER_PX",
    help="Resolution of level 0 in um per pixel, in place of the slide's own.",
)
data_opt = click.option(
    "--data",
    type=FILE,
    envvar="WSIAMF_DATA",
    show_envvar=True,
    help="Folder that the sets' paths are relative to; left out: data.root of the configuration.",
)


def load_recipe(config: str, data: Path | None) -> tuple[TrainConfig, Path]:
    """The configuration of a shipped name or a path, and its data folder."""
    from wsiamf.config import find_config, load_train_config

    file = find_config(config)
    recipe = load_train_config(file)
    return recipe, data if data is not None else file.parent / recipe.data.root


def chosen_cut_off(classifier: Classifier, threshold: str | float) -> float:
    """The cut-off that ``--threshold`` means for a model; says on stderr which model and cut-off are used."""
    import logging

    cut_off = getattr(classifier.spec.thresholds, threshold) if isinstance(threshold, str) else threshold
    if logging.getLogger("wsiamf").level < logging.ERROR:
        name = f"{threshold} " if isinstance(threshold, str) else ""
        click.echo(f"wsiamf: {classifier.bundle.title}, threshold {name}{cut_off} on p_atypical", err=True)
    return float(cut_off)


def fit_opts(command: Command) -> Command:
    """``--device`` and ``--workers`` of the commands that train."""
    for option in (
        click.option(
            "--workers", type=click.IntRange(min=0), default=2, show_default=True, help="Processes that augment."
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps."),
    ):
        command = option(command)
    return command
