"""The study of a tuning: its trials in a journal of Optuna, which several processes share."""

import contextlib
import dataclasses
import time
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espo_jax.results.search_space import Dimension
from espo_jax.results.trial import COMPLETE, FAILED, RUNNING, Outcome, Trial
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError
from espo_jax.runs.place import BusyError, lock
from espo_jax.runs.signals import Stop

JOURNAL = "journal.log"
_NAME = "tune"
_LANES, _FAILURE = "lanes", "failure"  # user attributes of a trial
_OUTCOME = ("reward", "cost", "cost_limit", "excess")
_WAIT_SECONDS = 0.05


def optuna() -> types.ModuleType:
    """The package Optuna.

    Raises:
      ValueError: it is not installed.
    """
    try:
        import optuna as library
    except ImportError:
        raise ValueError('tuning needs the package optuna: pip install "espo_jax[tune]"') from None
    return library


@contextlib.contextmanager
def locked(path: Path, stop: Stop) -> Iterator[None]:
    """Wait for a lock on a file, and hold it within this context; the lock ends with the process.

    Raises:
      Interrupted: a signal came while it waited.
    """
    with path.open("ab") as file:
        while True:
            try:
                lock(file, path.parent)
                break
            except BusyError:
                stop.check()
                time.sleep(_WAIT_SECONDS)
        yield


class Study:
    """The trials in the journal of a folder. Whoever uses it must hold the lock of the folder.

    A trial is written whole or not at all, with its settings and lanes: a process that is killed leaves trials that
    are running, and that any other process can go on with and tell.
    """

    def __init__(self, path: Path, space: Sequence[Dimension], random_seed: int):
        """Open the study of a folder, or begin one.

        Args:
          path: the folder.
          space: what is tuned.
          random_seed: seed of the draws.

        Raises:
          DamagedError: the journal cannot be used.
          ValueError: Optuna is not installed.
        """
        self._optuna, self._space, self._seed = optuna(), {each.name: each for each in space}, random_seed
        self._distributions = {name: each.distribution(self._optuna) for name, each in self._space.items()}
        self._journal = path / JOURNAL
        self._journal.touch()
        _remove_part(self._journal)
        storages = self._optuna.storages
        with self._quiet(), _refusing(self._journal):
            self._storage = storages.JournalStorage(
                storages.journal.JournalFileBackend(str(self._journal), lock_obj=_Held())
            )
            if self._storage.get_all_studies():
                self._study = self._optuna.load_study(storage=self._storage, study_name=_NAME)
            else:
                self._study = self._optuna.create_study(storage=self._storage, study_name=_NAME, direction="maximize")

    def trials(self) -> list[Trial]:
        """All trials, by their numbers.

        Raises:
          DamagedError: the journal cannot be used.
        """
        _remove_part(self._journal)
        with _refusing(self._journal):
            return [self._trial_of(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    def draw(self) -> dict[str, Any]:
        """Draw the next trial, without writing it: what Optuna draws for each setting.

        It follows from the seed, the number of the trial and the trials that there are, so that a study that was
        interrupted goes on as if it had not been. Trials that are running count as bad ones for the sampler
        (constant_liar), or it would draw nearly the same point for all of a round.
        """
        trials = self._study.get_trials(deepcopy=False)
        seed = int(np.random.SeedSequence((self._seed, len(trials))).generate_state(1)[0])
        with self._quiet():
            sampler = self._optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
            copy = self._optuna.create_study(direction="maximize", sampler=sampler)
            copy.add_trials(trials)
            drawn = copy.ask(self._distributions).params
        return {name: each.rounded(drawn[name]) for name, each in self._space.items()}

    def settings_of(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """The value of each setting for what is drawn."""
        return {name: each.value(drawn[name]) for name, each in self._space.items()}

    def add(self, drawn: Mapping[str, Any], lanes: Sequence[str], failure: str = "") -> None:
        """Write a new trial.

        Args:
          drawn: from `draw`.
          lanes: names of its lanes.
          failure: why it cannot run; empty if it can.
        """
        states = self._optuna.trial.TrialState
        attributes = {_LANES: list(lanes), **({_FAILURE: failure} if failure else {})}
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=states.FAIL if failure else states.RUNNING,
                params=dict(drawn),
                distributions=self._distributions,
                user_attrs=attributes,
            )
        )

    def tell(self, trial: Trial, outcome: Outcome | str) -> Trial:
        """Write what came of a trial; returns the trial with it.

        Args:
          trial: a trial that is running.
          outcome: what came of it, or why it failed.
        """
        library = self._optuna
        study = self._storage.get_study_id_from_name(_NAME)
        id_ = self._storage.get_trial_id_from_study_id_trial_number(study, trial.number)
        if isinstance(outcome, str):
            self._storage.set_trial_user_attr(id_, _FAILURE, outcome)
            self._study.tell(trial.number, state=library.trial.TrialState.FAIL)
            return dataclasses.replace(trial, status=FAILED, failure=outcome)
        for name in _OUTCOME:
            self._storage.set_trial_user_attr(id_, name, getattr(outcome, name))
        known = self._storage.get_trial(id_).constraints  # a process that was killed may have written some
        for name, value in ((f"cost_{k}", value) for k, value in enumerate(outcome.excess, 1)):
            if name not in known:
                library.trial.Trial(self._study, id_).set_constraint(name, value)
        self._study.tell(trial.number, outcome.reward)
        return dataclasses.replace(trial, status=COMPLETE, outcome=outcome)

    def _trial_of(self, frozen: Any) -> Trial:
        states = self._optuna.trial.TrialState
        attributes = frozen.user_attrs
        status = {states.RUNNING: RUNNING, states.COMPLETE: COMPLETE}.get(frozen.state, FAILED)
        outcome = None
        if status == COMPLETE:
            reward, *rest = (attributes[name] for name in _OUTCOME)
            outcome = Outcome(float(reward), *(tuple(map(float, values)) for values in rest))
        failure = str(attributes.get(_FAILURE, "")) if status == FAILED else ""
        return Trial(
            frozen.number, status, self.settings_of(frozen.params), tuple(attributes[_LANES]), outcome, failure
        )

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Within this context Optuna prints only warnings: its lines of information repeat what we print."""
        before = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
                yield
        finally:
            self._optuna.logging.set_verbosity(before)


class _Held:
    """The lock of the journal, which does nothing: whoever writes holds the lock of the folder.

    Optuna's own lock is a link that stays when its process is killed, and that others wait half a minute for.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _remove_part(journal: Path) -> None:
    """Remove a last line that was written in part, as on a full disk; Optuna would write the next one behind it."""
    content = files.read(journal, 2**30)
    if content and not content.endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


@contextlib.contextmanager
def _refusing(journal: Path) -> Iterator[None]:
    """Turn what Optuna raises for a damaged journal into a DamagedError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise DamagedError(f"{journal} is damaged: {type(error).__name__} {str(error)[:200]}") from None
