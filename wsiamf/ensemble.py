"""One model of several networks: each head's probability is the mean of theirs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from wsiamf.bundle import Bundle, check_own_bundle, open_bundle, write_bundle
from wsiamf.errors import BundleError, ConfigError, problem_line
from wsiamf.files import sha256_bytes, staged_folder
from wsiamf.model import MitosisClassifier, count_macs
from wsiamf.spec import Calibration, ModelSpec, NetworkSpec, Thresholds, TrainingData, network_of
from wsiamf.weights import load_networks, store_weights

logger = logging.getLogger(__name__)

_EQUAL: Final = ("experts", "definition", "crop_px", "mpp", "hardness", "phases")
"""What models must have in common for the mean of their probabilities to mean anything."""

_CARD: Final = """\
# {name} {version}

The mean of {n} networks: of each head, the mean of their probabilities.
**Research use only.** Not a medical device; not validated for diagnosis.

**Calibration and thresholds are provisional.** They are the means of those of the models below, each of which was fitted for
one model alone. Nothing was measured on this combination, and its counts may be off until `wsiamf calibrate` has fitted it to
labelled figures that none of its networks has seen.

| made from | network | sha256 of the bundle |
| --- | --- | --- |
{rows}

{macs:.0f} million multiply-adds a crop. Figures of each model alone stand in its own card; `LICENSES` holds the terms of all.
"""


def combine_networks(
    specs: Sequence[NetworkSpec], networks: Sequence[MitosisClassifier]
) -> tuple[dict[str, Any], bytes]:
    """Put networks into one model.

    Args:
        specs: What each is; their heads are equal.
        networks: With their weights, in the order of ``specs``.

    Returns:
        The fields of ``ModelSpec`` that describe them, and the weights as ``Bundle`` reads them.
    """
    first = network_of(specs[0])
    fields = {name: getattr(first, name) for name in NetworkSpec.model_fields}
    return {**fields, "members": tuple(map(network_of, specs[1:]))}, store_weights(*networks)


def combine_bundles(
    bundles: Sequence[Bundle], out: Path, *, name: str, version: str = "1", overwrite: bool = False
) -> Bundle:
    """Write a bundle of all networks of several bundles; its calibration is provisional.

    Args:
        bundles: Two or more; a bundle of several networks adds each of them.
        out: Folder of the new bundle.
        name, version: Of the new bundle.
        overwrite: Whether a bundle in ``out`` may be replaced.

    Raises:
        BundleError: They differ in experts, definition, crop, resolution or heads, or a bundle is damaged.
        ConfigError: The name is no name.
        OutputExistsError: ``out`` exists and may not be replaced.
    """
    _check_equal(bundles)
    with staged_folder(out, overwrite=overwrite, may_replace=check_own_bundle) as folder:
        networks = [network for bundle in bundles for network in load_networks(bundle)]
        fields, weights = combine_networks([one for bundle in bundles for one in bundle.spec.networks], networks)
        spec = _combined_spec(bundles, fields, weights, name, version)
        write_bundle(folder, weights, spec, card=_card(bundles, spec), licenses=_licenses(bundles))
    logger.warning(
        "%s: calibration and thresholds are the mean of the models'; fit them with `wsiamf calibrate` before use", out
    )
    return open_bundle(out)


def _check_equal(bundles: Sequence[Bundle]) -> None:
    if len({bundle.sha256 for bundle in bundles}) < max(2, len(bundles)):
        raise BundleError("only two or more different models can be combined.")
    first = bundles[0]
    for other in bundles[1:]:
        for field in _EQUAL:
            theirs, ours = getattr(other.spec, field), getattr(first.spec, field)
            if theirs != ours:
                raise BundleError(
                    f"{other.folder}: cannot be combined with {first.folder}: {field} is {_words(theirs)} there and "
                    f"{_words(ours)} here."
                )


def _words(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _combined_spec(
    bundles: Sequence[Bundle], fields: dict[str, Any], weights: bytes, name: str, version: str
) -> ModelSpec:
    specs = [bundle.spec for bundle in bundles]
    try:
        return ModelSpec(
            name=name,
            version=version,
            weights_sha256=sha256_bytes(weights),
            experts=specs[0].experts,
            definition=specs[0].definition,
            crop_px=specs[0].crop_px,
            mpp=specs[0].mpp,
            mpp_tolerance=min(spec.mpp_tolerance for spec in specs),
            calibration=_mean_calibration([spec.calibration for spec in specs]),
            hardness_calibration=_mean_calibration([spec.hardness_calibration for spec in specs]),
            thresholds=_mean_thresholds([spec.thresholds for spec in specs]),
            provisional=True,
            trained_on=_union([spec.trained_on for spec in specs]),
            parents=tuple(bundle.sha256 for bundle in bundles),
            **fields,
        )
    except ValidationError as error:
        raise ConfigError(f"--name {name}: {problem_line(error.errors())}.") from error


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)


def _mean_calibration(all_of: Sequence[Calibration]) -> Calibration:
    return Calibration(a=_mean([one.a for one in all_of]), b=_mean([one.b for one in all_of]))


def _mean_thresholds(all_of: Sequence[Thresholds]) -> Thresholds:
    experts = [one.experts for one in all_of]
    return Thresholds(
        balanced=_mean([one.balanced for one in all_of]),
        count=_mean([one.count for one in all_of]),
        hard=_mean([one.hard for one in all_of]),
        experts=tuple(map(_mean, zip(*experts, strict=True))) if all(experts) else (),
    )


def _union(all_of: Sequence[TrainingData]) -> TrainingData:
    return TrainingData(
        sets=tuple(dict.fromkeys(name for one in all_of for name in one.sets)),
        slides=tuple(sorted({slide for one in all_of for slide in one.slides})),
        crops=tuple(sorted({crop for one in all_of for crop in one.crops})),
    )


def _card(bundles: Sequence[Bundle], spec: ModelSpec) -> str:
    rows = [
        f"| {bundle.spec.name} {bundle.spec.version} | {network.backbone}, central {network.view_px} px at "
        f"{network.input_px} px, {network.views} view(s) | {bundle.sha256} |"
        for bundle in bundles
        for network in bundle.spec.networks
    ]
    macs = count_macs(spec) / 1e6
    return _CARD.format(name=spec.name, version=spec.version, n=len(rows), rows="\n".join(rows), macs=macs)


def _licenses(bundles: Sequence[Bundle]) -> str:
    """The members' texts, each once."""
    texts = {bundle.read_licenses(): bundle.spec for bundle in bundles}
    return "\n".join(f"From {spec.name} {spec.version}:\n\n{text}" for text, spec in texts.items())
