"""Tuning: the settings with the largest reward among those that keep the cost within its limit, by Optuna.

Trials are drawn a round at a time. Each is a lane for every seed in one sweep, whose groups any process may train;
whoever finds that all lanes of a trial are done tells Optuna. So no process owns a trial, and none is lost with one.
"""

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espo_jax.environments import named_env
from espo_jax.results import tune_folder
from espo_jax.results.study import Study, locked, optuna
from espo_jax.results.sweep_read import Sweep
from espo_jax.results.trial import RUNNING, Trial, outcome_of, trial_text
from espo_jax.results.trial_lanes import TrialLanes
from espo_jax.results.tune_options import TuneOptions
from espo_jax.runs.options import RunOptions
from espo_jax.runs.output import Console
from espo_jax.runs.place import BusyError, stamped
from espo_jax.runs.signals import Stop, finish_first
from espo_jax.sweeps import columns, table
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.manifest import Group
from espo_jax.sweeps.plan import MakeEnv
from espo_jax.sweeps.progress import Report
from espo_jax.sweeps.sweep import Worker

_MOST_PROGRAMS = 8  # that are kept compiled
_WAIT_SECONDS = 1.0  # between two looks at what other processes work on


def tune(
    options: TuneOptions,
    run_options: RunOptions,
    settings: Mapping[str, Any],
    make_env: MakeEnv = named_env,
    console: Console | None = None,
) -> list[Trial]:
    """Tune from Python, as `espo tune` does; the same call goes on with the folder of a tuning.

    Args:
      options: what is tuned, and how.
      run_options: options of a run that hold for all trials.
      settings: flat fields of Config and Hyperparams that hold for all trials; the rest is the preset's.
      make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.
      console: where to print; None stands for the standard output.

    Returns:
      All trials; `best_of` finds the best safe one among them.

    Raises:
      ValueError: before anything is compiled, naming what is not usable; or a file of the folder is damaged.
      Interrupted: a signal came; what ran until then is saved.
      OSError: a file cannot be written.
    """
    with finish_first() as stop:
        tuning = Tuning.prepare(options, run_options, settings, make_env)
        return tuning.run(console or Console(), stop)


class Tuning:
    """A tuning that was checked, and whose folder is there.

    Attributes:
      path: the folder.
    """

    def __init__(self, path: Path, options: TuneOptions, lanes: TrialLanes, make_env: MakeEnv):
        """Take what `prepare` found."""
        self.path, self._options, self._lanes, self._make_env = path, options, lanes, make_env
        self._workers: dict[str, Worker] = {}

    @classmethod
    def prepare(
        cls, options: TuneOptions, run_options: RunOptions, settings: Mapping[str, Any], make_env: MakeEnv = named_env
    ) -> "Tuning":
        """Check everything that can be checked without compiling, then make the folder, or go on with it.

        Args:
          options: what is tuned, and how.
          run_options: options of a run that hold for all trials.
          settings: flat fields of Config and Hyperparams that hold for all trials.
          make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.

        Raises:
          ValueError: a setting or the environment is not usable, or the folder has something else.
          OSError: the folder cannot be written to.
        """
        optuna()
        if (episodes := run_options.num_eval_episodes) < 2:
            raise ValueError(
                f"num_eval_episodes is {episodes}: it must be at least 2, since trials are judged by an interval of "
                "the cost of fresh episodes"
            )
        path = Path(options.tune_dir) if options.tune_dir else stamped(f"{run_options.task}-tune")
        tune_folder.check(path)
        make_env = functools.cache(make_env)
        lanes = TrialLanes(options, dataclasses.replace(run_options, eval_interval=0), settings, make_env)
        tune_folder.claim(path, tune_folder.identity(options, lanes.seeds, lanes.first))
        return cls(path, options, lanes, make_env)

    def run(self, console: Console, stop: Stop) -> list[Trial]:
        """Train what is not done until the study has all its trials; returns them.

        Args:
          console: is told what happens.
          stop: from `signals.finish_first`.

        Raises:
          Interrupted: a signal came; what ran until then is saved.
          ValueError: a file of the folder is damaged.
          OSError: a file cannot be written.
        """
        stop.at_once = False  # a signal must not break a line of the journal
        study = None
        while True:
            stop.check()
            with locked(self.path / ".study.lock", stop):
                study = study or Study(self.path, self._options.space(), self._options.random_seed)
                trials = self._tell(study, console)
                groups = self._free_groups(trials)
                new = [] if groups else self._plan(study, trials, console)
                if new or groups:
                    trials = study.trials()
                    groups = groups or self._free_groups(trials)
            if not groups and not new:
                if all(trial.status != RUNNING for trial in trials):
                    return trials
                time.sleep(_WAIT_SECONDS)  # others train the rest; if they are lost, it is free
            for group in groups:
                self._train(group, console, stop)

    @property
    def _sweep(self) -> SweepFolder | None:
        """The folder of the lanes as it is now; None before the first round."""
        path = self.path / tune_folder.SWEEP
        return SweepFolder.open(path) if path.exists() else None

    def _tell(self, study: Study, console: Console) -> list[Trial]:
        """Tell Optuna what came of the trials whose lanes are done; returns all trials."""
        trials = study.trials()
        running = [trial for trial in trials if trial.status == RUNNING]
        folder = self._sweep
        if folder is None or not running:
            return trials
        groups = {lane.id: group for group in folder.manifest.groups for lane in group.lanes}
        rows = functools.cache(lambda name: folder.group_rows(next(g for g in groups.values() if g.name == name)))
        for trial in running:
            of_trial = {groups[lane].name: groups[lane] for lane in trial.lanes if lane in groups}
            is_whole = all(lane in groups for lane in trial.lanes)
            if is_whole and all(table.is_done(rows(name), group) for name, group in of_trial.items()):
                found = {row[columns.LANE]: row for name in of_trial for row in rows(name)}
                outcome = outcome_of(Sweep(folder, (), {}), [found[lane] for lane in trial.lanes])
                told = study.tell(trial, outcome)
                trials[trial.number] = told
                console.print(trial_text(told), soft_wrap=True)
        return trials

    def _free_groups(self, trials: Sequence[Trial]) -> list[Group]:
        """Groups with lanes of running trials that are not done and that no process works on."""
        wanted = {lane for trial in trials if trial.status == RUNNING for lane in trial.lanes}
        folder = self._sweep
        if folder is None or not wanted:
            return []
        groups = [group for group in folder.manifest.groups if wanted & {lane.id for lane in group.lanes}]
        return [group for group in groups if _is_free(folder, group)]

    def _plan(self, study: Study, trials: Sequence[Trial], console: Console) -> list[int]:
        """Draw the trials of a round, and plan their lanes; returns the numbers of the new trials.

        A process that was killed may have left trials that are drawn and not planned; their round is filled up.
        """
        folder = self._sweep
        planned = {lane.id for lane in folder.manifest.lanes} if folder else set()
        left = [t for t in trials if t.status == RUNNING and not set(t.lanes) <= planned]
        lanes = [lane for trial in left for lane in self._lanes.again(trial)]
        count, size = len(trials), self._lanes.per_round
        end = min(self._options.num_trials, -(-count // size) * size if left else (count // size + 1) * size)
        new = list(range(count, end))
        if new:
            console.print(f"trials {new[0]} to {new[-1]} of {self._options.num_trials}", soft_wrap=True)
        for number in new:
            drawn = study.draw()
            settings = study.settings_of(drawn)
            try:
                of_trial = self._lanes.of(settings)
            except ValueError as error:
                study.add(drawn, [], str(error))
                console.print(f"trial {number} failed: {error}", soft_wrap=True)
                continue
            study.add(drawn, [lane.id for lane in of_trial])
            lanes += of_trial
        if lanes:
            there = folder.manifest.lanes if folder else []
            SweepFolder.plan(self.path / tune_folder.SWEEP, [*lanes, *there], self._lanes.per_group)
        return new or [trial.number for trial in left]

    def _train(self, group: Group, console: Console, stop: Stop) -> None:
        """Train a group by the worker that has its program compiled."""
        folder, key = self._sweep, group.lanes[0].program
        assert folder is not None
        room = min(self._lanes.per_round * len(self._lanes.seeds), self._lanes.per_group)
        worker = self._workers.pop(key, None) or Worker(
            folder, self._make_env, Report(console, folder.manifest), stop,
            pack_size=self._options.pack_size, room=room,
        )  # fmt: skip
        worker.folder = folder
        self._workers[key] = worker  # the newest is the last
        while len(self._workers) > _MOST_PROGRAMS:
            del self._workers[next(iter(self._workers))]
        worker.run([group.name])


def _is_free(folder: SweepFolder, group: Group) -> bool:
    """Whether a group is not done, and no process works on it."""
    try:
        with folder.locked(group):
            return not table.is_done(folder.group_rows(group), group)
    except BusyError:
        return False
