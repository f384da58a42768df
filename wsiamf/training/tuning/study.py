"""An Optuna study in one SQLite file: opened, checked to be the same study, and left without half-done trials."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from wsiamf.config import RangeConfig
from wsiamf.errors import OutputError, TrainingError

Objective = Callable[[optuna.Trial], float]

_NAME: Final = "wsiamf"
_IDENTITY: Final = "identity"
STOPPED: Final = "stopped"
"""User attribute of a trial that could not go on: why."""
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)
_RANDOM_TRIALS: Final = 8
_UNPRUNED_TRIALS: Final = 4


@contextmanager
def open_study(path: Path, identity: Mapping[str, str], *, epochs: int) -> Iterator[optuna.Study]:
    """Open a study, or begin one; trials that an interruption left running are marked as failed.

    Args:
        path: The SQLite file.
        identity: What makes two studies one, each part as a text or hash.
        epochs: Of a trial; pruning begins after a third of them.

    Raises:
        TrainingError: The file is none of ``wsiamf tune``'s, or of another configuration, space or data; names which.
    """
    _check_file(path)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield _checked_study(path, identity, epochs)
    finally:
        optuna.logging.set_verbosity(verbosity)


def run_trials(study: optuna.Study, objective: Objective, n_trials: int, *, seed: int) -> Iterator[FrozenTrial]:
    """Run trials until ``n_trials`` have been done in all; each one is yielded when it is done.

    Draws depend on the trials done before and on how many these are, so that a study that was interrupted draws what an
    undisturbed one draws. A trial that is interrupted does not count; one whose training cannot go on counts as pruned.
    """
    while (done := len(finished_trials(study))) < n_trials:
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=_RANDOM_TRIALS, seed=seed + done)
        trial = study.ask()
        yield _run_trial(study, trial, objective)


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that were done or pruned."""
    return study.get_trials(deepcopy=False, states=_FINISHED)


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The trial of highest value; None where none was done to its end."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(done, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)


def suggest(trial: optuna.Trial, space: Mapping[str, RangeConfig], kinds: Mapping[str, float]) -> dict[str, float]:
    """A value for each name; a whole number where ``kinds`` holds one."""
    return {
        name: trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
        if isinstance(kinds[name], int)
        else trial.suggest_float(name, one.low, one.high, log=one.log)
        for name, one in space.items()
    }


def begin_with(study: optuna.Study, values: Mapping[str, float]) -> None:
    """Have a study that has no trial yet try these values first."""
    if not finished_trials(study) and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(dict(values))


def _run_trial(study: optuna.Study, trial: optuna.Trial, objective: Objective) -> FrozenTrial:
    try:
        return study.tell(trial, objective(trial))
    except optuna.TrialPruned:
        return study.tell(trial, state=TrialState.PRUNED)
    except TrainingError as error:
        if best_trial(study) is None:  # not these values: nothing can be trained here
            study.tell(trial, state=TrialState.FAIL)
            raise
        trial.set_user_attr(STOPPED, str(error))
        return study.tell(trial, state=TrialState.PRUNED)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise


def _checked_study(path: Path, identity: Mapping[str, str], epochs: int) -> optuna.Study:
    # A pool would keep connections open beyond the study; a URL could not name every path.
    connect = {"creator": lambda: sqlite3.connect(path), "poolclass": NullPool}
    study = optuna.create_study(
        storage=optuna.storages.RDBStorage("sqlite://", engine_kwargs=connect),
        study_name=_NAME,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=max(1, epochs // 3)),
    )
    known = study.user_attrs.get(_IDENTITY)
    if known is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(_IDENTITY, dict(identity))
        known = dict(identity)
    if known != dict(identity):
        differing = [key for key in identity if (known or {}).get(key) != identity[key]]
        raise TrainingError(
            f"{path}: is the study of another run (it differs in {', '.join(differing)}); choose another --out."
        )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _check_file(path: Path) -> None:
    """Raise unless there is no file, or one whose tables are Optuna's: a foreign database must not be written to."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            studies = connection.execute("SELECT study_name FROM studies").fetchall() if "studies" in names else []
    except sqlite3.Error as error:
        raise TrainingError(f"{path}: is not a study of wsiamf's ({error}); choose another --out.") from error
    if (_NAME,) not in studies:
        raise TrainingError(f"{path}: is not a study of wsiamf's; choose another --out.")


def refuse_strangers(study: Path, *results: Path) -> None:
    """Raise an ``OutputError`` where result files stand without a study: they would be replaced."""
    stranger = next((path for path in results if path.exists() and not study.exists()), None)
    if stranger is not None:
        raise OutputError(f"{stranger}: stands there without a study; choose another --out or move it away.")
