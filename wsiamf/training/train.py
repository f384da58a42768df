"""``wsiamf train``: a configuration to a model bundle whose card holds figures measured on the stored weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import Tensor

from wsiamf.bundle import Bundle, store_weights, write_bundle
from wsiamf.classes import PHASES
from wsiamf.config import SetConfig, TrainConfig
from wsiamf.crops import crop_hash
from wsiamf.errors import TrainingError
from wsiamf.files import atomic_file, dump_json, output_errors, sha256_bytes, write_text
from wsiamf.inference import Classifier
from wsiamf.inference.classifier import Floats, calibrated, mean_expert_logit, safe_logit
from wsiamf.inference.torch_backend import choose_device
from wsiamf.model import MitosisClassifier, Preprocess
from wsiamf.spec import Calibration, ErrorRates, ModelSpec, Thresholds, TrainingData
from wsiamf.training.averaging import average_weights, reestimate_statistics
from wsiamf.training.calibration import (
    bagged_threshold,
    balanced_threshold,
    count_threshold,
    fit_calibration,
    fit_hardness_calibration,
)
from wsiamf.training.card import Measurement, ThresholdName, license_text, render_card
from wsiamf.training.fit import Progress, Trainer
from wsiamf.training.labels import SET_NAMES, LabelledCrops, read_labelled_set, union
from wsiamf.training.metrics import evaluate, hardness_auc
from wsiamf.training.pretrained import load_imagenet
from wsiamf.training.splits import TEST, TRAIN, VALIDATION, split_by_slide

logger = logging.getLogger(__name__)

Sets = dict[str, LabelledCrops]
Report = Callable[[str, int, dict[str, float]], None]
"""Called after each epoch with the model's name, the number of epochs and the epoch's line of the log."""
_SEED_STEP: Final = 1000  # between the runs of one model
THRESHOLD_NAMES: Final[tuple[ThresholdName, ...]] = ("balanced", "count")


@dataclass(frozen=True)
class Parts:
    """Labelled crops by what they are used for."""

    train: LabelledCrops
    validation: LabelledCrops
    tests: tuple[LabelledCrops, ...]


@dataclass(frozen=True)
class TrainedModel:
    """One network that has been fitted, stored, calibrated and measured.

    Args:
        bundle: With calibration and thresholds, not yet with error rates.
        weights: As stored.
        measurements: On every test part.
        predictions: Test predictions, one row a crop.
    """

    bundle: Bundle
    weights: bytes
    measurements: tuple[Measurement, ...]
    predictions: pd.DataFrame


def train_model(
    config: TrainConfig,
    data_root: Path,
    out: Path,
    *,
    device: str = "auto",
    workers: int = 2,
    report: Report = lambda _name, _epochs, _row: None,
) -> Bundle:
    """Train, calibrate, measure and write the bundle ``out/bundle``; sets marked ``companion`` get a second model.

    An interrupted run goes on where it stood when called again with the same ``out``.

    Args:
        config: The configuration.
        data_root: The folder that the sets' paths are relative to.
        out: The run's folder; made if missing.
        device: As ``inference.torch_backend.choose_device``.
        workers: Processes that augment.
        report: Called after each epoch.

    Raises:
        TrainingError: The data are unusable, or the run in ``out`` is another configuration's.
    """
    sets: Sets = {one.kind: read_labelled_set(one, data_root) for one in config.data.sets}
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        return _train_into(config, sets, out, device, workers, report)


def _train_into(config: TrainConfig, sets: Sets, out: Path, device: str, workers: int, report: Report) -> Bundle:
    main = _train_one(config, _parts(config, sets, config.data.sets), out / "main", device, workers, report)
    measurements = list(main.measurements)
    predictions = [main.predictions]
    for one in config.data.sets:
        if one.companion:
            second = _train_companion(config, sets, one, out, device, workers, report)
            measurements += second.measurements
            predictions.append(second.predictions)
    with atomic_file(out / "test_predictions.csv") as path:
        pd.concat(predictions).to_csv(path, index=False, lineterminator="\n", float_format="%.6f")
    write_text(out / "metrics.json", dump_json([one.to_json() for one in measurements]))
    return _finish(config, main, measurements, out / "bundle")


def _train_companion(
    config: TrainConfig,
    sets: Sets,
    withheld: SetConfig,
    out: Path,
    device: str,
    workers: int,
    report: Report,
) -> TrainedModel:
    """A second model that never sees one set, measured on the whole of it."""
    name = f"{config.name}-without-{withheld.kind}"
    uses = tuple(
        one.model_copy(update={"use": "test", "companion": False}) if one == withheld else one
        for one in config.data.sets
    )
    second = config.model_copy(update={"name": name, "data": config.data.model_copy(update={"sets": uses})})
    parts = _parts(second, sets, uses)
    parts = replace(
        parts, tests=tuple(one for one in parts.tests if set(one.table["set"]) == {SET_NAMES[withheld.kind]})
    )
    return _train_one(second, parts, out / f"without-{withheld.kind}", device, workers, report)


def _parts(config: TrainConfig, sets: Sets, uses: tuple[SetConfig, ...]) -> Parts:
    train, validation, tests = [], [], []
    for one in uses:
        data = sets[one.kind]
        if one.use == "split":
            part = split_by_slide(data, config.data.split)
            train.append(data.subset(np.flatnonzero(part == TRAIN)))
            validation.append(data.subset(np.flatnonzero(part == VALIDATION)))
            tests.append(data.subset(np.flatnonzero(part == TEST)))
        else:
            (train if one.use == "train" else tests).append(data)
    if not validation:
        raise TrainingError("data.sets: one set must have use: split, for validation, calibration and thresholds.")
    voters = union(train).votes.notna().any()
    raters = list(voters.index[voters])
    return Parts(_with_raters(union(train), raters), _with_raters(union(validation), raters), tuple(tests))


def _with_raters(data: LabelledCrops, raters: list[str]) -> LabelledCrops:
    return replace(data, votes=data.votes.reindex(columns=raters))


def _train_one(
    config: TrainConfig, parts: Parts, folder: Path, device: str, workers: int, report: Report
) -> TrainedModel:
    place = choose_device(device)
    preprocess = _preprocess(config).to(place)
    found: list[dict[str, Tensor]] = []
    for run in range(config.fit.runs):
        torch.manual_seed(config.seed)
        network = _new_network(config, parts.train.raters).to(place)
        run_folder = folder / f"run-{run + 1}"
        run_folder.mkdir(parents=True, exist_ok=True)
        seed = config.seed + run * _SEED_STEP
        trainer = Trainer(
            network, preprocess, config, parts.train, parts.validation, run_folder, seed=seed, workers=workers
        )
        name = config.name if config.fit.runs == 1 else f"{config.name} run {run + 1}/{config.fit.runs}"
        found.append(trainer.run(partial(_report_epoch, report, name, config.fit.epochs)))
    network.load_state_dict(average_weights(found))
    if len(found) > 1:
        reestimate_statistics(network, preprocess, parts.train)
    weights = store_weights(network)
    spec = _spec(config, parts, weights)
    bundle = _calibrate(weights, spec, parts.validation, folder / "bundle", config.seed)
    classifier = Classifier(bundle, device=device, precision="f32")
    tables = [_predict(classifier, data) for data in parts.tests]
    measurements = [one for table in tables for one in _measure(config.name, bundle.spec.thresholds, table)]
    return TrainedModel(bundle, weights, tuple(measurements), pd.concat(tables).assign(model=config.name))


def _report_epoch(report: Report, name: str, epochs: int, progress: Progress) -> None:
    report(name, epochs, progress.log[-1])


def _new_network(config: TrainConfig, raters: tuple[str, ...]) -> MitosisClassifier:
    network = MitosisClassifier(
        config.network.backbone,
        n_experts=len(raters),
        hardness=config.network.hardness,
        n_phases=len(PHASES) if config.network.phase else 0,
        hidden=config.network.hidden,
        dropout=config.network.dropout,
    )
    if config.network.pretrained == "imagenet":
        load_imagenet(network.backbone, config.network.backbone)
    return network


def _preprocess(config: TrainConfig) -> Preprocess:
    net = config.network
    return Preprocess(view_px=net.view_px, input_px=net.input_px, mean=net.mean, std=net.std)


def _spec(config: TrainConfig, parts: Parts, weights: bytes) -> ModelSpec:
    net, train = config.network, union([parts.train, parts.validation])
    slides = train.table.loc[train.table["slide"].notna(), ["set", "slide"]].drop_duplicates()
    seen = TrainingData(
        sets=tuple(train.table["set"].unique()),
        slides=tuple(sorted(slides["set"] + "/" + slides["slide"])),
        crops=tuple(sorted({crop_hash(crop) for crop in train.crops_NSS3})),
    )
    return ModelSpec(
        name=config.name,
        version=config.version,
        weights_sha256=sha256_bytes(weights),
        backbone=net.backbone,
        hidden=net.hidden,
        experts=parts.train.raters,
        hardness=net.hardness,
        phases=PHASES if net.phase else (),
        view_px=net.view_px,
        input_px=net.input_px,
        views=net.views,
        mean=net.mean,
        std=net.std,
        thresholds=Thresholds(balanced=0.5, count=0.5),
        definition=config.definition,
        trained_on=seen,
    )


def _calibrate(weights: bytes, spec: ModelSpec, validation: LabelledCrops, folder: Path, seed: int) -> Bundle:
    """Write the bundle uncalibrated, read it back as a user would, and write it again with what was fitted."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = write_bundle(folder, weights, spec, card="", licenses="")
    said = Classifier(raw, device="cpu").predict(validation.crops_NSS3)
    amf, groups = validation.amf, validation.groups.to_numpy(dtype=str)
    calibration = _rounded(fit_calibration(mean_expert_logit(said.p_experts_NK), amf))
    p = calibrated(said.p_experts_NK, calibration)
    fitted: dict[str, Any] = {"calibration": calibration}
    hard_threshold = 0.5
    if spec.hardness:
        hard = validation.table["hard"].to_numpy(dtype=float)
        z, known = safe_logit(said.p_hard), ~np.isnan(hard)
        hardness = _rounded(fit_hardness_calibration(z, hard))
        p_hard = expit(hardness.a * z + hardness.b)
        fitted["hardness_calibration"] = hardness
        if hardness.a > 0:
            hard_threshold = bagged_threshold(count_threshold, p_hard[known], hard[known], groups[known], seed=seed)
    fitted["thresholds"] = Thresholds(
        balanced=bagged_threshold(balanced_threshold, p, amf, groups, seed=seed),
        count=(count := bagged_threshold(count_threshold, p, amf, groups, seed=seed)),
        hard=hard_threshold,
        experts=_expert_thresholds(said.p_experts_NK, validation, calibration, count, seed),
    )
    return write_bundle(folder, weights, spec.model_copy(update=fitted), card="", licenses="")


def _expert_thresholds(
    p_experts_NK: Floats, validation: LabelledCrops, calibration: Calibration, count: float, seed: int
) -> tuple[float, ...]:
    """Each head's own cut: as many called AMF as its rater called so; where the rater saw none, the cut ``count`` implies."""
    implied = float(expit((safe_logit(np.array([count]))[0] - calibration.b) / calibration.a))
    groups = validation.groups.to_numpy(dtype=str)
    cuts = []
    for k, rater in enumerate(validation.raters):
        votes = validation.votes[rater].to_numpy(dtype=float)
        known = ~np.isnan(votes)
        if 0 < votes[known].sum() < known.sum():
            cuts.append(
                bagged_threshold(count_threshold, p_experts_NK[known, k], votes[known], groups[known], seed=seed)
            )
        else:
            cuts.append(round(implied, 4))
    return tuple(cuts)


def _rounded(calibration: Calibration) -> Calibration:
    return Calibration(a=round(calibration.a, 6), b=round(calibration.b, 6))


def _predict(classifier: Classifier, data: LabelledCrops) -> pd.DataFrame:
    said = classifier.predict(data.crops_NSS3)
    return data.table.assign(group=data.groups, p_atypical=said.p_atypical, p_hard=said.p_hard)


def _measure(model: str, thresholds: Thresholds, table: pd.DataFrame) -> list[Measurement]:
    p, amf = table["p_atypical"].to_numpy(dtype=float), table["amf"].to_numpy(dtype=float)
    groups = table["group"].to_numpy(dtype=str)
    domain = str(table["set"].iloc[0])
    hardness = hardness_auc(table["p_hard"].to_numpy(dtype=float), table["hard"].to_numpy(dtype=float))
    return [
        Measurement(model, domain, name, evaluate(p, amf, groups, getattr(thresholds, name)), hardness)
        for name in THRESHOLD_NAMES
    ]


def _error_rates(measurements: list[Measurement]) -> tuple[ErrorRates, ...]:
    return tuple(
        ErrorRates(
            domain=one.domain,
            threshold=one.threshold_name,
            n_amf=one.metrics.n_amf,
            n_nmf=one.metrics.n - one.metrics.n_amf,
            sensitivity=round(one.metrics.sensitivity, 4),
            specificity=round(one.metrics.specificity, 4),
            model=one.model,
            cut_off=one.metrics.threshold,
        )
        for one in measurements
    )


def _finish(config: TrainConfig, main: TrainedModel, measurements: list[Measurement], folder: Path) -> Bundle:
    folder.mkdir(parents=True, exist_ok=True)
    spec = main.bundle.spec.model_copy(update={"error_rates": _error_rates(measurements)})
    card = render_card(config, spec, measurements)
    return write_bundle(folder, main.weights, spec, card=card, licenses=license_text(config))
