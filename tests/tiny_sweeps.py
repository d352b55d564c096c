"""Sweeps of seconds on PointEnv."""

import functools

import pytest

from espo_jax.runs.options import RunOptions
from espo_jax.sweeps import axes, sweep
from espo_jax.sweeps.folder import SweepFolder
from espo_jax.sweeps.plan import lanes_of
from espo_jax.sweeps.progress import Report
from espo_jax.sweeps.sweep import Worker
from tests.probe_envs import TINY, PointEnv
from tests.tiny_runs import Quiet, folder_of_this_process

LIMITS = (1.0, 4.0)


def make_env(task, backend, reward, env):
    del backend, reward, env
    return PointEnv(num_constraints=2 if task == "two" else None)


def lanes(*points, seeds=(0, 1), settings=None, **options):
    """Lanes on PointEnv: every combination of the axes with the seeds."""
    given = {"task": "point", "preset": "none", "algorithm": "trpo", "num_eval_episodes": 2, **options}
    axes_ = {name for axis in points for name in axis.names}
    tiny = {name: value for name, value in TINY.items() if name not in axes_}
    return lanes_of(make_env, RunOptions(**given), {**tiny, **(settings or {})}, points, seeds)


def limits(*values):
    """Lanes that differ in their limits and seeds."""
    return lanes(*axes.grid(cost_limit=values or LIMITS))


_compiled = {}


def compile_once(program, env, config, *, compile_program=sweep.compile_program, **options):
    """Sweeps of the same sizes share what they compile."""
    key = f"{program.lanes[0].program} {sorted(config.items())} {sorted(options.items())}"
    if key not in _compiled:
        _compiled[key] = compile_program(program, env, config, **options)
    return _compiled[key]


def work(folder, stop=None, env=make_env, **options):
    """Run what is not done of a sweep; returns what was printed."""
    console = Quiet()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "compile_program", compile_once)
        Worker(folder, env, Report(console, folder.manifest), stop, **options).run()
    return console.lines


def rows(folder):
    """The rows of all lanes, without the time that they took."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in folder.rows()]


@functools.cache
def swept():
    """A finished sweep of two limits and two seeds in groups of three lanes, run once in a process."""
    folder = SweepFolder.plan(folder_of_this_process() / "sweep", limits(), lanes_per_group=3)
    work(folder)
    return folder
