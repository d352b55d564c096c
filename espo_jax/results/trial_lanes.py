"""The lanes of trials: one for each seed, checked before anything is compiled."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from espo_jax.results.search_space import Dimension, corners
from espo_jax.results.trial import Trial
from espo_jax.results.tune_options import TuneOptions
from espo_jax.runs.options import RunOptions
from espo_jax.sweeps import sweep
from espo_jax.sweeps.axes import Axis, parse_seeds
from espo_jax.sweeps.plan import Lane, MakeEnv, lanes_of, programs_of
from espo_jax.sweeps.sweep import Checked

_FEWEST_ROUNDS = 8  # or nothing is learned from the trials before
_ONE_FOR_ALL = ("num_iterations", "cost_limit")  # or trials cannot be compared
_CAPACITY = "max_zeta_positive"


class TrialLanes:
    """Makes the lanes of trials.

    Attributes:
      first: the lane of one point and seed.
      seeds: seeds of every trial.
      per_round: number of trials of a round.
      per_group: the largest number of lanes of a group.
    """

    def __init__(self, options: TuneOptions, run_options: RunOptions, settings: Mapping[str, Any], make_env: MakeEnv):
        """Check all choices and the ends of all intervals, without compiling.

        Args:
          options: what is tuned, and how.
          run_options: options of a run that hold for all trials.
          settings: flat fields of Config and Hyperparams that hold for all trials.
          make_env: (task, backend, reward, env) -> one instance of the environment, see `named_env`.

        Raises:
          ValueError: a setting or the environment is not usable.
        """
        self._options, self._make_env, self.seeds = options, make_env, parse_seeds(options.seeds)
        space = options.space()
        if both := [dimension.name for dimension in space if settings.get(dimension.name) is not None]:
            raise ValueError(f"{both[0]} is given for all trials, and tuned: give only one of both")
        self._lanes_of = functools.partial(lanes_of, make_env, run_options, {**_room(space), **settings})
        lanes = self._lanes_of([corners(space)], self.seeds[:1])
        self.first = lanes[0]
        for name in _ONE_FOR_ALL:
            values = list(dict.fromkeys(str(lane.config.hyperparams[name]) for lane in lanes))
            if len(values) > 1:
                raise ValueError(f"{name} differs between the choices ({', '.join(values)}); give one for all")
        most = options.num_trials * len(self.seeds)  # the lanes of all trials, which a pack may have room for
        checked = [sweep.check(each, make_env, options.pack_size, room=most) for each in programs_of(lanes)]
        self._checked = {each.program.lanes[0].program: each for each in checked}
        self.per_round = _trials_per_round(options, checked, len(self.seeds))
        self.per_group = sweep.lanes_per_group(checked)

    def of(self, settings: Mapping[str, Any]) -> list[Lane]:
        """The lanes of a point of the search space.

        Raises:
          ValueError: the algorithm refuses the settings.
        """
        lanes = self._make(settings)
        for program in programs_of(lanes):
            key = program.lanes[0].program
            if key not in self._checked:
                self._checked[key] = sweep.check(program, self._make_env, self._options.pack_size)
            self._checked[key].algorithm.check(program.hyperparams(program.lanes))
        return lanes

    def again(self, trial: Trial) -> list[Lane]:
        """The lanes of a trial that was drawn before.

        Raises:
          ValueError: they are other lanes than those that were planned.
        """
        lanes = self._make(trial.settings)
        if [lane.id for lane in lanes] != list(trial.lanes):
            raise ValueError(f"trial {trial.number} was drawn by another version, and has other lanes now")
        return lanes

    def _make(self, settings: Mapping[str, Any]) -> list[Lane]:
        return self._lanes_of([Axis(tuple(settings), (tuple(settings.values()),))], self.seeds)


def _trials_per_round(options: TuneOptions, checked: Sequence[Checked], num_seeds: int) -> int:
    """Number of trials of a round: what is given, or as many as fill one pack on each device, but not too many."""
    if options.trials_per_round:
        return options.trials_per_round
    in_a_pack = min(each.pack_size for each in checked) * len(jax.local_devices()) // num_seeds
    return max(1, min(in_a_pack, options.num_trials // _FEWEST_ROUNDS))


def _room(space: Sequence[Dimension]) -> dict[str, Any]:
    """Room for every zeta_positive that may be drawn, or each would compile a program of its own."""
    of_zeta = [max(dimension.ends) for dimension in space if dimension.name == "zeta_positive"]
    return {_CAPACITY: of_zeta[0]} if of_zeta else {}
