"""Tunings of seconds on PointEnv: a larger KL radius has a larger reward and a larger cost."""

import contextlib
import functools

import pytest

from espo_jax.results.tune import Tuning
from espo_jax.results.tune_options import TuneOptions
from espo_jax.runs.options import RunOptions
from espo_jax.runs.signals import Stop
from espo_jax.sweeps import columns, sweep
from espo_jax.sweeps.folder import SweepFolder
from tests.probe_envs import TINY
from tests.tiny_runs import Quiet, folder_of_this_process
from tests.tiny_sweeps import compile_once, make_env

RUN = RunOptions(task="point", preset="none", algorithm="trpo", num_eval_episodes=2)
SETTINGS = {**TINY, "cost_limit": 50.0}
OPTIONS = {"range": ("target_kl=0.001:0.5:log",), "num_trials": 4, "seeds": "0-1", "trials_per_round": 2}


@contextlib.contextmanager
def compiled_once():
    """Within this context tunings share what they compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "compile_program", compile_once)
        yield


def tune(path, stop=None, settings=None, run_options=RUN, env=make_env, **options):
    """Run a tuning, or go on with it; returns its trials and what was printed."""
    console = Quiet()
    with compiled_once():
        given = TuneOptions(**{**OPTIONS, "tune_dir": str(path), **options})
        tuning = Tuning.prepare(given, run_options, {**SETTINGS, **(settings or {})}, env)
        return tuning.run(console, stop or Stop()), console.lines


def lanes(path):
    """The rows of all lanes, without the time that they took."""
    rows = SweepFolder.open(path / "sweep").rows()
    assert columns.read([path / "sweep" / "lanes.parquet"]).num_rows == len(rows)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@functools.cache
def tuned():
    """Folder, trials and printed lines of a tuning that was not disturbed, run once in a process."""
    path = folder_of_this_process() / "tune"
    return path, *tune(path)
