"""``wsiamf tune``: the space, the folds, the study, and whole tiny searches."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from tests.test_training import tiny_config
from wsiamf.cli.main import run
from wsiamf.config import DistilConfig, SplitConfig, TeacherConfig, TrainConfig, configs_folder, load_train_config
from wsiamf.errors import ConfigError, OutputError, TrainingError
from wsiamf.training.labels import read_labelled_set
from wsiamf.training.loop.fit import Progress
from wsiamf.training.splits import TEST, TRAIN, VALIDATION, split_by_group
from wsiamf.training.tuning.study import best_trial, finished_trials, open_study, run_trials
from wsiamf.training.tuning.tune import BEST, STUDY, TRIALS, tune_recipe, tuning_folds
from wsiamf.training.tuning.tuned_values import check_space, tunable_values, with_values

SPACE = {
    "fit.lr_heads": {"low": 1e-4, "high": 3e-2, "log": True},
    "loss.expert.gamma": {"low": 0.0, "high": 3.0},
}
IDENTITY = {"network": "a", "data": "b"}


def config(space: dict[str, Any] | None = None, **tune: Any) -> TrainConfig:
    return tiny_config(tune={"space": SPACE if space is None else space, "epochs": 2, **tune})


class TestSpace:
    def test_names_reach_every_number_of_the_recipe(self) -> None:
        known = tunable_values(config())
        assert known["loss.hardness.gamma"] == 1.5
        assert known["augment.stain_scale"] == 0.3
        assert not {"fit.epochs", "seed", "data.split.folds", "network.backbone", "network.hardness"} & set(known)

    @pytest.mark.parametrize(
        ("space", "message"),
        [
            (
                {"loss.expert.gama": {"low": 0, "high": 1}},
                "loss.expert.gama is no number .* nearest is loss.expert.gamma",
            ),
            ({"network.backbone": {"low": 0, "high": 1}}, "network.backbone is no number"),
            ({"network.hardness": {"low": 0, "high": 1}}, "network.hardness is no number"),
            ({"data.split.folds": {"low": 2, "high": 5}}, "data.split.folds is no number"),
            ({"loss.theta": {"low": 0.5, "high": 2}}, "loss.theta: Input should be less than or equal to 1"),
            ({"network.hidden": {"low": 8.5, "high": 32}}, "network.hidden is a whole number; 8.5 is not"),
        ],
    )
    def test_what_cannot_be_tuned_is_named(self, space: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            check_space(config(space))

    def test_the_default_space_fits_every_shipped_recipe(self) -> None:
        recipes = [file for file in configs_folder().rglob("*.yaml") if file.parent.name != "cluster"]
        assert len(recipes) > 10
        for file in recipes:
            check_space(load_train_config(file))

    def test_other_values(self) -> None:
        changed = with_values(config(), {"loss.expert.gamma": 2.5, "network.hidden": 32})
        assert (changed.loss.expert.gamma, changed.network.hidden, changed.loss.hardness.gamma) == (2.5, 32, 1.5)


class TestFolds:
    def test_test_and_validation_parts_are_never_seen(self, data_root: Path) -> None:
        recipe = config(scored_folds=2)
        ami_br = read_labelled_set(recipe.data.sets[0], data_root)
        part = split_by_group(ami_br, recipe.data.split)
        files = {name: set(ami_br.table["file"][part == name]) for name in (TRAIN, VALIDATION, TEST)}
        folds = list(tuning_folds(recipe, data_root))
        assert len(folds) == 2
        for train, validation in folds:
            seen = set(train.table["file"]) | set(validation.table["file"])
            assert seen & (files[VALIDATION] | files[TEST]) == set()
            assert set(train.groups) & set(validation.groups) == set()
            assert set(validation.table["set"]) == {"AMi-Br"}
            assert (train.table["set"] == "AtNorM-MD").sum() == 24
        assert set(folds[0][1].table["file"]) & set(folds[1][1].table["file"]) == set()

    def test_a_set_to_split_is_needed(self, data_root: Path) -> None:
        sets = [{"kind": "atnorm-md", "path": "AtNorM-MD", "use": "train"}]
        with pytest.raises(TrainingError, match="one set must have use: split"):
            list(tuning_folds(tiny_config(data={"sets": sets}), data_root))


class TestStudy:
    """The study's own rules, with an objective that trains nothing."""

    def search(self, path: Path, n_trials: int, *, stop_in: int | None = None) -> pd.DataFrame:
        def objective(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", -1, 1)
            if len(finished_trials(study)) == stop_in:
                raise KeyboardInterrupt
            return -(x**2)

        with open_study(path, IDENTITY, epochs=3) as study:
            list(run_trials(study, objective, n_trials, seed=1))
            return pd.DataFrame([{"x": one.params["x"], "value": one.value} for one in finished_trials(study)])

    def test_an_interrupted_search_resumes_to_the_same_draws(self, tmp_path: Path) -> None:
        whole = self.search(tmp_path / "whole.sqlite", 10)
        with pytest.raises(KeyboardInterrupt):
            self.search(tmp_path / "parts.sqlite", 10, stop_in=3)
        with pytest.raises(KeyboardInterrupt):
            self.search(tmp_path / "parts.sqlite", 10, stop_in=9)
        pd.testing.assert_frame_equal(self.search(tmp_path / "parts.sqlite", 10), whole)
        assert whole["x"].nunique() == 10
        assert self.search(tmp_path / "parts.sqlite", 10).equals(whole)  # nothing is left to do

    def test_poor_trials_are_pruned(self, tmp_path: Path) -> None:
        def objective(trial: optuna.Trial) -> float:
            level = -trial.number
            for epoch in range(1, 7):
                trial.report(level, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return level

        with open_study(tmp_path / "s.sqlite", IDENTITY, epochs=6) as study:
            done = list(run_trials(study, objective, 6, seed=0))
            assert best_trial(study) == done[0]
        assert [one.state.name for one in done] == ["COMPLETE"] * 4 + ["PRUNED"] * 2
        assert len(done[4].intermediate_values) == 2  # a third of the epochs

    def test_trials_of_a_killed_process_are_not_left_running(self, tmp_path: Path) -> None:
        with open_study(tmp_path / "s.sqlite", IDENTITY, epochs=3) as study:
            study.ask().suggest_float("x", -1, 1)
        with open_study(tmp_path / "s.sqlite", IDENTITY, epochs=3) as study:
            assert [one.state for one in study.trials] == [TrialState.FAIL]
            assert finished_trials(study) == []
            assert best_trial(study) is None

    def test_training_that_cannot_go_on_prunes_a_later_trial_and_ends_a_first(self, tmp_path: Path) -> None:
        def objective(trial: optuna.Trial) -> float:
            if trial.number == failing:
                raise TrainingError("the loss became nan")
            return 1.0

        failing = 1
        with open_study(tmp_path / "s.sqlite", IDENTITY, epochs=3) as study:
            done = list(run_trials(study, objective, 3, seed=0))
        assert [one.state.name for one in done] == ["COMPLETE", "PRUNED", "COMPLETE"]
        assert done[1].user_attrs == {"stopped": "the loss became nan"}
        failing = 0
        with open_study(tmp_path / "t.sqlite", IDENTITY, epochs=3) as study, pytest.raises(TrainingError, match="nan"):
            list(run_trials(study, objective, 3, seed=0))

    def test_a_study_of_another_run_is_refused(self, tmp_path: Path) -> None:
        self.search(tmp_path / "s.sqlite", 1)
        other = IDENTITY | {"data": "c"}
        with (
            pytest.raises(TrainingError, match=r"another run \(it differs in data\)"),
            open_study(tmp_path / "s.sqlite", other, epochs=3),
        ):
            pass

    def test_what_is_no_study_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "text.sqlite").write_text("no database at all, though long enough to be read as one" * 9)
        with sqlite3.connect(tmp_path / "other.sqlite") as connection:
            connection.execute("CREATE TABLE slides (name TEXT)")
        connection.close()
        for name in ("text.sqlite", "other.sqlite"):
            before = (tmp_path / name).read_bytes()
            with (
                pytest.raises(TrainingError, match="is not a study of wsiamf's"),
                open_study(tmp_path / name, IDENTITY, epochs=3),
            ):
                pass
            assert (tmp_path / name).read_bytes() == before

    def test_odd_folder_names(self, tmp_path: Path) -> None:
        folder = tmp_path / "a {b} ?c=1#d %20"
        folder.mkdir()
        assert len(self.search(folder / "s.sqlite", 1)) == 1
        assert [path.name for path in folder.iterdir()] == ["s.sqlite"]


class TestSearch:
    def test_writes_trials_and_the_best_configuration(self, data_root: Path, tmp_path: Path) -> None:
        names: list[str] = []

        def report(name: str, _epochs: int, _progress: Progress) -> None:
            names.append(name)

        recipe = config()
        found = tune_recipe(recipe, data_root, tmp_path / "out", trials=3, device="cpu", workers=0, report=report)
        trials = pd.read_csv(tmp_path / "out" / TRIALS)
        assert trials["trial"].tolist() == [1, 2, 3]
        assert trials["state"].tolist() == ["done"] * 3
        assert trials["epochs"].tolist() == [2] * 3
        assert trials["fit.lr_heads"][0] == recipe.fit.lr_heads  # the recipe's own values come first
        assert names[:2] == ["trial 1, tiny"] * 2
        assert found.n_trials == 3
        assert found.value == pytest.approx(trials["value"].max(), abs=1e-6)
        assert found.own_value == pytest.approx(trials["value"][0], abs=1e-6)
        best = load_train_config(tmp_path / "out" / BEST)
        assert best.model_copy(update={"data": found.best.data if found.best else None}) == found.best
        row = trials.iloc[int(trials["value"].argmax())]
        assert best.loss.expert.gamma == pytest.approx(row["loss.expert.gamma"], rel=1e-4)
        assert (best.name, best.fit.epochs) == ("tiny-tuned", recipe.fit.epochs)
        assert (tmp_path / "out" / best.data.root).resolve() == data_root.resolve()
        assert {path.name for path in (tmp_path / "out").iterdir()} == {STUDY, TRIALS, BEST}

    def test_an_interrupted_search_goes_on_and_may_be_lengthened(self, data_root: Path, tmp_path: Path) -> None:
        def stop(name: str, _epochs: int, _progress: Progress) -> None:
            if name.startswith("trial 2"):
                raise KeyboardInterrupt

        whole = tune_recipe(config(epochs=1), data_root, tmp_path / "whole", trials=2, device="cpu", workers=0)
        with pytest.raises(KeyboardInterrupt):
            tune_recipe(config(epochs=1), data_root, tmp_path / "parts", trials=2, device="cpu", workers=0, report=stop)
        parts = tune_recipe(config(epochs=1), data_root, tmp_path / "parts", trials=2, device="cpu", workers=0)
        assert parts == whole
        columns = ["state", "value", *SPACE]
        first, second = (pd.read_csv(tmp_path / name / TRIALS)[columns] for name in ("whole", "parts"))
        pd.testing.assert_frame_equal(first, second)
        longer = tune_recipe(
            config(epochs=1, trials=7), data_root, tmp_path / "parts", trials=3, device="cpu", workers=0
        )
        assert longer.n_trials == 3

    def test_a_pruned_trial_ends_at_once(
        self, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number == 1)
        found = tune_recipe(config(), data_root, tmp_path / "out", trials=3, device="cpu", workers=0)
        trials = pd.read_csv(tmp_path / "out" / TRIALS)
        assert trials["state"].tolist() == ["done", "pruned", "done"]
        assert trials["epochs"].tolist() == [2, 1, 2]
        assert found.n_trials == 3
        assert found.value == pytest.approx(trials["value"][[0, 2]].max(), abs=1e-6)

    def test_a_recipe_that_keeps_the_last_epoch_is_scored_there(self, data_root: Path, tmp_path: Path) -> None:
        scores: list[float] = []

        def report(_name: str, _epochs: int, progress: Progress) -> None:
            scores.append(progress.log[-1]["validation_auc"])

        sets = [{"kind": "ami-br", "path": "AMi-Br", "use": "split"}]
        whole = tiny_config(
            data={"sets": sets, "split": {"validation": 0, "test": 0}},
            fit=config().fit.model_copy(update={"keep": "last"}).model_dump(),
            tune=config().tune.model_dump() | {"epochs": 3},
        )
        found = tune_recipe(whole, data_root, tmp_path / "out", trials=1, device="cpu", workers=0, report=report)
        assert found.value == scores[2]
        assert len(scores) == 3

    def test_teachers_are_not_scored(self, data_root: Path, tmp_path: Path) -> None:
        network = tiny_config().network
        recipe = config(epochs=1).model_copy(
            update={"distil": DistilConfig(teachers=(TeacherConfig(network=network, fit=tiny_config().fit),))}
        )
        tune_recipe(recipe, data_root, tmp_path / "out", trials=1, device="cpu", workers=0)
        assert pd.read_csv(tmp_path / "out" / TRIALS)["epochs"].tolist() == [1]

    def test_another_configuration_or_stray_results_are_refused(self, data_root: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        tune_recipe(config(), data_root, out, trials=1, device="cpu", workers=0)
        with pytest.raises(TrainingError, match="differs in loss"):
            tune_recipe(with_values(config(), {"loss.theta": 0.4}), data_root, out, trials=1, device="cpu", workers=0)
        narrower = config({"loss.expert.gamma": {"low": 0, "high": 1}})
        with pytest.raises(TrainingError, match=r"differs in tune\.space"):
            tune_recipe(narrower, data_root, out, trials=1, device="cpu", workers=0)
        other_data = config().data.model_copy(update={"split": SplitConfig(folds=5, test=1, seed=9)})
        with pytest.raises(TrainingError, match="differs in data"):
            tune_recipe(config().model_copy(update={"data": other_data}), data_root, out, trials=1, workers=0)
        (out / STUDY).unlink()
        with pytest.raises(OutputError, match="stands there without a study"):
            tune_recipe(config(), data_root, out, trials=1, device="cpu", workers=0)

    def test_optuna_keeps_quiet(self, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = optuna.logging.get_verbosity()
        tune_recipe(config(), data_root, tmp_path / "out", trials=1, device="cpu", workers=0)
        assert capsys.readouterr().err == ""
        assert optuna.logging.get_verbosity() == before
        assert logging.getLogger("alembic").level in {logging.NOTSET, logging.WARNING}


class TestCommand:
    def test_from_a_file(self, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "tiny.yaml"
        file.write_text(config().model_dump_json())  # JSON is YAML
        arguments = ["tune", str(file), "--data", str(data_root), "--out", str(tmp_path / "out"), "--workers", "0"]
        assert run([*arguments, "--trials", "2", "--device", "cpu"]) == 0
        shown = capsys.readouterr()
        assert shown.out.strip() == str(tmp_path / "out" / BEST)
        assert "best auc of 2 trials: " in shown.err
        assert "trial 2, tiny: epoch 2/2" in shown.err
        file.write_text(config({"fit.speed": {"low": 0, "high": 1}}).model_dump_json())
        assert run(arguments) == 1
        assert "tune.space: fit.speed is no number" in capsys.readouterr().err
