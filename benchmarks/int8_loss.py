"""What int8 costs on figures that the weights have not seen: ``python benchmarks/int8_loss.py CV_FOLDER --data DATA``.

Every fold that ``wsiamf crossval`` finished in CV_FOLDER, and whose weights it kept, is quantised with its own training crops
and predicts what it holds out, with OpenVINO in f32 and in int8. Calibration and cut-offs are those of the f32 form, fitted on
the other folds (of a single fold on itself), as a user has them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsiamf.bundle import SPEC, Bundle, open_bundle
from wsiamf.config import TrainConfig
from wsiamf.files import atomic_file
from wsiamf.inference import Classifier
from wsiamf.training.compiling import calibration_crops, compile_bundle
from wsiamf.training.crossval import RECORD, read_parts
from wsiamf.training.deciding import decide, head_raters, with_cross_fitted, with_decision
from wsiamf.training.figures.metrics import FIGURES, weighted_figures
from wsiamf.training.figures.resampling import Resampling, estimates
from wsiamf.training.labels import LabelledCrops
from wsiamf.training.measuring import predict_labelled, stack_tables, uncalibrated
from wsiamf.training.splits import read_folds

FORMS = ("f32", "int8")
SHOWN = ("auc", "balanced_accuracy", "ece")
Floats = NDArray[np.float64]


def finished_folds(folder: Path) -> list[int]:
    """Numbers of the folds that are done and hold their weights."""
    done = [path.parent for path in folder.glob(f"fold-*/{RECORD}") if (path.parent / SPEC).exists()]
    return sorted(int(path.name.removeprefix("fold-")) for path in done)


def predict_fold(bundle: Bundle, crops_NSS3: NDArray[np.uint8], held_out: LabelledCrops) -> dict[str, pd.DataFrame]:
    """The table of a fold's held-out crops by form, uncalibrated; its int8 form is made from the crops given."""
    with TemporaryDirectory() as temporary:
        plain = uncalibrated(compile_bundle(bundle, crops_NSS3, Path(temporary) / "bundle"))
        return {
            form: predict_labelled(Classifier(plain, backend="openvino", precision=form), held_out) for form in FORMS
        }


def decided(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Both forms' tables with the probabilities and cut-offs that the f32 form's fit gives."""
    f32, int8 = (tables[form] for form in FORMS)
    raters = head_raters(f32)
    folds = f32["fold"].unique()
    parts = []
    for fold in folds:
        others = f32[f32["fold"] != fold] if len(folds) > 1 else f32
        parts.append(with_decision(int8[int8["fold"] == fold], decide(others, raters, seed=0)))
    return {"f32": with_cross_fitted(f32, raters, seed=0), "int8": pd.concat(parts).loc[int8.index]}


def compare(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a cut-off: both forms' figures, their differences with 95 % intervals over slides, and how far p moves."""
    f32, int8 = (tables[form] for form in FORMS)
    moved = (int8["p_atypical"] - f32["p_atypical"]).abs()
    draws = Resampling(f32["group"].to_numpy(dtype=str))
    rows = []
    for name in ("balanced", "count"):
        threshold = f"threshold_{name}"
        flipped = (int8["p_atypical"] >= int8[threshold]) != (f32["p_atypical"] >= f32[threshold])
        row = {"cut_off": name, "n": len(f32), "slides": draws.n_groups, "mean_dp": moved.mean(), "max_dp": moved.max()}
        rows.append(row | {"flips": int(flipped.sum())} | _figures(f32, int8, threshold, draws))
    return pd.DataFrame(rows)


def _figures(f32: pd.DataFrame, int8: pd.DataFrame, threshold: str, draws: Resampling) -> dict[str, float]:
    amf = f32["amf"].to_numpy(dtype=float)
    columns = [FIGURES.index(name) for name in SHOWN]

    def figures(table: pd.DataFrame, weights_BN: Floats) -> Floats:
        p, cut_off_N = table["p_atypical"].to_numpy(dtype=float), table[threshold].to_numpy(dtype=float)
        return weighted_figures(p, amf, cut_off_N, weights_BN)[:, columns]

    def difference(weights_BN: Floats) -> Floats:
        return figures(int8, weights_BN) - figures(f32, weights_BN)

    whole = {form: figures(table, np.ones((1, len(amf))))[0] for form, table in zip(FORMS, (f32, int8), strict=True)}
    said = {f"{name}_{form}": float(whole[form][k]) for form in FORMS for k, name in enumerate(SHOWN)}
    return said | estimates([f"{name}_change" for name in SHOWN], difference, draws, len(amf))


def _predicted(folder: Path, data_root: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    config = TrainConfig.model_validate_json((folder / "config.json").read_bytes())
    data = read_parts(config.data.sets, data_root)
    folds = read_folds(folder / "folds.csv", data.folded)
    for fold in finished_folds(folder):
        bundle = open_bundle(folder / f"fold-{fold}")
        crops = calibration_crops(bundle, config.data.sets, data_root)
        held_out = data.folded.subset(np.flatnonzero(folds.fold_N == fold))
        for form, table in predict_fold(bundle, crops, held_out).items():
            yield form, table.assign(fold=fold)
        print(f"fold {fold}: {len(held_out)} crops", flush=True)


def main() -> None:
    """Predict, print the table and write it to CV_FOLDER/int8_loss.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="CV_FOLDER", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    chosen = parser.parse_args()
    if not finished_folds(chosen.folder):
        parser.error(f"{chosen.folder}: holds no finished fold with its weights.")
    by_form: dict[str, list[pd.DataFrame]] = {form: [] for form in FORMS}
    for form, table in _predicted(chosen.folder, chosen.data):
        by_form[form].append(table)
    table = compare(decided({form: stack_tables(parts) for form, parts in by_form.items()}))
    print(table.round(4).T.to_string(header=False))
    with atomic_file(chosen.folder / "int8_loss.csv") as path:
        table.round(6).to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
