"""``wsiamf train``: a configuration to a model bundle whose card holds figures measured on the stored weights.

Calibration and thresholds come from the validation part where the configuration keeps one, else from the out-of-fold
predictions of a cross-validation of the same recipe. Figures come from the test part, and from every cross-validation given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from wsiamf.bundle import WEIGHTS, Bundle, write_bundle
from wsiamf.config import SetConfig, TrainConfig
from wsiamf.errors import TrainingError
from wsiamf.files import dump_json, output_errors, write_text
from wsiamf.inference import Classifier
from wsiamf.spec import ErrorRates
from wsiamf.training.card import Measurement, license_text, render_card
from wsiamf.training.conformal import fit_conformal
from wsiamf.training.crossval import TESTS
from wsiamf.training.deciding import decide, with_decision
from wsiamf.training.evidence import (
    Evidence,
    check_heads,
    conformal_coverage,
    measure_evidence,
    measure_sets,
    read_evidence,
)
from wsiamf.training.labels import LabelledCrops, union
from wsiamf.training.measuring import predict_labelled, stack_tables, store_bundle, write_table
from wsiamf.training.overlap import read_apart, refuse_overlap
from wsiamf.training.recipe import Report, fit_network, known_raters, silent
from wsiamf.training.splits import TEST, TRAIN, VALIDATION, split_by_group


@dataclass(frozen=True)
class _Parts:
    """Labelled crops by what they are used for."""

    train: LabelledCrops
    validation: LabelledCrops | None
    tests: tuple[LabelledCrops, ...]

    @property
    def seen(self) -> LabelledCrops:
        """What the weights, or the choice of their epoch, depend on."""
        return self.train if self.validation is None else union([self.train, self.validation])


def train_model(
    config: TrainConfig,
    data_root: Path,
    out: Path,
    *,
    crossvals: Sequence[Path] = (),
    device: str = "auto",
    workers: int = 2,
    report: Report = silent,
) -> Bundle:
    """Train, calibrate, measure and write the bundle ``out/bundle``.

    An interrupted run goes on where it stood when called again with the same ``out``.

    Args:
        config: The configuration.
        data_root: The folder that the sets' paths are relative to.
        out: The run's folder; made if missing.
        crossvals: Folders of cross-validations of the same recipe.
        device: As ``inference.torch_backend.choose_device``.
        workers: Processes that augment.
        report: Called after each epoch.

    Raises:
        TrainingError: The data are unusable, nothing is left to calibrate with, a cross-validation is of another recipe, or the
            run in ``out`` is another configuration's.
    """
    if config.data.split.validation == 0 and config.fit.keep == "best":
        raise TrainingError(
            "data.split.validation: 0 leaves nothing to choose the best epoch with; set fit.keep: last."
        )
    evidence = [read_evidence(path, config) for path in crossvals]
    if config.data.split.validation == 0 and not evidence:
        raise TrainingError(
            "data.split.validation: 0 leaves nothing to calibrate with; run `wsiamf crossval` first and name its folder "
            "with --crossval."
        )
    parts = _read_parts(config, data_root)
    if evidence:
        check_heads(evidence[0], known_raters(parts.train))
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        fitted = fit_network(
            config, parts.train, parts.validation, out / "states", device=device, workers=workers, report=report
        )
        raw = store_bundle(config, fitted, parts.seen, out / "states" / "bundle")
        return _measure_and_write(config, parts, evidence, raw, out, device)


def _read_parts(config: TrainConfig, data_root: Path) -> _Parts:
    parts: dict[str, list[LabelledCrops]] = {TRAIN: [], VALIDATION: [], TEST: []}
    for one, data in zip(config.data.sets, read_apart(config.data.sets, data_root), strict=True):
        for part, crops in _divide(one, data, config).items():
            parts[part].append(crops)
    for some, others in combinations(filter(None, map(_union_or_none, parts.values())), 2):
        refuse_overlap(some, others)
    if not parts[TRAIN]:
        raise TrainingError("data.sets: no set is trained on; give one use: split or use: train.")
    if config.data.split.validation and not parts[VALIDATION]:
        raise TrainingError("data.sets: one set must have use: split, for validation, calibration and thresholds.")
    return _Parts(union(parts[TRAIN]), _union_or_none(parts[VALIDATION]), tuple(parts[TEST]))


def _union_or_none(some: Sequence[LabelledCrops]) -> LabelledCrops | None:
    return union(some) if some else None


def _divide(one: SetConfig, data: LabelledCrops, config: TrainConfig) -> dict[str, LabelledCrops]:
    if one.use != "split":
        return {one.use: data}
    part = split_by_group(data, config.data.split)
    return {name: data.subset(np.flatnonzero(part == name)) for name in np.unique(part)}


def _measure_and_write(
    config: TrainConfig, parts: _Parts, evidence: list[Evidence], raw: Bundle, out: Path, device: str
) -> Bundle:
    classifier = Classifier(raw, backend="torch", device=device, precision="f32")
    calibrating = (
        evidence[0].out_of_fold if parts.validation is None else predict_labelled(classifier, parts.validation)
    )
    decision = decide(calibrating, raw.spec.experts, config.seed)
    if parts.validation is not None:
        calibrating = with_decision(calibrating, decision)
    conformal = fit_conformal(calibrating["p_atypical"].to_numpy(dtype=float), calibrating["amf"].to_numpy(dtype=float))
    measurements = [one for some in evidence for one in measure_evidence(some)]
    if parts.tests:
        tests = stack_tables([predict_labelled(classifier, one) for one in parts.tests])
        tests = with_decision(tests, decision)
        write_table(tests, out / TESTS)
        measurements += measure_sets(config.name, tests)
    write_text(out / "metrics.json", dump_json([one.to_json() for one in measurements]))
    fitted = {
        **decision.spec_fields,
        "conformal": conformal,
        "error_rates": _error_rates(measurements),
    }
    spec = raw.spec.model_copy(update=fitted)
    folder = out / "bundle"
    folder.mkdir(parents=True, exist_ok=True)
    weights = (raw.folder / WEIGHTS).read_bytes()
    covered = [row for some in evidence for row in conformal_coverage(some)]
    card = render_card(config, spec, measurements, calibrating, covered)
    return write_bundle(folder, weights, spec, card=card, licenses=license_text(config))


def _error_rates(measurements: Sequence[Measurement]) -> tuple[ErrorRates, ...]:
    """One a domain and threshold: the first that was measured, which is that of the networks nearest to the shipped one."""
    first = {(one.domain, one.threshold_name): one for one in reversed(measurements)}
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
        for one in reversed(first.values())
    )
