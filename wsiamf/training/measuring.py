"""From a fitted network to an uncalibrated bundle, and from a bundle and labelled crops to the labelled predictions table.

Everything that is measured is measured on weights as they are stored, read back as a user reads them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd
from pandas.api.types import is_float_dtype

from wsiamf.bundle import Bundle, write_bundle
from wsiamf.classes import PHASES
from wsiamf.config import TrainConfig
from wsiamf.crops import crop_hash
from wsiamf.errors import TrainingError
from wsiamf.files import atomic_file, sha256_bytes
from wsiamf.inference import Classifier, Probabilities
from wsiamf.inference.classifier import mean_expert_logit, safe_logit
from wsiamf.spec import Calibration, ModelSpec, Thresholds, TrainingData
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.networks import network_fields
from wsiamf.training.recipe import Fitted, known_raters
from wsiamf.weights import store_weights

_ROW: Final = ["set", "file", "slide", "case", "group", "domain", "amf", "hard", "n_votes"]
_DECIMALS: Final = 6


def store_bundle(config: TrainConfig, fitted: Fitted, seen: LabelledCrops, folder: Path) -> Bundle:
    """Write a fitted network as a bundle that is not yet calibrated, and open it.

    Args:
        config: What it was fitted with.
        fitted: The network.
        seen: All crops that it has seen, in training or to choose the epoch.
        folder: The bundle's folder; made if missing.
    """
    weights = store_weights(fitted.network)
    spec = ModelSpec(
        name=config.name,
        version=config.version,
        weights_sha256=sha256_bytes(weights),
        experts=known_raters(seen),
        thresholds=Thresholds(balanced=0.5, count=0.5),
        definition=config.definition,
        trained_on=describe_training(seen),
        **network_fields(config.network),
    )
    folder.mkdir(parents=True, exist_ok=True)
    return write_bundle(folder, weights, spec, card="", licenses="")


def uncalibrated(bundle: Bundle) -> Bundle:
    """The same model whose ``p_atypical`` and ``p_hard`` are the plain sigmoids of its logits."""
    plain = {"calibration": Calibration(), "hardness_calibration": Calibration()}
    return replace(bundle, spec=bundle.spec.model_copy(update=plain))


def describe_training(seen: LabelledCrops) -> TrainingData:
    """Names and hashes of what a network has seen."""
    slides = seen.table.loc[seen.table["slide"].notna(), ["set", "slide"]].drop_duplicates()
    return TrainingData(
        sets=tuple(seen.table["set"].unique()),
        slides=tuple(sorted(slides["set"] + "/" + slides["slide"])),
        crops=tuple(sorted({crop_hash(crop) for crop in seen.crops_NSS3})),
    )


def predict_labelled(classifier: Classifier, data: LabelledCrops) -> pd.DataFrame:
    """The labelled predictions table of some crops, uncalibrated.

    Returns:
        One row a crop: ``set, file, slide, case, group, domain, amf, hard, n_votes``, each rater's vote (``vote_<rater>``),
        each head's probability of AMF (``p_<rater>``), ``z`` (logit of the heads' mean), ``z_hard`` (logit of ``p_hard``; NaN
        without such a head), the raters' phases (``phase_label_1``..) and the head's (``phase_1``..) where there are any.
    """
    said = classifier.predict(data.crops_NSS3)
    table = data.table.assign(group=data.groups)[_ROW]
    votes = data.votes.add_prefix("vote_")
    heads = pd.DataFrame(said.p_experts_NK, columns=[f"p_{rater}" for rater in classifier.spec.experts])
    logits = pd.DataFrame({"z": mean_expert_logit(said.p_experts_NK), "z_hard": safe_logit(said.p_hard)})
    parts = [table, votes, heads, logits, *_phases(said, data)]
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def _phases(said: Probabilities, data: LabelledCrops) -> list[pd.DataFrame]:
    if said.p_phases_NP is None:
        return []
    labels = pd.DataFrame(data.phases_NR).add_prefix("phase_label_").astype("Int64")
    labels.columns = pd.Index([f"phase_label_{rater}" for rater in range(1, labels.shape[1] + 1)])
    head = pd.DataFrame(said.p_phases_NP, columns=[f"phase_{k}" for k in range(1, len(PHASES) + 1)])
    return [labels.mask(labels < 0), head]


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a labelled predictions table as CSV; an unknown value is an empty cell."""
    rounded = table.round({name: _DECIMALS for name in table if is_float_dtype(table[name])})
    with atomic_file(path) as partial:
        rounded.to_csv(partial, index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """Read what ``write_table`` wrote.

    Raises:
        TrainingError: It is missing or another kind of file.
    """
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(("set", "file", "slide", "case", "group", "domain"), str))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: not a readable table of labelled predictions: {error}.") from error
    if missing := [name for name in (*_ROW, "z") if name not in table]:
        raise TrainingError(f"{path}: not a table of labelled predictions; lacks {', '.join(missing)}.")
    return table


def stack_tables(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Rows of several tables; a rater whom one of them does not know has empty cells there."""
    return pd.concat([table.dropna(axis="columns", how="all") for table in tables], ignore_index=True).reindex(
        columns=list(dict.fromkeys(name for table in tables for name in table))
    )
