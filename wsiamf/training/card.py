"""The model card and the licences of what a model descends from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd

from wsiamf.config import FrozenBackboneConfig, NetworkConfig, SetConfig, TrainConfig
from wsiamf.spec import ModelSpec
from wsiamf.training.conformal import Coverage, coverage_lines
from wsiamf.training.figures.metrics import Metrics
from wsiamf.training.pretrained import weights_source

ThresholdName = Literal["balanced", "count"]
CONFORMAL_ERROR: Final = 0.1
"""The error rate at which the card states how the "cannot tell" sets fared."""
_RELIABILITY_EDGES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Measurement:
    """Figures of one model on one data set at one of its thresholds.

    Args:
        model: Which networks were measured: the shipped one, or those of a cross-validation and what they were trained on.
        domain: Name of the data set.
        threshold_name: ``balanced`` or ``count``.
        metrics: The figures.
        hardness_auc: AUC of ``p_hard`` against the raters' disagreement; None where it cannot be told.
    """

    model: str
    domain: str
    threshold_name: ThresholdName
    metrics: Metrics
    hardness_auc: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model,
            "domain": self.domain,
            "threshold_name": self.threshold_name,
            **self.metrics.to_json(),
            "hardness_auc": None if self.hardness_auc is None else round(self.hardness_auc, 4),
        }


_LICENSE_HEAD: Final = """\
What these weights descend from, and under which terms it was published. This is a list of facts, not legal advice.

"""

_SET_LICENSES: Final = {
    "ami-br": """\
AMi-Br (crops, votes): MIT licence, AMi-Br_Benchmark repository (Bertram et al., BVM 2025).
  Its images come from the MIDOG 2021 and TUPAC16 challenges. MIDOG.json names BY-NC-ND for the MIDOG 2021 images,
  MIDOG++.json (which holds the same images) names CC0, the AMi-Br repository MIT. Which of them governs weights trained on
  the crops is unclear.
""",
    "atnorm-md": """\
AtNorM-MD (crops, votes): MIT licence (Banerjee et al., arXiv 2506.21444). Its images are a part of MIDOG++ (CC0).
""",
}

_OTHER_LICENSE: Final = """\
{name} (crops, votes): terms unknown to wsiamf; ask whoever gave you the set.
"""

_WEIGHTS_LICENSE: Final = """\
Weights of the backbone to start from: {source}. The terms of the ImageNet images themselves restrict those to research; whether
  that reaches weights is unclear.
"""

_LICENSE_END: Final = """\
The weights here: Apache-2.0 as far as the above allows. Research use only.
"""

_TEMPLATE: Final = """\
# {name} {version}

Classifies a mitotic figure as atypical (AMF) or normal (NMF) and says how likely experts are to disagree on it.
**Research use only.** Not a medical device; not validated for diagnosis.

| | |
| --- | --- |
| network | {backbone} -> {hidden} -> {n_experts} expert heads{heads} |
| input | {crop_px} px crop at {mpp} um/px (within {tolerance:.0%} read as it is) |
| view | central {view_px} px shown at {input_px} px{views} |
| definition of atypical | `{definition}`: aberrant chromosome arrangement; ring shapes are normal |
| seen | {n_crops} crops of {sets} in training{validation}; {n_slides} slides with a known name; seed {seed} |
| raters (one head each) | {raters} |
| calibration | p = sigmoid({a:.4f} z {b:+.4f}), z = logit of the mean of the expert heads |
| calibration of difficulty | p_hard = sigmoid({hard_a:.4f} h {hard_b:+.4f}), h = logit of the hardness head |
| thresholds | balanced {balanced}, count {count} on p_atypical; hard {hard} on p_hard |
| weights | sha256 {weights} (float16{measured}) |

## Data

{data}

{protocol}

## Figures

{rows}
{reading}
Intervals: 95 % bootstrap over cases or slides (over crops where a set names neither, which makes them too narrow). `balanced`
is the AMF share of the figures that calibration was fitted on, where the balanced accuracy of a calibrated probability is
highest; `predict` uses it, and it over-counts a rare class. `count` makes false positives equal false
negatives at the prevalence it was fitted at and is used by `screen`. `hard` is chosen like `count`: as many figures are called
hard as experts split on. {hardness}

## Calibration

On the {n_calibrating} figures ({prevalence:.0%} AMF) that calibration and thresholds were fitted on, each judged by a network
that had not seen it:

{reliability}
{conformal}{note}
## Limits

- Trained on {tissues}, H&E, at about 0.25 um/px. Other
  tissues, stains, scanners and slides at 20x were not measured.
- It takes every crop to be a mitotic figure. Mimics and apoptotic bodies get a probability too: it is not a detector.
- Calibrated at an AMF share of {prevalence:.0%}; elsewhere the mean probability is off.
{no_slides}- Where experts disagree the majority is taken for the truth; one expert against the others reaches a balanced
  accuracy of 0.78 to 0.93.

See `LICENSES` for the terms of the data.
"""

_TISSUES: Final = {
    "ami-br": "human breast cancer (AMi-Br)",
    "atnorm-md": "a mixture of tumours and species (AtNorM-MD)",
    "midog25": "the seven tumours of MIDOG 2025 track 2",
}
_NO_SLIDES: Final = "- AtNorM-MD has no slide names, so that crops of one slide cannot be kept together.\n"
_HELD_OUT: Final = (
    "Epoch, calibration and thresholds come from the validation part alone; every figure below from figures that the network\n"
    "saw neither in training nor in validation."
)
_OUT_OF_FOLD: Final = (
    "Nothing was held out of the shipped weights. Every figure below is that of networks which were trained by the same\n"
    "recipe and did not see what they were measured on: one network a fold, no slide in two folds. Calibration and thresholds\n"
    "of a fold come from the other folds; those of the shipped weights from all folds together."
)
_OTHER_NETWORKS: Final = (
    "\nThe shipped weights are `{name}`. A row names the sets its networks were trained on; where several networks judged the\n"
    "same crops, the row is their mean, not their ensemble.\n"
)

_HEADER: Final = (
    "| model measured | data set | threshold | n (AMF) | slides | balanced accuracy | sensitivity | specificity | AUC "
    "| ECE | Brier | mean p / observed |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def license_text(config: TrainConfig) -> str:
    """The text of ``LICENSES``: what is known of the terms of the sets and starting weights of a configuration."""
    sets = "".join(
        _SET_LICENSES.get(one.kind, _OTHER_LICENSE.format(name=one.name or one.kind)) for one in _used(config)
    )
    sources = [weights_source(one.backbone, one.pretrained) for one in _backbones(config)]
    weights = "".join(_WEIGHTS_LICENSE.format(source=source) for source in sources if source is not None)
    return _LICENSE_HEAD + sets + weights + _LICENSE_END


def _backbones(config: TrainConfig) -> list[NetworkConfig | FrozenBackboneConfig]:
    second = config.network.second
    return [config.network, *([second] if second is not None else [])]


def render_card(
    config: TrainConfig,
    spec: ModelSpec,
    measurements: Sequence[Measurement],
    calibrating: pd.DataFrame,
    covered: Sequence[tuple[str, Sequence[Coverage]]] = (),
) -> str:
    """The text of ``CARD.md``.

    Args:
        config: What the model was trained with.
        spec: The finished spec.
        measurements: Every row of the table of figures.
        calibrating: The labelled predictions that calibration and thresholds were fitted on, calibrated.
        covered: How the "cannot tell" sets fared, by data set.
    """
    held_out = config.data.split.validation > 0
    return _TEMPLATE.format(
        name=spec.name,
        version=spec.version,
        backbone=_network_words(spec),
        hidden=spec.hidden,
        n_experts=len(spec.experts),
        heads=_other_heads(spec),
        crop_px=spec.crop_px,
        mpp=spec.mpp,
        tolerance=spec.mpp_tolerance,
        view_px=spec.view_px,
        input_px=spec.input_px,
        views=_views(spec),
        definition=spec.definition,
        n_crops=len(spec.trained_on.crops),
        sets=" and ".join(spec.trained_on.sets),
        n_slides=len(spec.trained_on.slides),
        seed=config.seed,
        raters=", ".join(f"`{rater}`" for rater in spec.experts),
        a=spec.calibration.a,
        b=spec.calibration.b,
        hard_a=spec.hardness_calibration.a,
        hard_b=spec.hardness_calibration.b,
        hard=spec.thresholds.hard,
        hardness=_hardness_sentence(measurements),
        note=f"\n{config.note.strip()}\n" if config.note else "",
        balanced=spec.thresholds.balanced,
        count=spec.thresholds.count,
        weights=spec.weights_sha256,
        validation=" and validation" if held_out else "",
        measured="; every figure below was measured on them" if held_out else "",
        data="\n".join(_data_lines(config)),
        protocol=_HELD_OUT if held_out else _OUT_OF_FOLD,
        reading="" if held_out else _OTHER_NETWORKS.format(name=spec.name),
        rows="\n".join([_HEADER, *map(_row, measurements)]),
        n_calibrating=len(calibrating),
        prevalence=calibrating["amf"].mean(),
        reliability="\n".join(_reliability_lines(calibrating)),
        conformal=_conformal_section(covered),
        tissues=" and ".join(_TISSUES.get(one.kind, one.name or one.path) for one in _used(config)),
        no_slides=_NO_SLIDES if any(one.kind == "atnorm-md" for one in config.data.sets) else "",
    )


def _used(config: TrainConfig) -> list[SetConfig]:
    return [one for one in config.data.sets if one.use != "test"]


def _views(spec: ModelSpec) -> str:
    if spec.views == 1:
        return ""
    return f", mean over {spec.views} quarter turns" + (" and flips" if spec.views == 8 else "")


def _reliability_lines(table: pd.DataFrame) -> Iterator[str]:
    yield "| p_atypical | figures | mean p | observed AMF |\n| --- | --- | --- | --- |"
    bins = pd.cut(table["p_atypical"], _RELIABILITY_EDGES, include_lowest=True)
    for interval, rows in table.groupby(bins, observed=True):
        p, observed = rows["p_atypical"].mean(), rows["amf"].mean()
        yield f"| {max(interval.left, 0):.1f} to {interval.right:.1f} | {len(rows)} | {p:.3f} | {observed:.3f} |"


def _network_words(spec: ModelSpec) -> str:
    """The backbones, and what they see beside the main view."""
    second = f" beside {spec.second.backbone} (frozen)" if spec.second is not None else ""
    inputs = "".join(f", and the central {one.view_px} px in {one.colour.upper()}" for one in spec.extra_inputs)
    return spec.backbone + (" (frozen)" if spec.frozen else "") + second + inputs


def _other_heads(spec: ModelSpec) -> str:
    hardness = ", 1 hard/easy head" if spec.hardness else ""
    return hardness + (f", {len(spec.phases)} phases (auxiliary, not reported)" if spec.phases else "")


def _hardness_sentence(measurements: Sequence[Measurement]) -> str:
    told = {(one.domain, one.model): one.hardness_auc for one in measurements if one.hardness_auc is not None}
    figures = " and ".join(f"{auc:.3f} on {domain} ({model})" for (domain, model), auc in told.items())
    return f"AUC of `p_hard` against the raters' disagreement: {figures}." if told else ""


def _conformal_section(covered: Sequence[tuple[str, Sequence[Coverage]]]) -> str:
    if not covered:
        return ""
    return "\n".join(["\n## When it cannot tell\n", *coverage_lines(CONFORMAL_ERROR, covered), ""])


def _data_lines(config: TrainConfig) -> Iterator[str]:
    split = config.data.split
    train = split.folds - split.validation - split.test
    parts = (
        f"split by case or slide, stratified on AMF/NMF x easy/hard (seed {split.seed}): {train}/{split.folds} training, "
        f"{split.validation}/{split.folds} validation, {split.test}/{split.folds} test"
    )
    words = {
        "split": parts if split.validation else "wholly in training",
        "train": "wholly in training",
        "test": "test",
    }
    for one in config.data.sets:
        yield f"- {one.name or one.kind}: {words[one.use]}."


def _row(one: Measurement) -> str:
    m = one.metrics
    low, high = m.balanced_accuracy_interval
    auc_low, auc_high = m.auc_interval
    cells = [
        one.model,
        one.domain,
        f"{one.threshold_name} {m.threshold:.3f}",
        f"{m.n} ({m.n_amf})",
        "unknown" if m.n_groups == m.n else str(m.n_groups),
        f"{m.balanced_accuracy:.3f} ({low:.3f} to {high:.3f})",
        f"{m.sensitivity:.3f}",
        f"{m.specificity:.3f}",
        f"{m.auc:.3f} ({auc_low:.3f} to {auc_high:.3f})",
        f"{m.ece:.3f}",
        f"{m.brier:.3f}",
        f"{m.mean_probability:.3f} / {m.amf_fraction:.3f}",
    ]
    return f"| {' | '.join(cells)} |"
