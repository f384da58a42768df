"""The model card and the licences of what a model descends from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from wsiamf.config import TrainConfig
from wsiamf.spec import ModelSpec
from wsiamf.training.metrics import Metrics
from wsiamf.training.pretrained import imagenet_source

ThresholdName = Literal["balanced", "count"]


@dataclass(frozen=True)
class Measurement:
    """Figures of one model on one data set at one of its thresholds.

    Args:
        model: Name of the model that was measured (the shipped one, or its companion).
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

_IMAGENET_LICENSE: Final = """\
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
| seen | {n_crops} crops of {sets} in training and validation; {n_slides} slides with a known name; seed {seed} |
| raters (one head each) | {raters} |
| calibration | p = sigmoid({a:.4f} z {b:+.4f}), z = logit of the mean of the expert heads |
| of difficulty | p_hard = sigmoid({hard_a:.4f} h {hard_b:+.4f}), h = logit of the hardness head |
| thresholds | balanced {balanced}, count {count} on p_atypical; hard {hard} on p_hard |
| weights | sha256 {weights} (float16; every figure below was measured on them) |

## Data and split

{split}

Epoch, calibration and thresholds come from the validation part alone; every figure below from figures that the measured model
saw neither in training nor in validation. Intervals: 95 % bootstrap over slides (over crops where a set has no slide names,
which makes them too narrow).

## Figures

{rows}

The shipped weights are `{name}`. Rows of another model name were measured on a companion: the same recipe, seed and slides,
trained without that data set, since the shipped weights have seen the whole of it. Its figures say what to expect on material
that the shipped model has not seen either.

`balanced` maximises balanced accuracy and is used by `predict`; it over-counts a rare class. `count` makes false positives
equal false negatives at the prevalence of the validation slides and is used by `screen`. `hard` is chosen like `count`: as many
validation figures are called hard as experts split on. {hardness}
{note}
## Limits

- Trained on {tissues}, H&E, at about 0.25 um/px. Other
  tissues, stains, scanners and slides at 20x were not measured.
- It takes every crop to be a mitotic figure. Mimics and apoptotic bodies get a probability too: it is not a detector.
- Calibrated at the AMF share of the validation slides ({prevalence_note}); elsewhere the mean probability is off.
{no_slides}- Where experts disagree the majority is taken for the truth; one expert against the others reaches a balanced
  accuracy of 0.78 to 0.93.

See `LICENSES` for the terms of the data.
"""

_TISSUES: Final = {
    "ami-br": "human breast cancer (AMi-Br)",
    "atnorm-md": "a mixture of tumours and species (AtNorM-MD)",
}
_NO_SLIDES: Final = "- AtNorM-MD has no slide names, so that crops of one slide cannot be kept together.\n"

_HEADER: Final = (
    "| model measured | data set | threshold | n (AMF) | slides | balanced accuracy | sensitivity | specificity | AUC "
    "| ECE | Brier | mean p / observed |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def license_text(config: TrainConfig) -> str:
    """The text of ``LICENSES``: what is known of the terms of the sets and starting weights of a configuration."""
    sets = "".join(_SET_LICENSES[one.kind] for one in config.data.sets if one.use != "test")
    start = config.network.pretrained == "imagenet"
    weights = _IMAGENET_LICENSE.format(source=imagenet_source(config.network.backbone)) if start else ""
    return _LICENSE_HEAD + sets + weights + _LICENSE_END


def render_card(config: TrainConfig, spec: ModelSpec, measurements: Sequence[Measurement]) -> str:
    """The text of ``CARD.md``."""
    shipped = next(one.metrics for one in measurements if one.model == spec.name)
    return _TEMPLATE.format(
        name=spec.name,
        version=spec.version,
        backbone=spec.backbone,
        hidden=spec.hidden,
        n_experts=len(spec.experts),
        heads=_other_heads(spec),
        crop_px=spec.crop_px,
        mpp=spec.mpp,
        tolerance=spec.mpp_tolerance,
        view_px=spec.view_px,
        input_px=spec.input_px,
        views=""
        if spec.views == 1
        else f", mean over {spec.views} quarter turns" + (" and flips" if spec.views == 8 else ""),
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
        split="\n".join(_split_lines(config)),
        rows="\n".join([_HEADER, *map(_row, measurements)]),
        tissues=" and ".join(_TISSUES[one.kind] for one in config.data.sets if one.use != "test"),
        no_slides=_NO_SLIDES if any(one.kind == "atnorm-md" for one in config.data.sets) else "",
        prevalence_note=f"{shipped.amf_fraction:.0%} of the test figures are AMF",
    )


def _other_heads(spec: ModelSpec) -> str:
    hardness = ", 1 hard/easy head" if spec.hardness else ""
    return hardness + (f", {len(spec.phases)} phases (auxiliary, not reported)" if spec.phases else "")


def _hardness_sentence(measurements: Sequence[Measurement]) -> str:
    told = {(one.domain, one.model): one.hardness_auc for one in measurements if one.hardness_auc is not None}
    figures = " and ".join(f"{auc:.3f} on {domain} (`{model}`)" for (domain, model), auc in told.items())
    return f"AUC of `p_hard` against the raters' disagreement: {figures}." if told else ""


def _split_lines(config: TrainConfig) -> list[str]:
    split = config.data.split
    train = split.folds - split.validation - split.test
    words = {
        "split": f"split by slide, stratified on AMF/NMF x easy/hard (seed {split.seed}): {train}/{split.folds} training, "
        f"{split.validation}/{split.folds} validation, {split.test}/{split.folds} test",
        "train": "wholly in training",
        "test": "wholly test",
    }
    return [f"- {one.kind}: {words[one.use]}." for one in config.data.sets]


def _row(one: Measurement) -> str:
    m = one.metrics
    low, high = m.balanced_accuracy_interval
    auc_low, auc_high = m.auc_interval
    cells = [
        f"`{one.model}`",
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
