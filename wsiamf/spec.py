"""``ModelSpec``: everything about a model but its weights, as ``spec.json`` in the bundle holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wsiamf.errors import ConfigError, problem_line
from wsiamf.slide_names import slide_stem

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Channels = tuple[float, float, float]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibration(_Frozen):
    """``p = sigmoid(a * z + b)``.

    For ``p_atypical`` z is the logit of the mean of the expert heads' probabilities, for ``p_hard`` the hardness head's logit.
    """

    a: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 1.0
    b: Annotated[float, Field(allow_inf_nan=False)] = 0.0


class Thresholds(_Frozen):
    """Cut-offs on the calibrated ``p_atypical`` (``balanced``, ``count``) and on ``p_hard`` (``hard``); >= is positive."""

    balanced: Probability
    count: Probability
    hard: Probability = 0.5
    experts: tuple[Probability, ...] = ()
    """On each expert head's own, uncalibrated probability: as many called AMF as that rater called so; empty means 0.5."""


class ErrorRates(_Frozen):
    """How often a classifier was right in one domain, at one threshold, measured on figures it was not trained on."""

    domain: str
    """Where it was measured, for example ``AMi-Br (human breast)``."""
    threshold: Literal["balanced", "count"] | Probability
    """The threshold that was in use: the model's ``balanced`` or ``count``, or a number."""
    model: str | None = None
    """Which model was measured: the bundle's own, or a companion that was trained without this domain."""
    cut_off: Probability | None = None
    """The value of the threshold in the model that was measured."""
    n_amf: Annotated[int, Field(ge=0)]
    n_nmf: Annotated[int, Field(ge=0)]
    sensitivity: Probability
    """Share of the ``n_amf`` atypical figures called AMF."""
    specificity: Probability
    """Share of the ``n_nmf`` normal figures called NMF."""


class Conformal(_Frozen):
    """Cut-offs on the calibrated ``p_atypical`` of class-conditional conformal sets, for error rates of 1 %, 2 %, .. in order.

    Each cut-off is a quantile of figures of one class that the weights did not see.
    """

    n_amf: Annotated[int, Field(gt=0)]
    n_nmf: Annotated[int, Field(gt=0)]
    amf_from: Annotated[tuple[Probability, ...], Field(min_length=1)]
    """AMF is in a figure's set from this p on; 0 where so few AMF allow no smaller set."""
    nmf_up_to: Annotated[tuple[Probability, ...], Field(min_length=1)]
    """NMF is in a figure's set up to this p; 1 where so few NMF allow no smaller set."""

    @model_validator(mode="after")
    def _same_error_rates(self) -> Conformal:
        if len(self.amf_from) != len(self.nmf_up_to):
            raise ValueError("amf_from and nmf_up_to differ in length")
        return self


class TrainingData(_Frozen):
    """What the weights have seen, in training or to choose epoch, calibration and thresholds.

    A user is warned before a figure is measured on it.
    """

    sets: tuple[str, ...] = ()
    slides: tuple[str, ...] = ()
    """``<set>/<slide file name>`` of every training slide."""
    crops: tuple[str, ...] = ()
    """First 16 hex digits of the sha256 of each training crop's pixels (RGB, after border painting), sorted."""

    def slides_named(self, file_name: str) -> list[str]:
        """Training slides whose file carries this name, whatever its suffix (another set's slide may do so by chance)."""
        return [slide for slide in self.slides if slide_stem(slide) == slide_stem(file_name)]


BackboneArgs = dict[str, bool | int | float | str]
Backbone = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]


class InputSpec(_Frozen):
    """A view of the crop beside the main one, as three more input channels."""

    view_px: Annotated[int, Field(gt=0)]
    """Side of the central square, resized to the network's ``input_px``."""
    colour: Literal["rgb", "hed"] = "rgb"
    """``hed``: optical densities of haematoxylin, eosin and DAB in place of red, green and blue."""


class BackboneSpec(_Frozen):
    """A second backbone, which was not trained; it sees the main view, and its features stand beside the first's."""

    backbone: Backbone
    backbone_args: BackboneArgs = {}


class NetworkSpec(_Frozen):
    """One network: its architecture, what it is shown of a crop, and over which views of it its word is averaged.

    Of a crop the central ``view_px`` are shown, resized to ``input_px``, normalised by ``mean`` and ``std`` (of RGB in 0..1).
    """

    backbone: Backbone
    """timm's name of the architecture."""
    backbone_args: BackboneArgs = {}
    """Further arguments of ``timm.create_model``."""
    frozen: bool = False
    """Whether the backbone keeps the weights that it starts with."""
    second: BackboneSpec | None = None
    hidden: Annotated[int, Field(ge=0)] = 512
    """Width of the shared fully connected layer; 0: the heads sit on the backbone's features."""
    hardness: bool = True
    """Whether there is a hard/easy head."""
    hardness_classes: Literal[2, 4] = 2
    """2: easy, hard; 4: NMF easy, NMF hard, AMF easy, AMF hard."""
    phases: tuple[str, ...] = ()
    """Classes of the auxiliary phase head; empty where there is none."""
    view_px: Annotated[int, Field(gt=0)] = 128
    input_px: Annotated[int, Field(gt=0)] = 224
    extra_inputs: tuple[InputSpec, ...] = ()
    views: Literal[1, 2, 4, 8] = 1
    """Over how many of the eight quarter turns and flips of a crop the heads' probabilities are averaged."""
    mean: Channels
    std: Channels

    @property
    def in_channels(self) -> int:
        """Channels of the network's input."""
        return 3 * (1 + len(self.extra_inputs))

    @property
    def reach_px(self) -> int:
        """Side of the central square of the crop that any of its inputs shows."""
        return max([self.view_px, *(one.view_px for one in self.extra_inputs)])

    @model_validator(mode="after")
    def _normalises(self) -> NetworkSpec:
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self


class ModelSpec(NetworkSpec):
    """All that inference needs to know of a model, and all that a user must know about it.

    The crop round a candidate is ``crop_px`` square at ``mpp`` um/px. A model of several networks has the first one's fields
    here and the others' in ``members``; the probabilities of each head are averaged over the networks before calibration.
    """

    schema_: Annotated[Literal["wsiamf.model/1"], Field(alias="schema")] = "wsiamf.model/1"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: str
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    members: tuple[NetworkSpec, ...] = ()
    """The networks beside the first; their heads are the first one's."""
    experts: Annotated[tuple[str, ...], Field(min_length=1)]
    """Rater ids such as ``ami-br/1``: one binary head each, in the order of the output."""
    crop_px: Annotated[int, Field(gt=0)] = 128
    mpp: Annotated[float, Field(gt=0)] = 0.25
    mpp_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.10
    calibration: Calibration = Calibration()
    """Of ``p_atypical``."""
    hardness_calibration: Calibration = Calibration()
    """Of ``p_hard``; a = 0 where the head says nothing beyond the base rate."""
    thresholds: Thresholds
    provisional: bool = False
    """Whether calibration and thresholds were not fitted but are the mean of those of the models that were combined."""
    definition: str
    """Which convention says what is atypical, for example ``ami-br-2025`` (ring shapes are normal)."""
    error_rates: tuple[ErrorRates, ...] = ()
    conformal: Conformal | None = None
    """Of the column ``conformal``; None where it was not fitted."""
    trained_on: TrainingData = TrainingData()
    parent: str | None = None
    """sha256 of the bundle that this one was made from, if any."""
    parents: tuple[str, ...] = ()
    """sha256 of each bundle that was combined into this one."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def networks(self) -> tuple[NetworkSpec, ...]:
        """Every network, the first one included."""
        return (self, *self.members)

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        for network in self.networks:
            if network.reach_px > self.crop_px:
                raise ValueError(f"view_px {network.reach_px} is larger than crop_px {self.crop_px}")
            if (network.hardness, network.phases) != (self.hardness, self.phases):
                raise ValueError("a member has other heads than the first network")
        if len(set(self.experts)) != len(self.experts):
            raise ValueError("two experts have the same rater id")
        if self.thresholds.experts and len(self.thresholds.experts) != len(self.experts):
            raise ValueError(f"{len(self.thresholds.experts)} expert thresholds for {len(self.experts)} experts")
        return self


def network_of(spec: NetworkSpec) -> NetworkSpec:
    """What a spec says of its (first) network alone."""
    return NetworkSpec.model_validate({name: getattr(spec, name) for name in NetworkSpec.model_fields})


def load_error_rates(path: Path) -> ErrorRates:
    """Read error rates measured on the user's own material (JSON with the fields of ``ErrorRates``).

    Raises:
        ConfigError: The file is missing or malformed; names it and the field.
    """
    try:
        return ErrorRates.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"--error-rates {path}: cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise ConfigError(f"--error-rates {path.name}: {problem_line(error.errors())}.") from error
